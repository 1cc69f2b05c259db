/**
 * Why a leader does not lead as it should: an address that is not there, a disk that refuses, a
 * lost record, a pair file that is damaged. None of them ends the agent, which also updates its own
 * computer; each is in the report of the robot while it lasts. Sans-I/O.
 */

import type { Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { Held } from '../fleet/report.ts';

type About = 'door' | 'disk' | 'record' | 'decision';

interface TroublesOptions {
  /** Why pair files were not taken. */
  readonly missing: readonly Problem[];
  readonly log: Log;
  now(): EpochMs;
  /** The report of the robot shows something else. */
  onNews(): void;
}

export class LeaderTroubles {
  readonly #options: TroublesOptions;
  readonly #missing: readonly Held[];
  readonly #open = new Map<About, Held>();

  constructor(options: TroublesOptions) {
    this.#options = options;
    const { missing, log, now } = options;
    this.#missing = missing.map((problem) => ({ problem, atMs: now() }));
    for (const problem of missing) log.error({ problem }, 'a computer of this robot is left out');
  }

  /** Each is logged once. @param problem null when it is over */
  note(about: About, problem: Problem | null): void {
    if (this.of(about)?.message === problem?.message) return;
    const { log, now, onNews } = this.#options;
    if (problem) this.#open.set(about, { problem, atMs: now() });
    else this.#open.delete(about);
    if (problem) log.error({ problem }, 'cannot lead the robot as it should');
    else log.info({ about }, 'leads the robot as it should again');
    onNews();
  }

  of(about: About): Problem | null {
    return this.#open.get(about)?.problem ?? null;
  }

  get all(): readonly Held[] {
    return [...this.#open.values(), ...this.#missing];
  }

  /** Lines for `drover-robot explain`. */
  explain(): string[] {
    return this.all.flatMap(({ problem: { code, message, hint } }) => [
      `cannot lead as it should: ${code}: ${message}`,
      `  hint: ${hint}`,
    ]);
  }
}
