/**
 * No chunk in use is removed in any order of concurrent steps, and garbage is removed in the end.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { GarbageWorld, KEEP } from './garbage-world.ts';

const HASHES: readonly Sha256Hex[] = Array.from({ length: 6 }, (_, at) =>
  sha256Hex(Buffer.from([at])),
);

type Step =
  | { readonly kind: 'announce' | 'publish'; readonly hashes: readonly Sha256Hex[] }
  | { readonly kind: 'put' | 'read'; readonly hash: Sha256Hex }
  | { readonly kind: 'advance'; readonly ms: number }
  | { readonly kind: 'doubt'; readonly isOn: boolean }
  | { readonly kind: 'look' | 'room' | 'restart' };

const announce = (hashes: readonly Sha256Hex[]): Step => ({ kind: 'announce', hashes });
const publish = (hashes: readonly Sha256Hex[]): Step => ({ kind: 'publish', hashes });
const doubt = (isOn: boolean): Step => ({ kind: 'doubt', isOn });
const advance = (ms: number): Step => ({ kind: 'advance', ms });

const anyHash = fc.constantFrom(...HASHES);
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 1, arbitrary: fc.subarray([...HASHES]).map(announce) },
  { weight: 2, arbitrary: fc.subarray([...HASHES]).map(publish) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('put' as const), hash: anyHash }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('read' as const), hash: anyHash }) },
  { weight: 5, arbitrary: fc.constantFrom(1, KEEP / 4, KEEP / 2, KEEP).map(advance) },
  { weight: 8, arbitrary: fc.constant<Step>({ kind: 'look' }) },
  { weight: 1, arbitrary: fc.constantFrom(false, false, true).map(doubt) },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: 'room' }) },
  { weight: 3, arbitrary: fc.constant<Step>({ kind: 'restart' }) },
);

/** So many turns of the event loop before the next step, whether the last one has ended or not. */
const anyPlan = fc.array(fc.tuple(anyStep, fc.nat({ max: 80 })), {
  minLength: 10,
  maxLength: 80,
  size: 'max',
});

class Player {
  readonly world: GarbageWorld;
  readonly #running = new Set<Promise<void>>();
  #looking: Promise<void> | null = null;
  #settled: ReadonlySet<Sha256Hex> | null = null;
  failure: unknown = null;

  constructor(world: GarbageWorld) {
    this.world = world;
  }

  async play(step: Step): Promise<void> {
    const { world } = this;
    switch (step.kind) {
      case 'announce':
        return world.announce(step.hashes);
      case 'publish':
        return this.#go(world.publish(step.hashes));
      case 'put':
        return this.#go(world.put(step.hash));
      case 'read':
        return this.#go(world.read(step.hash));
      case 'advance':
        world.now += step.ms;
        return;
      case 'doubt':
        return world.repeat(step.isOn);
      case 'look':
        return this.#look();
      case 'room':
        return this.#go(world.makeRoom());
      case 'restart':
        // Announced, withdrawn and killed before one look: no harm in the seconds that this takes.
        if (this.#settled !== world.announced) return;
        this.#running.clear();
        this.#looking = null;
        return await world.restart();
    }
  }

  /** Waits for all running tasks, and throws the first failure. */
  async end(): Promise<void> {
    while (this.#running.size > 0) await Promise.all([...this.#running]);
    if (this.failure) throw this.failure;
    assert.deepEqual(this.world.failures, []);
  }

  #look(): void {
    if (this.#looking) return; // the collector looks once at a time
    const { announced, collector } = this.world;
    const look = async (): Promise<void> => {
      await collector.collect();
      this.#settled = announced;
      this.#looking = null;
    };
    this.#looking = look();
    this.#go(this.#looking);
  }

  #go(work: Promise<void>): void {
    const noted = work
      .catch((error: unknown) => void (this.failure ??= error))
      .finally(() => this.#running.delete(noted));
    this.#running.add(noted);
  }
}

async function playAll(
  plan: readonly (readonly [Step, number])[],
  waits: readonly number[],
): Promise<Player> {
  let at = 0;
  const turns = (): number => waits[at++ % waits.length] ?? 0;
  const player = new Player(await GarbageWorld.open(turns));
  for (const [step, pause] of plan) {
    await player.play(step);
    for (let turn = pause; turn > 0; turn -= 1) await Promise.resolve();
    if (player.failure || player.world.failures.length > 0) break;
  }
  await player.end();
  return player;
}

/** Mostly quick; now and then a disk that takes its time. */
const anyWait = fc.oneof(
  { weight: 6, arbitrary: fc.nat({ max: 4 }) },
  { weight: 1, arbitrary: fc.nat({ max: 90 }) },
);
const anyWaits = fc.array(anyWait, { minLength: 7, maxLength: 31, size: 'max' });

describe('the garbage collector', () => {
  it('removes nothing that is announced, in use, or in doubt, whatever meets what', async () => {
    let removed = 0;
    await fc.assert(
      fc.asyncProperty(anyPlan, anyWaits, async (plan, waits) => {
        const { world } = await playAll(plan, waits);
        removed += world.removed;
      }),
      { numRuns: 250 },
    );
    assert.ok(removed > 30, `${removed} removals: a test without them says nothing`);
  });

  it('has removed all unneeded chunks two keep times after the last message', async () => {
    await fc.assert(
      fc.asyncProperty(anyPlan, anyWaits, fc.subarray([...HASHES]), async (plan, waits, last) => {
        const player = await playAll(plan, waits);
        const { world } = player;
        const end: Step[] = [{ kind: 'doubt', isOn: false }, announce(last)];
        for (const step of [...end, ...Array(3).fill(advance(KEEP)), advance(0)]) {
          await player.play(step as Step);
          await player.play({ kind: 'look' });
          await player.end();
        }
        const left = [...world.stored].filter((hash) => !last.includes(hash));
        assert.deepEqual(left, []);
      }),
      { numRuns: 60 },
    );
  });
});
