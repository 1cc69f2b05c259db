/**
 * The one claim of a robot under which a component swaps or rolls back: `goesFirst` decides, this
 * waits. A claim lives no longer than the phases of its component that need it, and ends with it.
 */

import type { RobotPhase } from '../../shared/formats/messages.ts';
import { goesFirst, isMidSwap, mayKeepClaim, type SwapWish } from './swap-order.ts';

export interface Waiting {
  readonly signal: AbortSignal;
  /** Null when nothing is waited for any more. */
  onWaiting(reason: string | null, wakeAtMs: null): void;
}

/** Lets effects wait until something has changed. */
export class Changes {
  readonly #waiters = new Set<() => void>();

  /** Resolves at the next `tell`, when the signal is aborted, or after `withinMs`. */
  async next(signal: AbortSignal, withinMs?: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = withinMs === undefined ? undefined : setTimeout(() => end(), withinMs);
      const end = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(end);
        signal.removeEventListener('abort', end);
        resolve();
      };
      this.#waiters.add(end);
      signal.addEventListener('abort', end);
      if (signal.aborted) end();
    });
  }

  tell(): void {
    for (const end of [...this.#waiters]) end();
  }
}

/** The claims of all components of one robot. */
export class SwapClaims {
  readonly #busy = new Map<string, string | null>();
  readonly #wishes = new Set<SwapWish>();
  readonly #changes = new Changes();
  #nth = 0;

  of(component: string): SwapClaim {
    return new SwapClaim(this, component);
  }

  has(component: string): boolean {
    return this.#busy.has(component);
  }

  claim(component: string, set: string | null = null): void {
    this.#busy.set(component, set);
  }

  release(component: string): void {
    if (this.#busy.delete(component)) this.#changes.tell();
  }

  /** @returns true when it had to wait @throws the reason of the signal when it is aborted */
  async take(
    component: string,
    kind: SwapWish['kind'],
    on: Waiting,
    set: string | null = null,
  ): Promise<boolean> {
    if (this.has(component)) return false;
    const wish = { component, kind, nth: (this.#nth += 1), set };
    this.#wishes.add(wish);
    let said: string | null = null;
    try {
      for (;;) {
        on.signal.throwIfAborted();
        const first = goesFirst(wish, { busy: this.#busy, wishes: [...this.#wishes] });
        if (first === null) break;
        if (first !== said) on.onWaiting(reasonOf(first), null);
        said = first;
        await this.#changes.next(on.signal);
      }
      this.claim(component, set);
      if (said !== null) on.onWaiting(null, null);
      return said !== null;
    } finally {
      this.#wishes.delete(wish);
      this.#changes.tell();
    }
  }
}

const reasonOf = (first: string): string =>
  `another component of this robot to end its swap (${first})`;

/** The claim as one component sees it. */
export class SwapClaim {
  readonly #claims: SwapClaims;
  readonly #component: string;

  constructor(claims: SwapClaims, component: string) {
    this.#claims = claims;
    this.#component = component;
  }

  get isHeld(): boolean {
    return this.#claims.has(this.#component);
  }

  /** @returns true when it had to wait @throws the reason of the signal when it is aborted */
  async take(kind: SwapWish['kind'], on: Waiting, set: string | null = null): Promise<boolean> {
    return await this.#claims.take(this.#component, kind, on, set);
  }

  release(): void {
    this.#claims.release(this.#component);
  }

  /** A swap that was interrupted continues without waiting. */
  recover(phase: RobotPhase, set: string | null = null): void {
    if (isMidSwap(phase)) this.#claims.claim(this.#component, set);
  }

  /** The component has entered this phase. */
  follow(phase: RobotPhase): void {
    if (!mayKeepClaim(phase)) this.release();
  }

  /** The component failed; what is in the middle of a swap keeps its claim while its effect runs. */
  failed(phase: RobotPhase, { hasEffectEnded }: { hasEffectEnded: boolean }): void {
    if (hasEffectEnded || !isMidSwap(phase)) this.release();
  }
}
