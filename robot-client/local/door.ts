/**
 * Keeps the local socket of an agent open. A wrong setting ends the process. A socket that its disk
 * keeps closed is tried again, and until it is open nothing may be swapped: the application cannot
 * report that the robot is busy. The same holds for one that was removed.
 */

import { backoffMs } from '../../shared/base/backoff.ts';
import { toProblem, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';

export interface LocalDoorOptions {
  open(): Promise<{ close(): Promise<void> }>;
  /** Why the open socket cannot be reached; null when it can. */
  gone(): Promise<Problem | null>;
  /** True for a failure that may pass by itself; the first `open` throws any other. */
  mayPass(thrown: unknown): boolean;
  /** Why it is closed; null when it opens. Called for each new reason. */
  onChange(problem: Problem | null): void;
  /** Log line while it is closed. */
  readonly closed: string;
  readonly log: Log;
}

export class LocalDoor {
  readonly #options: LocalDoorOptions;
  #api: { close(): Promise<void> } | null = null;
  #timer: NodeJS.Timeout | null = null;
  #told: string | null = null;
  #tries = 0;
  #trying: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: LocalDoorOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#api !== null;
  }

  /**
   * Also resolves while the disk refuses. @throws DroverError SOCKET_UNUSABLE,
   * ROBOT_ALREADY_RUNNING
   */
  async open(): Promise<void> {
    try {
      this.#api = await this.#options.open();
      this.#change(null);
    } catch (thrown) {
      if (!this.#options.mayPass(thrown)) throw thrown;
      this.#later(toProblem(thrown));
    }
  }

  /** Reports a socket that was removed, and opens it again later. */
  async check(): Promise<void> {
    const problem = this.#api && (await this.#options.gone());
    const api = this.#api;
    if (!problem || !api || this.#closed) return;
    this.#api = null;
    this.#tries = 0;
    this.#later(problem);
    await api.close();
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer) clearTimeout(this.#timer);
    await this.#trying;
    await this.#api?.close();
  }

  #change(problem: Problem | null): void {
    const key = problem && `${problem.code} ${problem.message}`;
    if (key === this.#told) return;
    this.#told = key;
    if (problem) this.#options.log.warn({ problem }, this.#options.closed);
    else this.#options.log.info({}, 'local socket is open');
    this.#options.onChange(problem);
  }

  #later(problem: Problem): void {
    this.#change(problem);
    if (this.#closed) return;
    const bounds = { minMs: LIMITS.retrySoonMs, maxMs: LIMITS.socketRetryMsMax };
    const waitMs = backoffMs(this.#tries, bounds, Math.random());
    this.#tries += 1;
    this.#timer = setTimeout(() => {
      this.#trying = this.#again();
    }, waitMs);
  }

  /** After the start a wrong setting no longer ends the process: it is reported like the rest. */
  async #again(): Promise<void> {
    try {
      await this.open();
    } catch (thrown) {
      this.#later(toProblem(thrown));
    }
  }
}
