/**
 * Limits log lines whose cause may occur many times a second: one line a period for each key, with
 * the number of those that were left out. A flood of causes must not become a flood of the log.
 * Sans-I/O.
 */

import type { MonoMs } from './ids.ts';
import { LIMITS } from './limits.ts';
import type { Log } from './ports.ts';

interface Told {
  atMs: MonoMs;
  withheld: number;
}

export class SeldomLog {
  readonly #log: Log;
  readonly #everyMs: number;
  readonly #now: () => MonoMs;
  /** The longest untold first. */
  readonly #told = new Map<string, Told>();

  constructor(log: Log, everyMs: number, now: () => MonoMs) {
    this.#log = log;
    this.#everyMs = everyMs;
    this.#now = now;
  }

  /** @param key lines of one key count as the same line */
  warn(key: string, facts: object, message: string): void {
    const now = this.#now();
    const told = this.#told.get(key);
    if (told && now - told.atMs < this.#everyMs) {
      told.withheld += 1;
      return;
    }
    this.#told.delete(key);
    this.#told.set(key, { atMs: now, withheld: 0 });
    const [oldest] = this.#told.keys();
    if (this.#told.size > LIMITS.seldomKeysMax && oldest !== undefined) this.#told.delete(oldest);
    const withheld = told && told.withheld > 0 ? { withheld: told.withheld } : {};
    this.#log.warn({ ...facts, ...withheld }, message);
  }
}
