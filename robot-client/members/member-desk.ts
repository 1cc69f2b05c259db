/**
 * The facts that the leader has about one member: its last report, and when it came. A member
 * that is away keeps its last report, over restarts of the leader too; its versions are then in
 * doubt, and never nothing.
 */

import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { EpochMs, MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { ComponentStateFields } from '../../shared/formats/messages.ts';
import type { MemberView } from '../update/set-verdict.ts';
import { awayMsOf } from './commit.ts';
import { layoutOf } from '../install/layout.ts';
import { Instances } from './instances.ts';
import type { Report } from './messages.ts';
import type { Pair } from './pair-file.ts';

/** Starts of the agent of one member that are known to be over. */
const EPOCHS_MAX = LIMITS.eventEpochsMax;

/** `MEMBER_TWICE`: two computers have one pair file. */
export type Trouble = 'MEMBER_AWAY' | 'MEMBER_TWICE';

/** The last report of a member as the leader keeps it. */
export interface KeptReport {
  readonly components: readonly ComponentStateFields[];
  readonly countedBy: string;
  readonly atMs: EpochMs;
}

export class MemberDesk {
  readonly pair: Pair;
  #views = new Map<string, MemberView | null>();
  #kept: KeptReport | null = null;
  #epoch = '';
  #nth = -1;
  readonly #over: string[] = [];
  #heardMs: MonoMs;
  /** On the wall clock; null before something came since this start. */
  #heardAtMs: EpochMs | null = null;
  #isLost = false;
  #heardEpoch = '';
  /** When it was there, had reported and was one, for the last time. */
  #presentMs: MonoMs;
  /** Its last report could not be taken. */
  #isRefused = false;
  readonly #instances = new Instances();
  #hasReported = false;

  /** @param now counts as the time of its last message */
  constructor(pair: Pair, now: MonoMs) {
    this.pair = pair;
    [this.#heardMs, this.#presentMs] = [now, now];
    for (const name of pair.components) this.#views.set(name, null);
  }

  /** Its last report before this start. */
  restore(kept: KeptReport): void {
    if (!this.#hasReported) this.#kept = kept;
  }

  /** Since this start of the leader. */
  get hasReported(): boolean {
    return this.#hasReported;
  }

  get kept(): KeptReport | null {
    return this.#kept;
  }

  get views(): ReadonlyMap<string, MemberView | null> {
    return this.#views;
  }

  /** @param instance start of its agent that it comes from; empty when it is not known */
  heard(now: MonoMs, clock: EpochMs, instance = ''): void {
    this.#instances.heard(instance, now);
    this.#heardMs = now;
    this.#heardAtMs = clock;
    this.#isLost = false;
    if (this.#isPresent(now)) this.#presentMs = now;
  }

  /** Start of the leader whose news it had followed when it sent its last report. */
  get heardEpoch(): string {
    return this.#heardEpoch;
  }

  /** Its connection has ended in the middle of a request. */
  lost(): void {
    this.#isLost = true;
  }

  /** 0 while it is there, has reported, and is one. */
  awayMs(now: MonoMs): number {
    if (this.#isPresent(now)) return awayMsOf(this.#heardMs, now, this.#isLost);
    return Math.max(1, now - this.#presentMs);
  }

  /**
   * Nothing came from it for a while, not even what could not be taken. A connection that ended
   * proves nothing: its agent may just be starting again.
   */
  isSilent(now: MonoMs): boolean {
    return awayMsOf(this.#heardMs, now, false) > 0;
  }

  /** Its views are those of the start that asks for news. */
  #isPresent(now: MonoMs): boolean {
    const { last } = this.#instances;
    const isOfIt = last === '' || last === this.#epoch;
    const isOne = !this.#instances.isTwice(now) && !this.#instances.isUnproven(now);
    return this.#hasReported && !this.#isRefused && isOfIt && isOne;
  }

  /** Its report could not be read, or is not one of its pair file: its state is unknown. */
  refused(): void {
    this.#isRefused = true;
  }

  /** Code of why it takes no part in a decision; null when it does. */
  trouble(now: MonoMs): Trouble | null {
    if (this.#instances.isTwice(now)) return 'MEMBER_TWICE';
    return this.awayMs(now) > 0 ? 'MEMBER_AWAY' : null;
  }

  /**
   * @returns false for a report that is older than the last one
   * @throws DroverError MEMBER_REFUSED for one about other components than its pair file names,
   *   MEMBER_TWICE for one of a start that another one has followed: it has to be sent again
   */
  take(report: Report, now: MonoMs, clock: EpochMs): boolean {
    const { epoch, nth } = report;
    this.#instances.heard(epoch, now);
    if (epoch === this.#epoch && nth <= this.#nth) return false;
    this.#leaveOver(epoch, now);
    const names = report.views.map(({ name }) => name);
    if (names.toSorted().join() !== this.pair.components.toSorted().join()) {
      const counts = `(got ${names.join()}, want ${this.pair.components.join()})`;
      const message = `hear computer ${this.pair.computer}: other components than in its pair file ${counts}`;
      throw new DroverError('MEMBER_REFUSED', message, {
        hint: 'give its agent one --root for each component of its pair file, or pair it again',
      });
    }
    if (epoch !== this.#epoch && this.#epoch !== '') {
      this.#over.push(this.#epoch);
      if (this.#over.length > EPOCHS_MAX) this.#over.shift();
    }
    [this.#epoch, this.#nth, this.#hasReported] = [epoch, nth, true];
    [this.#heardEpoch, this.#isRefused] = [report.heard, false];
    if (this.#isPresent(now)) this.#presentMs = now;
    this.#views = new Map(report.views.map(({ name, view }) => [name, view]));
    if (report.state === null) return true;
    const { components, counter_epoch: countedBy = '' } = report.state;
    this.#kept = {
      components: components.filter(({ name }) => names.includes(name)),
      countedBy,
      atMs: clock,
    };
    return true;
  }

  /** One of two that had one pair file stays: it is the older one when the newer one is gone. */
  #leaveOver(epoch: string, now: MonoMs): void {
    const at = this.#over.indexOf(epoch);
    if (at < 0) return;
    if (this.#instances.isGone(this.#epoch, now)) {
      this.#over.splice(at, 1);
      return;
    }
    const message = `hear computer ${this.pair.computer}: another start of it has reported since`;
    throw new DroverError('MEMBER_TWICE', message);
  }

  /** Its components for the report of the robot. */
  told(now: MonoMs, clock: EpochMs): ComponentStateFields[] {
    const trouble = this.trouble(now);
    const { computer } = this.pair;
    return this.pair.components.map((name) => {
      const known = this.#kept?.components.find((one) => one.name === name);
      // Logs of failures stay on the computer where they were written.
      const { failure_log: log, ...fields } = known ?? unknown(name);
      const place = { ...fields, computer, ...(log && this.#logFolder(name)) };
      return trouble === null ? place : { ...place, ...this.#doubt(trouble, clock) };
    });
  }

  /** Where the log of its last failed update lies on its computer. */
  #logFolder(name: string): Partial<Pick<ComponentStateFields, 'log_folder'>> {
    const roots = this.#views.get(name)?.elsewhere?.roots ?? [];
    const root = roots.find(({ component }) => component === name)?.root;
    return root === undefined ? {} : { log_folder: `${layoutOf(root).state}/logs` };
  }

  #doubt(
    code: Trouble,
    clock: EpochMs,
  ): Pick<ComponentStateFields, 'version_doubt' | 'last_error'> {
    const known = this.#heardAtMs ?? this.#kept?.atMs ?? null;
    const atMs = known ?? clock;
    const since = known !== null ? `since ${new Date(atMs).toISOString()}` : 'and was never heard';
    const why =
      code === 'MEMBER_TWICE' ? 'two computers have its pair file' : `it is away ${since}`;
    const message = `hear computer ${this.pair.computer} of this robot: ${why}`;
    const at = new Date(atMs).toISOString();
    return {
      version_doubt: code,
      last_error: { code, message, hint: CATALOGUE[code].hint, version: null, at },
    };
  }
}

const unknown = (name: string): ComponentStateFields => ({
  name,
  version: null,
  phase: 'idle',
});
