/**
 * The imperative shell around the machine, for one component: takes one event at a time, steps,
 * persists, runs the effects, reports. This file decides nothing.
 */

import type { Announcement } from '../shared/formats/announcement.ts';
import { DroverError, toProblem, type Problem } from '../shared/base/errors.ts';
import type { EpochMs } from '../shared/base/ids.ts';
import { LIMITS } from '../shared/base/limits.ts';
import { traced } from '../shared/io/trace.ts';
import { SerialQueue } from '../shared/base/serial-queue.ts';
import type { Decision, HeardFacts } from './update/verdict.ts';
import { accepts, orLoop, step, type Effect, type MachineEvent } from './update/machine.ts';
import { LiveView } from './fleet/live-view.ts';
import { boardView, type ComponentView } from './fleet/report.ts';
import { decideOffered, moveOf, obeyedRecall } from './update/offered.ts';
import { startEvent } from './recover/recovery.ts';
import { ReadyWord, type ClosedDoor, type Ready } from './local/ready-word.ts';
import { retriedNow } from './update/retry.ts';
import { lossOf } from './update/lost-state.ts';
import { foreignProblem } from './install/slots.ts';
import { unblocked } from './update/blocks.ts';
import { ledBack } from './update/probation.ts';
import { freshState, type MachineState } from './update/state.ts';
import type { ComponentOptions } from './component-options.ts';
import { runEffect } from './update/effects.ts';
import type { EffectContext } from './update/effect-context.ts';
import { splitProblem } from './update/assert-swappable.ts';
import { RootOpener } from './recover/open-root.ts';
import { StateKeeper, unlessStored } from './update/state-keeper.ts';
import { writeMachineState } from './update/state-file.ts';
import { SlotWatch } from './update/slot-watch.ts';
import { followsOthers, RunningEffects } from './update/running-effects.ts';
import { SetBoard, type SetSeat } from './update/set-board.ts';
import { PlaceSeat } from './update/place-seat.ts';
import { SwapClaims, type SwapClaim } from './update/swap-claims.ts';
import { isTold, logTransition, tellTransition, viewOf, type Told } from './fleet/tell.ts';

export class Component {
  readonly #options: ComponentOptions;
  #state: MachineState = freshState();
  readonly #slots: SlotWatch;
  readonly #root: RootOpener;
  readonly #live: LiveView;
  readonly #queue = new SerialQueue();
  readonly #claim: SwapClaim;
  readonly #set: SetSeat;
  readonly #word: ReadyWord;
  readonly #place: PlaceSeat;
  readonly #keeper: StateKeeper;
  readonly #effects = new RunningEffects((error) => this.#failed(error, { hasEffectEnded: true }));
  /** Considered last; after a refusal of another document it stays until a newer one. */
  #considered: Announcement | null = null;
  #refusedBeside: Announcement | null = null;
  #confirm: (() => void) | null = null;
  #loaded = false;
  #closed = false;

  constructor(options: ComponentOptions) {
    this.#options = options;
    this.#slots = new SlotWatch(options);
    this.#root = new RootOpener(options);
    [this.#word, this.#place] = [new ReadyWord(options), new PlaceSeat(options)];
    this.#live = new LiveView(options);
    const again = (): Promise<void> => this.#enqueue(() => this.#keepAgain());
    this.#keeper = new StateKeeper(options, () => void again().catch(() => {})); // queued
    this.#claim = options.claim ?? new SwapClaims().of(options.component);
    this.#set = (options.sets ?? new SetBoard()).join(this.name, {
      view: () => (this.isOpen ? boardView(this.#state, this.view) : null),
      goBack: () => this.#enqueue(() => this.#apply(this.#set.backEvent)),
    });
  }

  #now(): EpochMs {
    return this.#options.now();
  }

  get name(): string {
    return this.#options.component;
  }

  /** False while the root must not be touched, or was not read. */
  get isOpen(): boolean {
    return this.#loaded && this.#root.isOpen;
  }

