/**
 * The components of one robot as they see each other. It keeps nothing: each look reads the states
 * that the components have persisted, and set-verdict.ts decides.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { LIMITS } from '../../shared/base/limits.ts';
import {
  hindersRecall,
  isHeldBySet,
  laterToGoBack,
  setBackEvent,
  staysBehind,
  stateOfSet,
  type MemberView,
  type MemberViews,
} from './set-verdict.ts';
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

export class SetBoard {
  readonly #seats = new Map<string, Sitter>();
  readonly #changes = new Changes();

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

  /** Lets members that were switched later go back first; not for longer than a minute. */
  async untilLaterAreBack(component: string, { set }: Job, on: Waiting): Promise<void> {
    if (set === null) return;
    const late = new AbortController();
    const ended = AbortSignal.any([on.signal, late.signal]);
    const timer = sleep(LIMITS.setRollbackWaitMs, undefined, { signal: ended, ref: false });
    timer.then(() => late.abort()).catch(() => {}); // the wait is over
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

  untilLaterAreBack(job: Job, on: Waiting): Promise<void> {
    return this.#board.untilLaterAreBack(this.component, job, on);
  }
}
