/**
 * The rollout controller: looks at the fleet, steps each announced rollout, and tells robots with
 * signed progress. Persist, then tell: a decision is on the disk with its audit entry before the
 * first robot hears of it, and is told again after a crash. There is no decision in this file.
 */

import { openAnnouncement } from '../../shared/formats/announcement.ts';
import { signersOf } from '../../shared/formats/envelope.ts';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import type { EpochMs, RobotId } from '../../shared/base/ids.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { openProgress, signProgress, type Progress } from '../../shared/formats/progress.ts';
import { progressTopic, type Topic } from '../../shared/formats/topics.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { AnnouncementKeeper } from './announcement-keeper.ts';
import { adopt } from './takeover.ts';
import { obey } from './operator-commands.ts';
import { notLeading, obeyEarly } from './early-command.ts';
import type { Fleet } from '../control/fleet.ts';
import type { LeaseTimes } from './lease.ts';
import { lookAt, type Looked } from './reconcile.ts';
import { countToRecall, membersOf } from './classify.ts';
import type { CounterMark } from './counters.ts';
import { beginRun, isUnopened, plansOf, progressOf, type Plan, type RolloutRun } from './record.ts';
import type {
  AuditEntry,
  ControllerPort,
  RolloutCommand,
  RunView,
  Speaker,
} from './rollout-view.ts';
import { showRun } from './run-view.ts';
import { lookBack, openFirst, withdraw, type AuditDraft, type RolloutStep } from './transitions.ts';
import type { Notify } from './notify.ts';
import type { RolloutStore } from './store.ts';
import { Leadership } from './election.ts';

export interface ControllerOptions {
  /** Of this process; a topic level. */
  readonly self: string;
  readonly trust: TrustRoot;
  /** Enough for the threshold of the rollout role. */
  readonly seeds: readonly Uint8Array[];
  readonly fleet: Fleet;
  readonly store: RolloutStore;
  /** What a lost broker may have said in its terms must not be believed after ours. */
  readonly termFloor?: number;
  /** Nobody else can lead on this carrier unless its lease is retained there already. */
  readonly isAlone: boolean;
  readonly times: ControllerTimes;
  readonly notify: Notify | null;
  /** Hears each entry of the audit log after it was written. */
  readonly onDecision?: (entry: AuditEntry) => void;
  readonly log: Log;
  now(): EpochMs;
  mono(): number;
  /** Retained, QoS 1; resolves when the broker has it. */
  publish(topic: string, payload: Uint8Array): Promise<void>;
}

export interface ControllerTimes extends LeaseTimes {
  readonly lookMs: number;
  /** After the start, before the first wave of a new rollout opens: robots have to be known first. */
  readonly startMs: number;
}

interface Tracked {
  run: RolloutRun;
  readonly marks: Map<RobotId, CounterMark>;
  looked: Looked | null;
  /** Robots may not have heard the last decision. */
  isUntold: boolean;
}

/** Of these a person wants to hear at once. */
const CALLS: readonly string[] = [
  'halted',
  'awaiting_approval',
  'completed',
  'no_effect',
  'rolled_back',
];

export class Controller implements ControllerPort {
  readonly #options: ControllerOptions;
  readonly #leadership: Leadership;
  readonly #keeper: AnnouncementKeeper;
  readonly #tracked = new Map<string, Tracked>();
  readonly #told = new Map<string, Progress>();
  readonly #startedMs: number;
  readonly #startedAtMs: EpochMs;
  #plans: ReadonlyMap<string, Plan> = new Map();
  #announcedBy = '';
  #announcementSeq = 0;
  /** Term under which everything was told; null while we do not lead. */
  #toldInTerm: number | null = null;
  #queue: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | null = null;

  private constructor(options: ControllerOptions, predecessor: string | null) {
    this.#options = options;
    this.#startedMs = options.mono();
    this.#startedAtMs = options.now();
    this.#leadership = new Leadership({ ...options, predecessor });
    this.#keeper = new AnnouncementKeeper(options);
  }