  get view(): ComponentView {
    const [state, live, { held, leases }] = [this.#state, this.#live.value, this.#word];
    const [{ unkept }, { closed }, { askedAtMs, clock }] = [this.#keeper, this.#root, this.#place];
    const why = { held, leases, unkept, closed, placeAskedAtMs: askedAtMs, clock };
    return viewOf(this.#options, { slots: this.#slots, state, live, ...why });
  }

  /** Reads the state from the disk. No effect runs before all components are read. */
  async load(): Promise<void> {
    const opened = await this.#root.open(this.#options.adoptVersion, this.#now());
    // Before the state: reports never mix old and new, nor show the root of another component.
    if (this.#root.problem?.code !== 'ROOT_OTHER_COMPONENT') await this.#slots.read(opened.state);
    [this.#state, this.#slots.adoption] = [opened.state, opened.adoption];
    this.#claim.recover(this.#state.phase, this.#state.job?.set?.id); // before any starts
    if (this.#root.isOpen) await this.#word.load();
    this.#loaded = true;
  }

  /** Continues from what `load` read. */
  async start(): Promise<void> {
    if (!this.isOpen) return this.#enqueue(async () => void (await this.#hasRoot()));
    const on = { ...this.#options, state: this.#state, slots: this.#slots.slots };
    await this.#dispatch(startEvent({ ...on, at: this.#root.moment() }, 'agent'));
    this.#set.changed();
    const split = this.#root.problem ?? (await splitProblem(this.#options));
    if (split) await this.refuse(split, { stays: true });
  }

  open(): Promise<void> {
    return this.load().then(() => this.start());
  }

  /** @returns false when an effect did not end in time: it may still write */
  async close(): Promise<boolean> {
    this.#closed = true;
    this.#effects.abort('agent stops');
    await this.#queue.idle();
    this.#effects.abort('agent stops'); // ends the effect of the last event
    this.#live.close();
    this.#keeper.close();
    const hasEnded = await this.#effects.settle(this.#options.closeWaitMs ?? LIMITS.closeWaitMs);
    if (hasEnded) this.#claim.release();
    else this.#options.log.warn({ component: this.name }, 'a running step did not stop in time');
    return hasEnded;
  }

  /** Judges an announcement (or the absence of a valid one) and acts on it. */
  consider(announcement: Announcement | null, heard: HeardFacts): Promise<void> {
    this.#place.hear(heard.progress);
    return this.#enqueue(async () => {
      if (this.#state.phase === 'idle') this.#live.passed();
      const isOurs = this.isOpen && !(await this.#root.stray());
      if (!isOurs && !(await this.#hasRoot())) return;
      await this.#refreshSlots();
      if (await this.#obeyRecall(heard)) return;
      if (foreignProblem(this.#slots.slots) || this.#live.isMending) return;
      if (this.#set.isBound) return;
      if (!(await this.#hasRoot())) return;
      const { phase } = this.#state;
      if (!accepts(phase, 'offered') && !accepts(phase, 'superseded')) return;
      this.#considered = announcement ?? this.#considered;
      const [now, { slots }, state, { views }] = [this.#now(), this.#slots, this.#state, this.#set];
      const on = { ...this.#options, slots, state, views, heard, now };
      if (announcement) await this.#act(decideOffered(announcement, on), now);
    });
  }

  /** Reads the slots again: a person may have changed them. A problem is reported once. */
  async #refreshSlots(): Promise<void> {
    const { isNew, problem } = await this.#slots.refresh(this.#now());
    await this.#noteLedBack();
    if (isNew) await this.#warn('slots are not as they were left', problem);
  }

  /** A person went back by hand: that is reported, and not undone. */
  async #noteLedBack(): Promise<void> {
    const [before, next] = [this.#state, ledBack(this.#state, this.#slots.slots, this.#now())];
    if (!next?.lastProblem) return;
    this.#state = next;
    await writeMachineState(this.#options.disk, this.#options.layout, next);
    const problem = toProblem(new DroverError('ACTIVE_CHANGED', next.lastProblem.message));
    await this.#warn('active was led back by hand', problem, { before });
  }

  /** Reads slots and disk again, before a report and at each heartbeat. */
  refresh(): Promise<void> {
    return this.#enqueue(async () => {
      if (!this.isOpen) return;
      if (!(await this.#root.stray())) await this.#refreshSlots();
      if (await this.#root.probe()) await this.#hasRoot();
      await this.#keepAgain();
    });
  }

  async #noteModule(problem: Problem | null): Promise<void> {
    if (!this.#live.module(problem)) return;
    await this.#enqueue(() => this.#warn('module', problem, { version: this.#slots.active }));
    this.#set.changed();
  }

  /** A recalled rollout comes before every offer. */
  async #obeyRecall(heard: HeardFacts): Promise<boolean> {
    const { event, stays } = obeyedRecall(this.#set, heard, this.#now());
    const isNew = this.#live.stay(stays);
    await this.#apply(event);
    if (isNew && !event) await this.#warn('stays as it is', stays, { version: this.#slots.active });
    return event !== null;
  }

  /**
   * The agent refused a whole announcement: shown, and reported once for each new reason.
   * @param stays shown until an announcement is accepted, whatever the current one says
   */
  refuse(
    problem: Problem,
    { stays, isTold = true }: { stays: boolean; isTold?: boolean },
  ): Promise<void> {
    return this.#enqueue(async () => {
      this.#refusedBeside = stays ? this.#considered : null;
      await this.#noteRefusal(problem, null, isTold);
    });
  }

  /** While the application cannot reach the socket nothing is swapped, which is reported. */
  async hold(door: ClosedDoor | null): Promise<void> {
    this.#word.hold(door, this.#now());
    const problem = this.#word.held?.problem ?? null;
    await this.#enqueue(() => this.#warn('nothing is swapped', problem));
  }

  /** Resolves when a later start will know that the application uses POST /ready here. */
  ready(said: Ready): Promise<void> {
    return this.#word.say(said, this.isOpen);
  }

  /** True when there was a probation to confirm. */
  confirm(): boolean {
    this.#confirm?.();
    return this.#confirm !== null;
  }

  /** Lifts the block of a version; returns whether there was one. */
  unblock(version: string): Promise<boolean> {
    return this.#change((state) => unblocked(state, version));
  }

  /** Retries at once; returns true when something waited for another attempt. */
  async retry(): Promise<boolean> {
    if (this.#state.phase !== 'stuck') return await this.#change(retriedNow);
    await this.#dispatch({ kind: 'retried' });
    this.#options.onIdle();
    return true;
  }

  /** @param to null when there is nothing to change */
  async #change(to: (state: MachineState) => MachineState | null): Promise<boolean> {
    let next: MachineState | null = null;
    await this.#enqueue(async () => {
      next = to(this.#state);
      this.#state = next ?? this.#state;
      const { disk, layout } = this.#options;
      if (next && this.isOpen) await writeMachineState(disk, layout, next);
    });
    this.#options.onIdle();
    return next !== null;
  }

  async #act(decision: Decision, now: number): Promise<void> {
    const { verdict, wantedPackage: wanted } = decision;
    if (wanted) this.#options.wantPackage(wanted, this.#slots.active);
    const { event, waitMs } = moveOf(decision, this.#state, now);
    if (waitMs > 0) return this.#live.wait('another try after a failure', now + waitMs);
    if (verdict.kind === 'take') this.#live.take();
    await this.#apply(event);
    if (verdict.kind === 'take') return;
    if (verdict.kind === 'refuse') return this.#noteRefusal(verdict.problem, verdict.version);
    const isBeside = this.#refusedBeside !== null && this.#refusedBeside === this.#considered;
    if (!isBeside) this.#live.accept();
    const waits = verdict.kind === 'wait' && verdict.isOver !== true ? verdict : null;
    this.#live.wait(waits?.problem.message ?? null, waits?.untilMs ?? null);
  }

  /** False while the disk refuses: reported, and tried again. A root that opens is started. */
  async #hasRoot(): Promise<boolean> {
    const [wasOpen, { problem: before }] = [this.isOpen, this.#root];
    if (wasOpen && !before) return true;
    await (wasOpen ? this.#root.prepare(this.#state) : this.load());
    const [isOpen, { problem }] = [this.isOpen, this.#root];
    if (problem) {
      this.#live.wakeIn(LIMITS.retrySoonMs);
      await this.#noteRefusal(problem, null);
    } else this.#live.accept();
    if (isOpen && !wasOpen) void this.start().catch(() => {}); // queued
    return wasOpen && !problem;
  }

  async #noteRefusal(problem: Problem, version: string | null, isTold = true): Promise<void> {
    if (!this.#live.refuse(problem, version) || !isTold) return;
    await this.#warn('refused', problem, { version });
  }

  /** Logged, reported and shown; null when the problem is over. */
  async #warn(
    what: string,
    problem: Problem | null,
    { version = null, before = this.#state }: Partial<Pick<Told, 'version' | 'before'>> = {},
  ): Promise<void> {
    if (problem) {
      this.#options.log.warn({ component: this.name, version, problem }, what);
      await this.#tell({ event: 'refused', before, problem, version });
    }
    this.#options.onChange(true);
  }

  #enqueue(run: () => Promise<void>): Promise<void> {
    return this.#queue.run(async () => {
      try {
        if (!this.#closed) await run();
      } catch (error) {
        this.#failed(error);
        throw error;
      }
    });
  }

  /** Shown in reports, logged once for each new reason, and retried after a while. */
  #failed(error: unknown, how = { hasEffectEnded: false }): void {
    this.#claim.failed(this.#state.phase, how);
    const problem = toProblem(error);
    if (this.#live.fail(problem))
      this.#options.log.error({ component: this.name, error: String(error) }, 'component failed');
  }

  /** @param forRollout the rollout whose effect ended; results of an older job are dropped */
  #dispatch(event: MachineEvent, forRollout?: string): Promise<void> {
    return this.#enqueue(async () => {
      const { phase, job } = this.#state;
      if (forRollout !== undefined && job?.rollout !== forRollout) return;
      if (accepts(phase, event.kind)) return await this.#apply(event);
      this.#options.log.debug({ phase, event: event.kind }, 'dropped a late event');
    });
  }

  async #apply(event: MachineEvent | null): Promise<void> {
    if (event === null) return;
    const [before, taken] = [this.#state, orLoop(this.#state, event)];
    const given = [before, taken, this.#now()] as const;
    const { state: after, effects } = traced(`step ${this.name}`, step, given);
    const unkept = await this.#keeper.keep(after);
    const instead = unkept && unlessStored(taken, before, unkept);
    if (instead) return this.#apply(instead);
    this.#effects.abort(`left phase ${before.phase}`);
    await this.#slots.read(after); // before the state: no report shows a phase with older slots
    this.#state = after;
    for (const one of [this.#claim, this.#place]) one.follow(after.phase);
    await this.#word.follow(before.phase, after.phase);
    this.#live.rest();
    const problem = 'problem' in taken ? taken.problem : (unkept ?? lossOf(after));
    logTransition(this.#options, { event: taken.kind, before, after, problem });
    await this.#options.updateLog?.follow({ before, event: taken, after }); // before it goes back
    for (const effect of effects) this.#start(effect);
    this.#set.changed();
    if (taken.kind === 'released') this.#options.onIdle(); // orders that came while it was bound
    if (isTold(taken, after))
      await this.#tell({ event: taken.kind, before, problem, version: this.#slots.active });
    else if (unkept) await this.#noteRefusal(unkept, null);
    this.#options.onChange(true);
  }

  /** A disk that works again gets the state that it refused; until then the problem is reported. */
  async #keepAgain(): Promise<void> {
    const { unkept } = this.#keeper;
    if (!unkept || !this.isOpen) return;
    const problem = await this.#keeper.keep(this.#state);
    if (!problem) this.#live.accept(unkept.problem.code);
    if (problem?.code !== unkept.problem.code) this.#options.onChange(true);
  }

  #start(effect: Effect): void {
    const rollout = 'job' in effect ? effect.job.rollout : undefined;
    this.#effects.start(async (signal, isAlone) => {
      const isLeftOut = effect.kind === 'cleanUp' && !isAlone;
      const event = isLeftOut ? null : await runEffect(effect, this.#context(signal));
      if (signal.aborted) return;
      if (event) await this.#dispatch(event, rollout);
      else if (effect.kind === 'cleanUp') this.#options.onIdle();
    }, followsOthers(effect));
  }

  #context(signal: AbortSignal): EffectContext {
    const confirmed = new Promise<void>((resolve) => {
      this.#confirm = this.#state.phase === 'probation' ? resolve : null;
    });
    return {
      ...this.#options,
      ...{ claim: this.#claim, set: this.#set, place: this.#place, signal },
      now: () => this.#now(),
      confirmed,
      state: () => this.#state,
      readySaid: () => this.#word.said,
      leases: this.#word,
      onCleaned: (found) => this.#slots.cleaned(found),
      onModule: (problem) => void this.#noteModule(problem),
      onMending: this.#live.onMending,
      onProgress: this.#live.onProgress,
      onWaiting: this.#live.onWaiting,
    };
  }

  #tell(told: Omit<Told, 'after'>): Promise<void> {
    return tellTransition(this.#options, { ...told, after: this.#state });
  }
}
