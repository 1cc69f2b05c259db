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
import type { MemberStep } from './member-steps.ts';
import { mayAskReady, mayBootImage, type MayBoot } from './image-set-verdict.ts';
import type { Problem } from '../../shared/base/errors.ts';
import type { MachineEvent } from './machine.ts';
import type { Job } from './state.ts';
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
  readonly #seats = new Map<string, Sitter>();
  readonly #changes = new Changes();
  /** When each component said that it is ready, in ms of the monotonic clock. */
  readonly #readyAtMs = new Map<string, number>();

  join(component: string, sitter: Sitter): SetSeat {
    this.#seats.set(component, sitter);
    return new SetSeat(this, component);
  }

  get views(): Map<string, MemberView | null> {
    return new Map([...this.#seats].map(([name, seat]) => [name, seat.view()]));
  }

  /** A component has persisted another state, or was read. */
  changed(): void {
    this.#changes.tell();
    for (const [component, sitter] of this.#seats) {
      // The component has logged a failure; it is tried again after the next change.
      if (setBackEvent(component, this.views)) sitter.goBack().catch(() => {});
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
      const found = stateOfSet(component, this.views);
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

  get mayGo(): boolean {
    return stateOfSet(this.component, this.views)?.verdict === 'go';
  }

  get backEvent(): MachineEvent | null {
    return setBackEvent(this.component, this.views);
  }

  get hinder(): string | null {
    return hindersRecall(this.component, this.views);
  }

  get staysBehind(): Problem | null {
    return staysBehind(this.component, this.views);
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
