/**
 * Bounds the work and the flash wear that a carrier can cause with orders. Each order costs
 * signature checks, and each refusal a log line and an event on the flash. A burst as large as an
 * honest one passes at once. A flood waits, which also holds up the link. Sans-I/O.
 */

import type { MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';

const MS_PER_ORDER = 1000 / LIMITS.ordersPerSecondMax;

export class OrderBounds {
  /** When the orders so far would all have come, had they come evenly. */
  #dueMs: MonoMs = -Infinity;
  /** For each kind of refusal; the least recently reported first. */
  readonly #toldMs = new Map<string, MonoMs>();

  /** Counts one order. @returns how long it has to wait, in milliseconds */
  waitMs(now: MonoMs): number {
    this.#dueMs = Math.max(this.#dueMs, now) + MS_PER_ORDER;
    return Math.max(0, this.#dueMs - now - MS_PER_ORDER * LIMITS.ordersBurstMax);
  }

  /**
   * False while a refusal of this kind was reported a short time ago: it is shown, and not
   * reported.
   */
  mayTell(kind: string, now: MonoMs): boolean {
    const told = this.#toldMs.get(kind);
    if (told !== undefined && now - told < LIMITS.refusalToldAgainMs) return false;
    this.#toldMs.delete(kind);
    this.#toldMs.set(kind, now);
    const [oldest] = this.#toldMs.keys();
    if (this.#toldMs.size > LIMITS.seldomKeysMax && oldest !== undefined)
      this.#toldMs.delete(oldest);
    return true;
  }
}
