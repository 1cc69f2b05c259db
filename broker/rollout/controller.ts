/**
 * The rollout controller: reads the fleet, steps each announced rollout, and sends signed progress
 * to the robots. It persists before it publishes: a decision is on the disk with its audit entry
 * before the first robot gets it, and is published again after a crash. This file decides nothing.
 */

import { toProblem } from '../../shared/base/errors.ts';
import type { EpochMs, MonoMs, RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { eachAlone, SerialQueue } from '../../shared/base/serial-queue.ts';
import { traced } from '../../shared/io/trace.ts';
import { startTicking } from '../../shared/io/within.ts';
import type { Topic } from '../../shared/formats/topics.ts';
import { termAt } from '../../shared/rules/freshness.ts';
import { msToFirstStart } from '../../shared/rules/start-time.ts';
import { AnnouncementKeeper } from './announcement-keeper.ts';
import { beginAnew, pauseOlderCopy } from './takeover.ts';
import { isTimeDue, moveTimes, unwatchedMs } from './watched-time.ts';
import type { ControllerOptions } from './controller-options.ts';
import { lapse, obey, type OperatorCommand } from './operator-commands.ts';
import { notLeading, obeyEarly } from './early-command.ts';
import { FleetIndex, type PassFacts } from './fleet-index.ts';
import { isStop, newTracked, type Tracked } from './reconcile.ts';
import type { CounterMark } from './counters.ts';
import {
  beginRun,
  endedTooLong,
  isUnopened,
  sameRun,
  type RolloutPlan,
  type RolloutRun,
} from './record.ts';
import type { AuditEntry, RolloutCommand, RunView, Speaker } from './rollout-view.ts';
import { type ControllerPort, ledFacts, type LedFacts } from './rollout-facts.ts';
import { showRun } from './run-view.ts';
import { lookBack } from './recall.ts';
import { unknownRollout } from './set-names.ts';
import { announcedIn, obeyTogether, ordersOfSets, type RefusedMember } from './sets.ts';
import { saveCounts, saveSlices, type CountParts } from './save-counts.ts';
import type { RolloutStep } from './steps.ts';
import { openFirst, withdraw } from './transitions.ts';
import { HeardOrders } from './heard-orders.ts';
import { entriesOf, KeyWatch, underNewKeys } from './new-keys.ts';
import { announceEntry } from './notify.ts';
import { Leadership } from './leadership.ts';
import { OutrunWatch } from './outrun.ts';
import { PlaceKeeper, type PlaceWorld } from './place-keeper.ts';
import { ProgressPublisher } from './progress-publisher.ts';

export class Controller implements ControllerPort {
  readonly #options: ControllerOptions;
  readonly #leadership: Leadership;
  readonly #keeper: AnnouncementKeeper;
  readonly #tracked = new Map<string, Tracked>();
  readonly #index: FleetIndex;
  readonly #places: PlaceKeeper;
  readonly #heard: HeardOrders;
  readonly #publisher: ProgressPublisher;
  readonly #keys: KeyWatch;
  /** The keys of the role have changed: this is stored before anything else is done. */
  #hasNewKeys = false;
  readonly #outrun = new OutrunWatch();
  readonly #startedMs: MonoMs;
  #watchedSinceMs: EpochMs;
  /** Term under which all progress was published; null while we do not lead. */
  #toldInTerm: number | null = null;
  readonly #queue = new SerialQueue();
  #stop = (): void => undefined;

  private constructor(options: ControllerOptions, predecessor: string | null) {
    this.#options = options;
    this.#startedMs = options.mono();
    this.#watchedSinceMs = options.now();
    this.#leadership = new Leadership({ ...options, predecessor });
    this.#index = new FleetIndex(options);
    this.#places = new PlaceKeeper(options.fleet);
    this.#keeper = new AnnouncementKeeper(options);
    this.#keys = new KeyWatch(options.trust);
    this.#heard = new HeardOrders({
      ...options,
      onAnnouncement: (announcement, payload) => this.#keeper.heard(announcement, payload),
    });
    const [leadership, heard] = [this.#leadership, this.#heard];
    this.#publisher = new ProgressPublisher({ ...options, leadership, heard });
  }

  /** Reads the store; the controller leads from the first `tick` at which it may. */
  static async open(options: ControllerOptions): Promise<Controller> {
    const predecessor = await options.store.enter(options.self);
    const controller = new Controller(options, predecessor);
    for (const [id, { run, marks }] of await options.store.load()) {
      const watched = { now: run.watchedAtMs, mono: null };
      controller.#tracked.set(id, newTracked(run, new Map(marks), watched));
    }
    return controller;
  }

  /** Reconciles every `intervalMs` until `close`. */
  run(): void {
    const { times, log } = this.#options;
    this.#stop = startTicking(
      Math.min(times.intervalMs, times.leaseMs / 8),
      () => this.tick(),
      (error) => log.error({ error: String(error) }, 'reconcile pass failed'),
    );
  }

  async close(): Promise<void> {
    this.#stop();
    await this.#queue.idle();
    this.#index.close();
    this.#places.close();
  }

  /** Takes a control message that the carrier retains or has just received. */
  hear(topic: Topic, payload: Uint8Array): void {
    if (payload.byteLength === 0) return;
    this.#checkKeys();
    if (topic.kind === 'lease') return this.#leadership.hear(payload);
    if (topic.kind !== 'updates' && topic.kind !== 'progress') return;
    try {
      if (topic.kind === 'updates') this.#heard.takeAnnouncement(payload);
      else this.#takeProgress(payload);
    } catch (error) {
      const problem = toProblem(error);
      this.#options.log.warn({ topic: topic.kind, problem }, 'control message refused');
    }
  }

  #takeProgress(payload: Uint8Array): void {
    const progress = this.#heard.takeProgress(payload);
    const tracked = this.#tracked.get(progress.rollout);
    // A controller that was stopped has overwritten our progress: publish it again.
    if (tracked && progress.seq < tracked.run.seq) tracked.isUntold = true;
  }

  /** After a change of keys, messages under the old ones have to arrive or be published again. */
  #checkKeys(): void {
    if (!this.#keys.haveChanged()) return;
    this.#hasNewKeys = true;
    this.#heard.forget();
    this.#toldInTerm = null;
    this.#leadership.beginAnew(termAt(this.#options.now()));
    this.#keeper.forget();
  }

  async #applyNewKeys(): Promise<void> {
    const { store, trust, now, onNewKeys } = this.#options;
    await store.raiseTermFloor(termAt(now()));
    for (const [id, tracked] of this.#tracked) {
      const run = underNewKeys(tracked.run, tracked.over, trust);
      if (run) await store.save({ run, isDecision: true });
      else await store.remove(id);
      if (run) Object.assign(tracked, { run, over: null, isUntold: true });
      else this.#tracked.delete(id);
    }
    this.#index.clear();
    this.#hasNewKeys = false;
    await onNewKeys?.();
  }

  /** One pass: keeps the lease and, while it holds, reconciles every rollout once. */
  tick(): Promise<void> {
    return this.#queue.run(async () => {
      this.#checkKeys();
      if (this.#hasNewKeys) await this.#applyNewKeys();
      await this.#leadership.tick();
      const { term } = this.#leadership;
      if (term === null) {
        this.#index.clear();
        return void (this.#toldInTerm = null);
      }
      if (this.#toldInTerm !== term) {
        for (const tracked of this.#tracked.values()) tracked.isUntold = true;
        this.#toldInTerm = term;
      }
      if (await this.#isOutrun()) return;
      await this.#keeper.renew();
      for (const plan of this.#heard.plans.values()) await this.#meet(plan);
      // Each by itself: a failure of one rollout must not keep another from halting.
      await eachAlone([...this.#tracked.values()], (tracked) => this.#attend(tracked));
      // After the gates, and one after another: each sees the places that the one before granted.
      await eachAlone(this.#places.owners(this.#heard), async (id) => {
        const [tracked, step] = [this.#tracked.get(id), this.#places.step(id, this.#world())];
        if (tracked && step) await this.#keep(tracked, step);
      });
      for (const { id, said } of ordersOfSets(this.#heard.plans, this.#tracked))
        await this.#obey(id, said);
      for (const id of endedTooLong([...this.#tracked.values()].map(({ run }) => run))) {
        await this.#options.store.remove(id);
        this.#tracked.delete(id);
        this.#index.drop(id);
      }
    });
  }

  /** Continues in a higher term when robots refuse the current one as old. */
  async #isOutrun(): Promise<boolean> {
    const { fleet, store, now, mono, log } = this.#options;
    const all = [...this.#tracked.values()];
    const facts = { fleet, all, plans: this.#heard.plans, now: mono() };
    const found = this.#outrun.check({ ...facts, isEarly: this.#startsInMs() > 0 });
    if (!found) return false;
    const { tracked, text, pause } = found;
    log.warn({ rollout: tracked.run.rollout }, text);
    const audit = [{ kind: 'took_over', by: 'controller', text, evidence: [] } as const];
    await this.#keep(tracked, { run: tracked.run, audit, isNews: false });
    for (const one of pause === null ? [] : all) {
      await this.#keep(one, pauseOlderCopy(one.run, pause ?? '', now()));
    }
    await store.raiseTermFloor(termAt(now()));
    this.#leadership.beginAnew(termAt(now()));
    return true;
  }

  /** Makes a record for an announced rollout: ours, or what another controller published. */
  async #meet(plan: RolloutPlan): Promise<void> {
    const [{ id }, { now, self }] = [plan.rollout, this.#options];
    const known = this.#tracked.get(id);
    const by = this.#heard.announcedBy;
    const anew = known && beginAnew(known.run, plan, { by, now: now() });
    if (anew) {
      known.marks.clear();
      this.#index.drop(id);
      [known.reconciled, known.over] = [null, null];
      await this.#keep(known, anew);
    }
    const newer = this.#heard.newerThan(known?.run ?? null, plan, now());
    if (newer) {
      const { run, signers } = newer;
      const tracked = this.#track(id, run);
      const before = known?.over ? known.over.before : (known?.run ?? null);
      tracked.over = { before, signers };
      const text = `taken over in wave ${run.wave}, ${run.status}`;
      const audit = [{ kind: 'took_over', by: `controller ${self}`, text, evidence: [] } as const];
      return this.#keep(tracked, { run, audit, isNews: true });
    }
    const back = { by, successor: null, seq: this.#heard.seq };
    if (known) await this.#keep(known, withdraw(known.run, false, back));
    const isUnbegun = known && isUnopened(known.run) && known.run.status === 'rolling';
    const mayOpen = this.#startsInMs(plan) <= 0 && !this.#outrun.isWaiting;
    if ((known && !isUnbegun) || !mayOpen) return;
    const marks = known?.marks ?? new Map<RobotId, CounterMark>();
    const read = () => this.#factsOf(null, plan);
    await this.#index.catchUp(id, marks, read);
    if (this.#heard.plans.get(id) !== plan) return; // another announcement has arrived meanwhile
    const facts = read();
    const run = known?.run ?? { ...beginRun(plan, facts.now), announcedSeq: back.seq };
    const members = this.#index.members(facts, marks);
    const first = openFirst(run, { by, members, plan, now: facts.now });
    await this.#keep(known ?? this.#track(id, run, marks), first);
  }

  #factsOf<R>(run: R, plan: RolloutPlan): Omit<PassFacts, 'run'> & { readonly run: R } {
    const [plans, watchedSinceMs] = [this.#heard.plans, this.#watchedSinceMs];
    return { run, plan, plans, watchedSinceMs, now: this.#options.now() };
  }

  /** Before that no first wave opens: robots must report first. */
  #startsInMs(plan: RolloutPlan | null = null): number {
    const { mono, times, now } = this.#options;
    const startMs = this.#startedMs + times.startMs - mono();
    return Math.max(startMs, msToFirstStart(plan?.rollout ?? {}, now()));
  }

  #world(): PlaceWorld {
    const mayGrant = this.#startsInMs() <= 0 && !this.#outrun.isWaiting;
    const [{ plans }, tracked, now] = [this.#heard, this.#tracked, this.#options.now()];
    return { plans, tracked, watchedSinceMs: this.#watchedSinceMs, now, mayGrant };
  }

  #track(id: string, run: RolloutRun, marks = this.#tracked.get(id)?.marks): Tracked {
    const at = { now: this.#options.now(), mono: this.#options.mono() };
    const tracked = newTracked(run, marks ?? new Map<RobotId, CounterMark>(), at);
    this.#tracked.set(id, tracked);
    return tracked;
  }

  /** A soak counts the time that a controller watched, whatever the wall clock does. */
  async #watch(tracked: Tracked): Promise<void> {
    const at = { now: this.#options.now(), mono: this.#options.mono() };
    const byMs = unwatchedMs(tracked.watched, at);
    if (byMs !== 0) {
      this.#watchedSinceMs = at.now; // robots that the other clock saw have not vanished
      await this.#keep(tracked, moveTimes(tracked.run, byMs));
    } else if (isTimeDue(tracked.run, at.now)) {
      tracked.run = { ...tracked.run, watchedAtMs: at.now };
      await this.#options.store.save({ run: tracked.run, isDecision: false });
    }
    tracked.watched = at;
  }

  async #attend(tracked: Tracked): Promise<void> {
    await this.#watch(tracked);
    const [{ marks }, { rollout }] = [tracked, tracked.run];
    const pass = (): PassFacts | null => this.#passOf(tracked);
    const save: CountParts['save'] = (step, counted) => this.#keep(tracked, step, counted);
    const counts = { rollout, marks, index: this.#index, save };
    await this.#index.catchUp(rollout, marks, pass);
    if (!this.#outrun.isWaiting) await saveSlices(counts, pass);
    const { now, mayApprove } = this.#options;
    await this.#keep(tracked, lapse(tracked.run, this.#heard.plans.get(rollout), mayApprove));
    const facts = pass();
    const isAnnounced = this.#heard.plans.has(rollout);
    if (!isAnnounced) {
      await this.#keep(tracked, withdraw(tracked.run, true, this.#heard.endOf(tracked.run)));
    }
    if (facts) {
      const reconciled = this.#index.reconcile(facts, marks);
      tracked.reconciled = reconciled;
      if (!this.#outrun.isWaiting || isStop(reconciled.step)) {
        await saveCounts(counts, reconciled.step, reconciled.marks);
      }
    } else this.#index.dropMembers(rollout);
    const recall = this.#index.recallOf(tracked.run);
    await this.#keep(tracked, lookBack(tracked.run, recall));
    const isStale = tracked.run.expiresAtMs - now() < LIMITS.progressLifeMs / 2;
    if ((isAnnounced || recall.left > 0) && (tracked.isUntold || isStale)) {
      await this.#publisher.publishAgain(tracked);
    }
  }

  /** Null for a rollout that no gate watches: it has no wave, left the announcement or stopped. */
  #passOf({ run }: Tracked): PassFacts | null {
    const plan = this.#heard.plans.get(run.rollout);
    const isOver = run.status === 'halted' || run.status === 'rolling_back';
    return !plan || isUnopened(run) || isOver ? null : this.#factsOf(run, plan);
  }

  /** Saves what a step has changed, then publishes. */
  async #keep(
    tracked: Tracked,
    step: RolloutStep,
    marks: ReadonlyMap<RobotId, CounterMark> = new Map(),
  ): Promise<void> {
    const isDecision = step.isNews || step.audit.length > 0;
    const hasCounted = marks.size > 0 || !sameRun(step.run, tracked.run);
    if (!isDecision && !hasCounted) return;
    const run = step.isNews ? this.#publisher.numbered(step.run) : step.run;
    const at = new Date(this.#options.now()).toISOString();
    const timed = { ...run, watchedAtMs: this.#options.now() };
    const { run: next, entries } = entriesOf(timed, step.audit, at);
    await this.#options.store.save({ run: next, marks, audit: entries, isDecision });
    tracked.run = next;
    const keepEntry = (draft: RolloutStep['audit'][number]): Promise<void> =>
      this.#queue.run(() =>
        this.#keep(tracked, { run: tracked.run, audit: [draft], isNews: false }),
      );
    for (const entry of entries) announceEntry(entry, this.#options, keepEntry);
    if (step.isNews) await this.#publisher.publish(tracked);
  }

  /**
   * Applies to all rollouts of its set.
   * @param id of a rollout, or the name of a set
   * @throws DroverError NOT_FOUND, and as `obey`, `obeyEarly` and `notLeading`
   */
  command(id: string, command: RolloutCommand, by: Speaker): Promise<RefusedMember[]> {
    const obey = (one: string): Promise<void> => this.#obey(one, { command, ...by });
    return this.#queue.run(() => obeyTogether(id, this.#heard.plans, obey));
  }

  async #obey(id: string, said: OperatorCommand): Promise<void> {
    const plan = this.#heard.plans.get(id) ?? null;
    const what = `${said.command} rollout ${id}`;
    const isKnown = plan !== null || this.#tracked.has(id);
    if (!isKnown) throw unknownRollout(what, id, announcedIn(this.#heard.plans));
    if (this.#leadership.term === null)
      throw notLeading(what, this.#leadership.leader(), this.#options.keysProblem?.());
    if (plan) await this.#meet(plan);
    const [now, known] = [this.#options.now(), this.#tracked.get(id)];
    if (known) return this.#keep(known, traced('command', obey, [known.run, said, { plan, now }]));
    if (!plan) return;
    const early = { leftMs: this.#startsInMs(plan), by: this.#heard.announcedBy, now };
    const { run, step } = obeyEarly(plan, said, early);
    await this.#keep(this.#track(id, run), step);
  }

  history(id: string, after: number, limit: number): Promise<AuditEntry[]> {
    return this.#options.store.history(id, after, limit);
  }

  get isLeading(): boolean {
    return this.#leadership.term !== null;
  }

  view(id: string): RunView | null {
    const facts = this.facts(id);
    return facts && showRun(facts);
  }

  facts(id: string): LedFacts | null {
    const [world, leading] = [this.#world(), this.isLeading];
    const [{ watchedSinceMs, now }, { self: controller, fleet }] = [world, this.#options];
    const [heard, index, tracked] = [this.#heard, this.#index, this.#tracked.get(id)];
    const places = leading ? this.#places.view(id, world) : null;
    const more = { controller, leading, places, startsInMs: this.#startsInMs(heard.plans.get(id)) };
    return ledFacts({ id, tracked, heard, index, fleet }, { ...more, watchedSinceMs, now });
  }
}
