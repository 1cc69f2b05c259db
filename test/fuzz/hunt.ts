/** Goes at one door with mutated inputs, and keeps those that reach code which none had reached. */

import { performance } from 'node:perf_hooks';
import { Random } from '../sim/random.ts';
import { Coverage } from './coverage.ts';
import { findingOf, type Door } from './door.ts';
import { mutate } from './mutate.ts';

/** More would make a large corpus of few ideas. */
export const INPUT_BYTES_MAX = 64 * 1024;
const CORPUS_MAX = 4_096;

export interface HuntPlan {
  readonly door: Door;
  readonly corpus: readonly Uint8Array[];
  readonly seconds: number;
  readonly seed: number;
  /** Before each input; it tells who looks on which one a hang belongs to. */
  readonly onInput: (input: Uint8Array) => void;
}

export interface Hunted {
  readonly executions: number;
  readonly functions: number;
  /** Inputs that reached something new, in their order. */
  readonly found: readonly Uint8Array[];
  /** Of several inputs one did it: what stands behind the door is asked once for all of them. */
  readonly finding: { readonly inputs: readonly Uint8Array[]; readonly error: Error } | null;
}

/** The finding that ended it, or null when the time is over. */
export async function hunt(plan: HuntPlan): Promise<Hunted> {
  return await new Hunt(plan).run();
}

class Hunt {
  readonly #plan: HuntPlan;
  readonly #random: Random;
  readonly #coverage = new Coverage();
  readonly #corpus: Uint8Array[];
  readonly #found: Uint8Array[] = [];
  #executions = 0;
  #finding: Hunted['finding'] = null;

  constructor(plan: HuntPlan) {
    this.#plan = plan;
    this.#random = new Random(plan.seed);
    this.#corpus = [...plan.door.seeds, ...plan.corpus];
  }

  async run(): Promise<Hunted> {
    const end = performance.now() + this.#plan.seconds * 1_000;
    try {
      await this.#play(this.#corpus);
      this.#coverage.hasGrown(true);
      await this.#check(this.#corpus);
      // A slow machine may have no time left after the corpus, which says little by itself.
      do {
        if (!this.#finding) await this.#turn();
      } while (!this.#finding && performance.now() < end);
    } finally {
      this.#coverage.close();
    }
    const [executions, found, finding] = [this.#executions, this.#found, this.#finding];
    return { executions, functions: this.#coverage.functions, found, finding };
  }

  async #turn(): Promise<void> {
    const inputs = Array.from({ length: this.#plan.door.batch }, () => this.#make());
    await this.#play(inputs);
    if (this.#finding) return;
    if (this.#coverage.hasGrown(false)) await this.#keepThatGrow(inputs);
    await this.#check(inputs);
  }

  #make(): Uint8Array {
    const { words } = this.#plan.door;
    const material = { words, others: this.#corpus, bytesMax: INPUT_BYTES_MAX };
    return mutate(this.#random.pick(this.#corpus), this.#random, material);
  }

  async #play(inputs: readonly Uint8Array[]): Promise<void> {
    for (const input of inputs) {
      if (this.#finding) return;
      this.#plan.onInput(input);
      this.#executions += 1;
      const error = await findingOf(this.#plan.door, input);
      if (error) this.#finding = { inputs: [input], error };
    }
  }

  /** Halves a batch until one input is left that reaches something new; what is known then is less. */
  async #keepThatGrow(inputs: readonly Uint8Array[]): Promise<void> {
    for (let left = inputs; left.length > 0;) {
      const place = await this.#firstThatGrows(left);
      const input = left[place];
      if (!input || this.#finding) return;
      await this.#play([input]);
      this.#coverage.hasGrown(true);
      if (this.#corpus.length >= CORPUS_MAX) return;
      this.#corpus.push(input);
      this.#found.push(input);
      left = left.slice(place + 1);
    }
  }

  /** -1 when none does, as when chance decided what was reached. */
  async #firstThatGrows(inputs: readonly Uint8Array[]): Promise<number> {
    let [from, to] = [0, inputs.length];
    if (!(await this.#grows(inputs))) return -1;
    while (to - from > 1) {
      const middle = Math.floor((from + to) / 2);
      if (await this.#grows(inputs.slice(from, middle))) to = middle;
      else from = middle;
    }
    return from;
  }

  async #grows(inputs: readonly Uint8Array[]): Promise<boolean> {
    this.#coverage.hasGrown(false); // forgets what ran before
    await this.#play(inputs);
    return this.#coverage.hasGrown(false);
  }

  async #check(inputs: readonly Uint8Array[]): Promise<void> {
    try {
      await this.#plan.door.check?.();
    } catch (error) {
      this.#finding ??= { inputs, error: error as Error };
    }
  }
}
