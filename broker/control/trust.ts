/**
 * Moves a broker's trust root along the updates that it carries: at a start along the retained
 * ones, later with each new one. Rollouts are judged by the newest root.
 */

import { toProblem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { trustTopic } from '../../shared/formats/topics.ts';
import { openTrustUpdate, type LiveTrust } from '../../shared/formats/trust-chain.ts';
import type { ControlStore } from './control-store.ts';

/** From the root in the broker's file to the newest one that it retains. */
export function walkTrust(trust: LiveTrust, control: ControlStore, log: Log): void {
  for (;;) {
    const update = control.get(trustTopic(trust.version + 1));
    if (!update) return;
    try {
      trust.moveTo(openTrustUpdate(update.payload, trust));
    } catch (error) {
      const problem = toProblem(error);
      log.error({ topic: update.topic, problem }, 'retained trust update does not hold');
      return;
    }
    log.info({ version: trust.version }, 'trust root taken from what is retained');
  }
}

/**
 * Trust updates that arrived before the one that they follow, since retained messages come in any
 * order. None of them is verified yet, so only few are kept: the least recently used makes room.
 */
export class LaterTrusts {
  readonly #kept = new Map<number, Uint8Array>();

  keep(version: number, update: Uint8Array): void {
    this.#kept.delete(version);
    this.#kept.set(version, update);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > LIMITS.trustUpdatesAheadMax && oldest !== undefined) {
      this.#kept.delete(oldest);
    }
  }

  /** Returns it once; null when it has not arrived. */
  take(version: number): Uint8Array | null {
    const update = this.#kept.get(version) ?? null;
    this.#kept.delete(version);
    return update;
  }
}
