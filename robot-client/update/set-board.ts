/**
 * The components of one robot as they see each other. It keeps nothing: each look reads the states
 * that the components have persisted, and set-verdict.ts decides.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { LIMITS } from '../../shared/base/limits.ts';
import {
  hindersRecall,
  isHeldBySet,
  isImageOpen,
  laterToGoBack,
  setBackEvent,
  staysBehind,
  stateOfSet,
  type MemberView,
  type MemberViews,
} from './set-verdict.ts';
import {
  behindOf,
  jointBackEvent,
  jointStateOf,
  viewsOfAll,
  type JointSide,
  type JointState,
  type JointViews,
} from './joint-set.ts';
import type { MemberStep } from './member-steps.ts';
import { mayAskReady, mayBootImage, type MayBoot } from './image-set-verdict.ts';
import type { Problem } from '../../shared/base/errors.ts';
import type { MachineEvent } from './machine.ts';
import { isBound, type Job } from './state.ts';
import { Changes, type Waiting } from './swap-claims.ts';

interface Sitter {
  /** Null while the root cannot be read. */
  view(): MemberView | null;
  /** Takes the event of a set that failed, if it still has. */
  goBack(): Promise<void>;
}

/** A set with a system image has begun to stop its components. */
const BEGUN: readonly MemberStep[] = ['switching', 'parked', 'trial', 'well', 'sure'];

export class SetBoard {
  /** Null on a robot of one computer. */
  readonly #joint: JointSide | null;
  readonly #seats = new Map<string, Sitter>();
  readonly #changes = new Changes();
  /** When each component said that it is ready, in ms of the monotonic clock. */
  readonly #readyAtMs = new Map<string, number>();

  constructor(joint: JointSide | null = null) {
    this.#joint = joint;
  }

  join(component: string, sitter: Sitter): SetSeat {
    this.#seats.set(component, sitter);
    return new SetSeat(this, component);
  }

  /** Of this computer. */
  get localViews(): Map<string, MemberView | null> {
    return new Map([...this.#seats].map(([name, seat]) => [name, seat.view()]));
  }

  get views(): MemberViews {
    return this.#joint ? viewsOfAll(this.localViews, this.#joint) : this.localViews;
  }

  /** Called after each change of a component of this computer. */
  onChange: () => void = () => {};

  /** A component has persisted another state, or was read, here or on another computer. */
  changed({ isElsewhere = false } = {}): void {
    this.#changes.tell();
    for (const [component, sitter] of this.#seats) {
      // The component has logged a failure; it is tried again after the next change.
      if (this.backEvent(component)) sitter.goBack().catch(() => {});
    }
    if (!isElsewhere) this.onChange();
  }

  backEvent(component: string): MachineEvent | null {
    const on = this.#jointViews();
    return this.jointState(component)
      ? jointBackEvent(component, on)
      : setBackEvent(component, on.views);
  }

  /** Null for a component in no set, or in one of this computer alone. */
  jointState(component: string): JointState | null {
    return jointStateOf(component, this.#jointViews());
  }

  staysBehind(component: string): Problem | null {
    const on = this.#jointViews();
    return behindOf(component, on) ?? staysBehind(component, on.views);
  }

  #jointViews(): JointViews {
    return { views: this.views, joint: this.#joint, local: new Set(this.#seats.keys()) };
  }

  /** The decision that asks whether this component is prepared; null when there is none. */
  openFor(component: string): string | null {
    const found = this.jointState(component);
    return found && this.#joint ? this.#joint.openFor(found.set, component) : null;
  }

  /** Resolves with the id when the leader asks whether this component is prepared. */
  async untilAsked(component: string, on: Waiting): Promise<string> {
    return await this.#untilIt(on, component, () => this.openFor(component));
  }

  /** Resolves when the leader has decided about a component that is prepared. */
  async untilDecided(component: string, on: Waiting): Promise<'go' | 'release'> {
    return await this.#untilIt(on, component, () => {
      const verdict = this.jointState(component)?.verdict;
      return verdict === 'go' || verdict === 'release' ? verdict : null;
    });
  }

  async #untilIt<T>(on: Waiting, component: string, ask: () => T | null): Promise<T> {
    let said: string | null = null;
    for (;;) {
      on.signal.throwIfAborted();
      const found = ask();
      if (found !== null) {
        if (said !== null) on.onWaiting(null, null);
        return found;
      }
      const why = this.jointState(component)?.waitingFor ?? null;
      if (why !== said) on.onWaiting(why, null);
      said = why;
      await this.#changes.next(on.signal);
    }
  }

  /**
   * Resolves when the others of the set are as far. A set that fails meanwhile aborts the effect
   * that waits, by the event of its component.
   * @throws the reason of the signal when it is aborted
   */
  async untilMayGo(component: string, on: Waiting): Promise<void> {
    let said: string | null = null;
    for (;;) {
      on.signal.throwIfAborted();
      const found = this.jointState(component) ?? stateOfSet(component, this.views);
      if (found === null || found.verdict === 'go') break;
      if (found.waitingFor !== said) on.onWaiting(found.waitingFor, null);
      said = found.waitingFor;
      await this.#changes.next(on.signal);
    }
    if (said !== null) on.onWaiting(null, null);
  }

  /** Resolves when a component has changed, or after that time. */
  async next(signal: AbortSignal, withinMs: number): Promise<void> {
    await this.#changes.next(signal, withinMs);
    signal.throwIfAborted();
  }

  /** Tells if the system image of the set may be booted: the others are stopped, and follow it. */
  mayBootImage(component: string): MayBoot {
    const found = stateOfSet(component, this.views);
    return !found || found.image === null ? 'may' : mayBootImage(found.steps, found.image);
  }