  /** Remembers what the store holds; leads from the first `tick` on that may. */
  static async open(options: ControllerOptions): Promise<Controller> {
    const predecessor = await options.store.enter(options.self);
    const controller = new Controller(options, predecessor);
    for (const [id, { run, marks }] of await options.store.load()) {
      const tracked = { run, marks: new Map(marks), looked: null, isUntold: true };
      controller.#tracked.set(id, tracked);
    }
    return controller;
  }

  /** Looks at the fleet every `lookMs` until `close`. */
  run(): void {
    const { times, log } = this.#options;
    const everyMs = Math.min(times.lookMs, times.leaseMs / 8);
    let isBusy = false;
    this.#timer = setInterval(() => {
      if (isBusy) return; // a slow disk must not pile looks up
      isBusy = true;
      this.tick()
        .catch((error: unknown) => log.error({ error: String(error) }, 'reconcile pass failed'))
        .finally(() => (isBusy = false));
    }, everyMs);
  }

  async close(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    await this.#queue.catch(() => undefined); // whoever asked for it has its failure
  }

  /** A control message that the carrier holds or has just taken. */
  hear(topic: Topic, payload: Uint8Array): void {
    if (payload.byteLength === 0) return;
    if (topic.kind === 'lease') return this.#leadership.hear(payload);
    if (topic.kind !== 'updates' && topic.kind !== 'progress') return;
    try {
      if (topic.kind === 'updates') this.#takeAnnouncement(payload);
      else this.#takeProgress(openProgress(payload, this.#options.trust));
    } catch (error) {
      const problem = toProblem(error);
      this.#options.log.warn({ topic: topic.kind, problem }, 'control message refused');
    }
  }

  #takeAnnouncement(payload: Uint8Array): void {
    const { trust } = this.#options;
    const announcement = openAnnouncement(payload, trust);
    // A carrier may bring yesterday's: it would end what was announced since.
    if (announcement.seq < this.#announcementSeq) return;
    this.#announcementSeq = announcement.seq;
    this.#keeper.heard(announcement, payload);
    this.#plans = new Map(plansOf(announcement, trust).map((plan) => [plan.rollout.id, plan]));
    this.#announcedBy = `key ${signersOf(payload, trust.roles.rollout).join(', ')}`;
  }

  #takeProgress(progress: Progress): void {
    const known = this.#told.get(progress.rollout);
    if (!known || progress.seq >= known.seq) this.#told.set(progress.rollout, progress);
    const tracked = this.#tracked.get(progress.rollout);
    // A controller that was stopped has overwritten what robots should find: say it again.
    if (tracked && progress.seq < tracked.run.seq) tracked.isUntold = true;
    for (const id of this.#told.keys()) {
      if (this.#told.size > LIMITS.endedRunsMax && !this.#plans.has(id)) this.#told.delete(id);
    }
  }

  /** One round: keeps the lease and, while it holds, looks once at every rollout. */
  tick(): Promise<void> {
    return this.#enqueue(async () => {
      await this.#leadership.tick();
      const { term } = this.#leadership;
      if (term === null) return void (this.#toldInTerm = null);
      if (this.#toldInTerm !== term) {
        for (const tracked of this.#tracked.values()) tracked.isUntold = true;
        this.#toldInTerm = term;
      }
      await this.#keeper.renew();
      for (const plan of this.#plans.values()) await this.#meet(plan);
      // Each by itself: what fails for one rollout must not keep another from halting.
      let failure: unknown = null;
      for (const tracked of [...this.#tracked.values()]) {
        try {
          await this.#attend(tracked);
        } catch (error) {
          failure = error;
        }
      }
      if (failure !== null) throw failure;
      await this.#forgetOldest();
    });
  }

  /** A rollout that is announced has a record, ours or what another controller left. */
  async #meet(plan: Plan): Promise<void> {
    const { id } = plan.rollout;
    const { now, self, fleet } = this.#options;
    const known = this.#tracked.get(id);
    const told = this.#told.get(id);
    const adopted = told ? adopt(known?.run ?? null, plan, told, now()) : null;
    if (adopted) {
      const tracked = this.#track(id, adopted);
      const text = `taken over in wave ${adopted.wave}, ${adopted.status}`;
      const audit = [{ kind: 'took_over', by: `controller ${self}`, text, evidence: [] } as const];
      return this.#keep(tracked, { run: adopted, audit, isNews: true });
    }
    const by = this.#announcedBy;
    if (known) await this.#keep(known, withdraw(known.run, false, { by, successor: null }));
    const isWaiting = known && isUnopened(known.run) && known.run.status === 'rolling';
    if ((known && !isWaiting) || this.#startsInMs() > 0) return;
    const at = now();
    const watchedSinceMs = this.#startedAtMs;
    const members = membersOf({ plan, robots: fleet.robots(), now: at, watchedSinceMs });
    const run = known?.run ?? beginRun(plan, at);
    await this.#keep(known ?? this.#track(id, run), openFirst(run, { plan, members, by, now: at }));
  }

  /** Before that no first wave opens: robots have to be known first. */
  #startsInMs(): number {
    const { mono, times } = this.#options;
    return Math.max(0, this.#startedMs + times.startMs - mono());
  }

  /** Who took a rollout out of the announcement, and what says that it takes its place. */
  #endOf({ rollout }: RolloutRun): Parameters<typeof withdraw>[2] {
    const all = [...this.#plans.values()].map((one) => one.rollout);
    const successor = all.find((one) => one.supersedes.some((id) => id === rollout)) ?? null;
    return { by: this.#announcedBy, successor };
  }

  #track(id: string, run: RolloutRun): Tracked {
    const marks = this.#tracked.get(id)?.marks ?? new Map<RobotId, CounterMark>();
    const tracked: Tracked = { run, marks, looked: null, isUntold: true };
    this.#tracked.set(id, tracked);
    return tracked;
  }

  async #attend(tracked: Tracked): Promise<void> {
    const { fleet, now } = this.#options;
    const { run, marks } = tracked;
    const plan = this.#plans.get(run.rollout);
    const robots = fleet.robots();
    if (!plan) await this.#keep(tracked, withdraw(run, true, this.#endOf(run)));
    if (plan && !isUnopened(run) && run.status !== 'halted' && run.status !== 'rolling_back') {
      const watchedSinceMs = this.#startedAtMs;
      const looked = lookAt({ run, plan, robots, marks, now: now(), watchedSinceMs });
      tracked.looked = looked;
      await this.#keep(tracked, looked.step, looked.marks);
      // Not before it is kept: what a failed write lost must be counted again.
      for (const [robot, mark] of looked.marks) marks.set(robot, mark);
    }
    const left = tracked.run.recall ? countToRecall(tracked.run, robots) : 0;
    await this.#keep(tracked, lookBack(tracked.run, left));
    const isWanted = plan !== undefined || left > 0;
    const isStale = tracked.run.expiresAtMs - now() < LIMITS.progressLifeMs / 2;
    if (isWanted && (tracked.isUntold || isStale)) await this.#tell(tracked);
  }

  /** Writes what a step has changed, then tells. */
  async #keep(
    tracked: Tracked,
    step: RolloutStep,
    marks: ReadonlyMap<RobotId, CounterMark> = new Map(),
  ): Promise<void> {
    const isDecision = step.isNews || step.audit.length > 0;
    const hasCounted = marks.size > 0 || !sameRun(step.run, tracked.run);
    if (!isDecision && !hasCounted) return;
    const run = step.isNews ? this.#numbered(step.run) : step.run;
    const { run: next, entries } = this.#log(run, step.audit);
    await this.#options.store.save({ run: next, marks, audit: entries, isDecision });
    tracked.run = next;
    for (const entry of entries) this.#announce(tracked, entry);
    if (step.isNews) await this.#tell(tracked, true);
  }

  #log(run: RolloutRun, drafts: readonly AuditDraft[]): { run: RolloutRun; entries: AuditEntry[] } {
    const at = new Date(this.#options.now()).toISOString();
    const { rollout, wave, threshold, status } = run;
    const entries = drafts.map((draft, index) => {
      const evidence = [...draft.evidence];
      const seq = run.auditSeq + index + 1;
      return { ...draft, evidence, seq, at, rollout, wave, threshold, status };
    });
    return { run: { ...run, auditSeq: run.auditSeq + entries.length }, entries };
  }

  #announce(tracked: Tracked, entry: AuditEntry): void {
    const { log, notify, onDecision } = this.#options;
    onDecision?.(entry);
    log.info({ rollout: entry.rollout, kind: entry.kind, by: entry.by }, entry.text);
    if (!notify || !CALLS.includes(entry.kind)) return;
    notify(entry).catch((error: unknown) => {
      const { message: text } = toProblem(error);
      const audit = [{ kind: 'notify_failed', by: 'controller', text, evidence: [] } as const];
      const kept = this.#enqueue(() =>
        this.#keep(tracked, { run: tracked.run, audit, isNews: false }),
      );
      inBackground(log, 'note a failed notification', kept);
    });
  }

  /** The next number that robots accept; under a new term far above all that was told before. */
  #numbered(run: RolloutRun): RolloutRun {
    const term = this.#leadership.term ?? 0;
    const seq = Math.max(run.seq, term * LIMITS.seqsPerTerm) + 1;
    return { ...run, seq, expiresAtMs: this.#options.now() + LIMITS.progressLifeMs };
  }

  /** @param isNumbered it has been saved with a number of its own for this */
  async #tell(tracked: Tracked, isNumbered = false): Promise<void> {
    const { trust, seeds, store, now, log } = this.#options;
    if (!isNumbered) {
      tracked.run = this.#numbered(tracked.run);
      await store.save({ run: tracked.run, isDecision: true });
    }
    // The last moment: who has lost the lease while it was writing must not speak.
    if (this.#leadership.term === null) return void (tracked.isUntold = true);
    const bytes = signProgress(progressOf(tracked.run, trust.fleet, now()), seeds);
    tracked.isUntold = false;
    try {
      await this.#options.publish(
        progressTopic(tracked.run.rollout as Plan['rollout']['id']),
        bytes,
      );
    } catch (error) {
      tracked.isUntold = true;
      log.warn(
        { rollout: tracked.run.rollout, problem: toProblem(error) },
        'could not publish progress',
      );
    }
  }

  /** @throws DroverError NOT_FOUND, and as `obey`, `obeyEarly` and `notLeading` */
  command(id: string, command: RolloutCommand, by: Speaker): Promise<void> {
    return this.#enqueue(async () => {
      const plan = this.#plans.get(id) ?? null;
      const what = `${command} rollout ${id}`;
      if (!plan && !this.#tracked.has(id)) {
        throw new DroverError('NOT_FOUND', `${what}: it was never announced here`);
      }
      if (this.#leadership.term === null) throw notLeading(what, this.#leadership.leader());
      if (plan) await this.#meet(plan);
      const said = { command, ...by };
      const now = this.#options.now();
      const known = this.#tracked.get(id);
      if (known) return this.#keep(known, obey(known.run, said, { plan, now }));
      if (!plan) return;
      const early = { leftMs: this.#startsInMs(), by: this.#announcedBy, now };
      const { run, step } = obeyEarly(plan, said, early);
      await this.#keep(this.#track(id, run), step);
    });
  }

  history(id: string, after: number, limit: number): Promise<AuditEntry[]> {
    return this.#options.store.history(id, after, limit);
  }

  get isLeading(): boolean {
    return this.#leadership.term !== null;
  }

  view(id: string): RunView | null {
    const tracked = this.#tracked.get(id);
    const plan = this.#plans.get(id) ?? null;
    const { self: controller } = this.#options;
    return tracked ? showRun({ ...tracked, plan, controller, leading: this.isLeading }) : null;
  }

  async #forgetOldest(): Promise<void> {
    const ended = [...this.#tracked.values()].filter(({ run }) => run.withdrawn);
    if (ended.length <= LIMITS.endedRunsMax) return;
    ended.sort((a, b) => a.run.beganAtMs - b.run.beganAtMs);
    for (const { run } of ended.slice(0, ended.length - LIMITS.endedRunsMax)) {
      await this.#options.store.remove(run.rollout);
      this.#tracked.delete(run.rollout);
    }
  }

  #enqueue<T>(run: () => Promise<T>): Promise<T> {
    const next = this.#queue.then(run, run);
    this.#queue = next.catch(() => undefined); // the queue goes on; who asked has the failure
    return next;
  }
}

const sameRun = (a: RolloutRun, b: RolloutRun): boolean =>
  a === b || JSON.stringify(a) === JSON.stringify(b);
