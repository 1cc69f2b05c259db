/**
 * The share of a long walk that a run of CI takes: at least one point of each kind, and of the
 * others as many as chance wants. The seed is printed, and DROVER_TEST_SEED plays the same share
 * again; the campaign takes everything. Pure.
 */

import { makeRandom } from '../kill/kill-plan.ts';
import { SEED_VARIABLE } from './run-seed.ts';

export class Share {
  readonly seed: number;
  readonly #oneIn: number;
  readonly #random: () => number;
  readonly #kinds = new Set<string>();

  /** @param oneIn of so many points one is taken; 1 takes all */
  constructor(oneIn: number, seed: number) {
    this.seed = seed;
    this.#oneIn = oneIn;
    this.#random = makeRandom(seed);
  }

  /**
   * @param kindOf kinds that were met in an earlier call need not be met again
   * @returns the chosen ones in their order
   */
  of<T>(points: readonly T[], kindOf: (point: T) => string): T[] {
    if (this.#oneIn === 1) return [...points];
    const chosen = new Set(points.filter(() => this.#random() * this.#oneIn < 1));
    for (const point of chosen) this.#kinds.add(kindOf(point));
    for (const kind of new Set(points.map(kindOf))) {
      if (this.#kinds.has(kind)) continue;
      this.#kinds.add(kind);
      const alike = points.filter((point) => kindOf(point) === kind);
      chosen.add(alike[Math.floor(this.#random() * alike.length)] as T);
    }
    return points.filter((point) => chosen.has(point));
  }

  /** For the end of a test: how this share is played again. */
  get said(): string {
    return this.#oneIn === 1
      ? 'every point'
      : `one point in ${this.#oneIn} and one of each kind: ${SEED_VARIABLE}=${this.seed}`;
  }
}