  /**
   * Of a set with a system image, whose application stays down until the last one has stopped: asks
   * until all components were ready within a short time, so that none stops for a busy one.
   * @param ask waits until this one is ready; a problem when it is given up
   * @returns that problem; null when this one may stop in its turn
   */
  async untilAllReady(
    component: string,
    on: Waiting,
    { ask, everyMs }: { ask: () => Promise<Problem | null>; readonly everyMs: number },
  ): Promise<Problem | null> {
    for (;;) {
      on.signal.throwIfAborted();
      const found = stateOfSet(component, this.views);
      if (!found || found.image === null) return null;
      const { steps, at } = found;
      if (mayAskReady(steps, at)) {
        if (steps.some((one, nth) => nth !== at && BEGUN.includes(one))) return null;
        const problem = await ask();
        if (problem) return problem;
        this.#readyAtMs.set(component, performance.now());
        this.#changes.tell();
        const first = this.#notReady(component);
        // The others go on asking until one has begun: the first may wait for a place meanwhile.
        if (first === null && found.verdict === 'go') return null;
        const whom = first === null ? found.waitingFor : `${first} to be ready: all stop together`;
        on.onWaiting(whom, null);
      } else {
        on.onWaiting(found.waitingFor, null);
      }
      await this.next(on.signal, everyMs);
    }
  }

  /** A component of the set that was not ready a moment ago; null when all were. */
  #notReady(component: string): string | null {
    const own = this.views.get(component)?.state.job?.set;
    const freshMs = performance.now() - LIMITS.setReadyHoldsMs;
    const found = own?.members.find(({ component: name }) => {
      const isStaged = this.views.get(name)?.state.phase === 'waiting';
      return isStaged && (this.#readyAtMs.get(name) ?? Number.NEGATIVE_INFINITY) < freshMs;
    });
    return found?.component ?? null;
  }

  /**
   * Lets members that were switched later go back first; not for longer than a minute.
   * @param isPatient true to wait without an end: a working set is called back, and a component of
   *   it may be busy
   */
  async untilLaterAreBack(
    component: string,
    { set }: Job,
    on: Waiting & { readonly isPatient: boolean },
  ): Promise<void> {
    if (set === null) return;
    const late = new AbortController();
    const ended = AbortSignal.any([on.signal, late.signal]);
    const waitMs = on.isPatient && set.image === component ? null : LIMITS.setRollbackWaitMs;
    if (waitMs !== null) {
      const timer = sleep(waitMs, undefined, { signal: ended, ref: false });
      timer.then(() => late.abort()).catch(() => {}); // the wait is over
    }
    let said = false;
    for (;;) {
      const first = laterToGoBack(component, set, this.views);
      if (first === null || ended.aborted) break;
      on.onWaiting(`set ${set.id}: ${first} goes back first`, null);
      said = true;
      await this.#changes.next(ended);
    }
    late.abort();
    on.signal.throwIfAborted();
    if (said) on.onWaiting(null, null);
  }
}

/** The board as one component sees it. */
export class SetSeat {
  readonly #board: SetBoard;
  readonly component: string;

  constructor(board: SetBoard, component: string) {
    this.#board = board;
    this.component = component;
  }

  get views(): MemberViews {
    return this.#board.views;
  }

  /** Another component swaps in a set with this one, which takes and leaves nothing meanwhile. */
  get isHeld(): boolean {
    return isHeldBySet(this.component, this.views);
  }

  /** It takes and leaves nothing: another component swaps with it, or it waits for a decision. */
  get isBound(): boolean {
    const own = this.views.get(this.component);
    return this.isHeld || (own !== undefined && own !== null && isBound(own.state));
  }

  get mayGo(): boolean {
    return stateOfSet(this.component, this.views)?.verdict === 'go';
  }

  get backEvent(): MachineEvent | null {
    return this.#board.backEvent(this.component);
  }

  /** True for a component in a set over several computers: the leader decides about it. */
  get isJoint(): boolean {
    return this.#board.jointState(this.component) !== null;
  }

  get openId(): string | null {
    return this.#board.openFor(this.component);
  }

  untilAsked(on: Waiting): Promise<string> {
    return this.#board.untilAsked(this.component, on);
  }

  untilDecided(on: Waiting): Promise<'go' | 'release'> {
    return this.#board.untilDecided(this.component, on);
  }

  get hinder(): string | null {
    return hindersRecall(this.component, this.views);
  }

  get staysBehind(): Problem | null {
    return this.isJoint ? null : this.#board.staysBehind(this.component);
  }

  changed(): void {
    this.#board.changed();
  }

  untilMayGo(on: Waiting): Promise<void> {
    return this.#board.untilMayGo(this.component, on);
  }

  /** True when this set has a system image that did not run before it. */
  get hasImage(): boolean {
    return (stateOfSet(this.component, this.views)?.image ?? null) !== null;
  }

  get mayBootImage(): MayBoot {
    return this.#board.mayBootImage(this.component);
  }

  /** True while the system image of the set may still be booted or left. */
  isImageOpen({ set }: Pick<Job, 'set'>): boolean {
    return set !== null && isImageOpen(set, this.views);
  }

  next(signal: AbortSignal, withinMs: number): Promise<void> {
    return this.#board.next(signal, withinMs);
  }

  untilAllReady(
    on: Waiting,
    how: { ask: () => Promise<Problem | null>; readonly everyMs: number },
  ): Promise<Problem | null> {
    return this.#board.untilAllReady(this.component, on, how);
  }

  untilLaterAreBack(job: Job, on: Waiting & { readonly isPatient: boolean }): Promise<void> {
    return this.#board.untilLaterAreBack(this.component, job, on);
  }
}
