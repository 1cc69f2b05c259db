/**
 * The people of a simulated rollout that two users have to approve: its publisher and two others.
 * It records who approved which wave, also where a power cut lost the answer, and finds a wave that
 * opened without enough of them.
 */

import type { Rollout } from '../../shared/formats/announcement.ts';
import type { Progress } from '../../shared/formats/progress.ts';

const PUBLISHER = 'pub';
const USERS: readonly (string | null)[] = [PUBLISHER, 'ana', null, 'ana', 'ben'];

type Rules = Pick<Rollout, 'approve_after' | 'approvers'>;

export class SimPeople {
  readonly rules: Rules & { readonly published_by?: string };
  readonly #yes = new Map<number, Set<string>>();
  #turn = 0;

  constructor(seed: number, rules: Pick<Rollout, 'approve_after'>) {
    const isPair = rules.approve_after.length > 0 && seed % 3 > 0;
    this.rules = isPair
      ? { ...rules, approvers: 2, published_by: PUBLISHER }
      : { ...rules, approvers: 1 };
  }

  /** The next one who speaks about a wave. */
  next(wave: number): { readonly who: string; readonly user: string | null } {
    const user = USERS[this.#turn % USERS.length] ?? null;
    this.#turn += 1;
    if (user !== null && user !== PUBLISHER) {
      this.#yes.set(wave, (this.#yes.get(wave) ?? new Set()).add(user));
    }
    return { who: user ?? 'sim', user };
  }

  /** Null for a progress that obeys the rule. */
  fault(progress: Progress | null): string | null {
    const { approve_after: asked, approvers } = this.rules;
    // Over without an effect: nothing was opened.
    if (!progress || approvers < 2 || progress.no_effect) return null;
    const isPast = asked.some((wave) => progress.wave > wave);
    const isEnough = [...this.#yes.values()].some(({ size }) => size >= approvers);
    if (!isPast || isEnough) return null;
    return `no wave that ${approvers} users have to approve ends with fewer, or with the publisher's`;
  }
}
