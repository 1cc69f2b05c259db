/**
 * Keeps the volatile view of a component that its state file does not hold: a transfer, what it
 * waits for, why nothing was taken. Each change requests a report. It reads and writes no disk.
 */

import { LIMITS } from '../../shared/base/limits.ts';
import type { Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { QUIET, type Live } from './report.ts';

export interface LiveViewOptions {
  now(): EpochMs;
  onChange(urgent: boolean): void;
  /** A wait may be over: consider the announcement again. */
  onIdle(): void;
}

export class LiveView {
  readonly #options: LiveViewOptions;
  #live: Live = QUIET;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;
  /** The wait that is shown is that of an offer, and not one of an effect. */
  #waitsForOffer = false;
  /** A module is brought to what `active` names: another update waits for that. */
  isMending = false;

  constructor(options: LiveViewOptions) {
    this.#options = options;
  }

  get value(): Live {
    return this.#live;
  }

  /** Another phase begins: a refusal stays until something is taken. */
  rest(): void {
    const { refusal, stays = null, module } = this.#live;
    this.#live = { ...QUIET, refusal, stays, ...(module !== undefined && { module }) };
  }

  /**
   * Why it stays on the version of a recalled rollout, or on one that lacks what it requires; null
   * without such a reason.
   * @returns true when that is new
   */
  stay(problem: Problem | null): boolean {
    const { stays = null } = this.#live;
    if (problem?.message === stays?.problem.message) return false;
    this.#live = { ...this.#live, stays: problem && { problem, atMs: this.#options.now() } };
    return true;
  }

  /**
   * Why what a module looks after is not what `active` names; null when it is.
   * @returns true when that is news, as the first answer is
   */
  module(problem: Problem | null): boolean {
    const { module } = this.#live;
    if (module !== undefined && problem?.message === module?.problem.message) return false;
    this.#live = { ...this.#live, module: problem && { problem, atMs: this.#options.now() } };
    this.#options.onIdle(); // what another bundle requires of it may be known now
    return true;
  }

  /** @returns false for what is shown already: the same code about the same version */
  refuse(problem: Problem, version: string | null): boolean {
    // It waits no longer for what would have let it take this one.
    if (this.#waitsForOffer) this.wait(null, null);
    const known = this.#live.refusal;
    if (known?.problem.code === problem.code && known.version === version) return false;
    this.#live = { ...this.#live, refusal: { version, problem, atMs: this.#options.now() } };
    return true;
  }

  /** @returns false for a failure that is shown already */
  fail(problem: Problem): boolean {
    this.wakeIn(LIMITS.retrySoonMs);
    const known = this.#live.refusal?.problem;
    if (known?.code === problem.code && known.message === problem.message) return false;
    this.#live = { ...this.#live, refusal: { version: null, problem, atMs: this.#options.now() } };
    this.#options.onChange(true);
    return true;
  }

  /** A version is taken: the view of the one before it is over. */
  take(): void {
    this.accept();
    this.stay(null);
  }

  /** @param code only a refusal with this code; any by default */
  accept(code?: string): void {
    if (code !== undefined && this.#live.refusal?.problem.code !== code) return;
    this.#live = { ...this.#live, refusal: null };
  }

  readonly onProgress = (transfer: NonNullable<Live['transfer']>): void => {
    this.#live = { ...this.#live, transfer: { ...transfer } };
    this.#options.onChange(false);
  };

  readonly onMending = (isMending: boolean): void => {
    this.isMending = isMending;
    if (!isMending) this.#options.onIdle();
  };

  /** @param waitingFor null when nothing is waited for */
  readonly onWaiting = (waitingFor: string | null, wakeAtMs: EpochMs | null): void => {
    this.#waitsForOffer = false;
    const isNew = waitingFor !== this.#live.waitingFor;
    this.#live = { ...this.#live, waitingFor, wakeAtMs };
    this.#options.onChange(isNew);
  };

  /** Shows a wait, and considers the announcement again at that time. */
  wait(waitingFor: string | null, wakeAtMs: EpochMs | null): void {
    this.#waitsForOffer = waitingFor !== null;
    this.#live = { ...this.#live, waitingFor, wakeAtMs };
    if (wakeAtMs !== null) this.wakeIn(wakeAtMs - this.#options.now());
    this.#options.onChange(true);
  }

  /** Removes a wait whose time is over. */
  passed(): void {
    const { wakeAtMs } = this.#live;
    if (wakeAtMs === null || wakeAtMs > this.#options.now()) return;
    this.#live = { ...this.#live, waitingFor: null, wakeAtMs: null };
    this.#options.onChange(true);
  }

  wakeIn(waitMs: number): void {
    if (this.#closed) return;
    if (this.#timer) clearTimeout(this.#timer);
    const lookMs = Math.min(waitMs, LIMITS.wakeMsMax);
    this.#timer = setTimeout(() => this.#options.onIdle(), lookMs);
  }

  close(): void {
    this.#closed = true;
    if (this.#timer) clearTimeout(this.#timer);
  }
}
