/**
 * The contract of a controller's memory: the store in level, and the one in which the simulation
 * cuts the power. After the same steps both hold the same records, counts and history.
 */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'node:test';
import { LevelRolloutStore, type RolloutStore } from '../../broker/rollout/store.ts';
import { beginRun, plansOf, type RolloutRun } from '../../broker/rollout/record.ts';
import type { CounterMark } from '../../broker/rollout/counters.ts';
import type { AuditEntry } from '../../broker/rollout/rollout-view.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import { openAnnouncement } from '../../shared/formats/announcement.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { makeFleet } from '../helpers/fleet.ts';
import { withTempFolder } from '../helpers/temp-folder.ts';
import { MemoryStore } from '../sim/memory-store.ts';

const fleet = makeFleet();
const bundle = await fleet.makeBundle({ version: '1.1.0' });
const IDS = ['a', 'b', 'a-b'] as const;
const rollouts = IDS.map((id) => fleet.makeRollout(id, bundle));
const plans = plansOf(openAnnouncement(fleet.announce(1, rollouts), fleet.trust), fleet.trust);

const entryOf = (run: RolloutRun, seq: number): AuditEntry => ({
  ...{ kind: 'held', by: 'gate', text: `entry ${seq}`, evidence: [], seq },
  ...{ at: '2026-06-01T00:00:00.000Z', rollout: run.rollout, wave: run.wave },
  ...{ threshold: run.threshold, status: run.status },
});

const markOf = (at: number): CounterMark => ({
  ...{ epoch: `e${at}`, stints: {}, crashedInStage: -1, failedInStage: -1 },
  ...{ reportedInStage: at, outcome: null },
});

type Step =
  | {
      readonly what: 'save';
      readonly id: number;
      readonly robots: readonly string[];
      readonly entries: number;
    }
  | { readonly what: 'remove'; readonly id: number }
  | { readonly what: 'enter'; readonly self: string };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    what: fc.constant('save' as const),
    id: fc.nat(IDS.length - 1),
    robots: fc.array(fc.constantFrom('r1', 'r2', 'r-3'), { maxLength: 3 }),
    entries: fc.nat(3),
  }),
  fc.record({ what: fc.constant('remove' as const), id: fc.nat(IDS.length - 1) }),
  fc.record({ what: fc.constant('enter' as const), self: fc.constantFrom('c1', 'c2') }),
);

/** Everything that a controller can read from it. */
async function show(store: RolloutStore): Promise<unknown> {
  const runs = [...(await store.load())]
    .map(([id, { run, marks }]) => ({ id, run, marks: Object.fromEntries(marks) }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  const histories = [];
  for (const id of IDS) {
    for (const [after, limit] of [
      [0, 100],
      [2, 2],
    ] as const) {
      histories.push((await store.history(id, after, limit)).map(({ seq, text }) => [seq, text]));
    }
  }
  return { runs, histories };
}

/** Steps through both; the records rise as a controller writes them. */
class Writer {
  readonly #runs = new Map<number, RolloutRun>();

  async apply(one: Step, store: RolloutStore): Promise<unknown> {
    if (one.what === 'enter') return await store.enter(one.self);
    if (one.what === 'remove') {
      this.#runs.delete(one.id);
      return await store.remove(IDS[one.id] ?? '');
    }
    const plan = plans[one.id];
    assert.ok(plan);
    const before = this.#runs.get(one.id) ?? beginRun(plan, 1_000);
    const numbers = Array.from({ length: one.entries }, (_, at) => before.auditSeq + at + 1);
    const run = { ...before, seq: before.seq + 1, auditSeq: before.auditSeq + one.entries };
    this.#runs.set(one.id, run);
    const marks = new Map(one.robots.map((id) => [id as RobotId, markOf(run.seq)] as const));
    const audit = numbers.map((seq) => entryOf(run, seq));
    return await store.save({ run, marks, audit, isDecision: one.entries > 0 });
  }
}

test('the memory of a controller is the same in level and in the simulation, over restarts', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 15 }), async (steps) => {
      await withTempFolder(async (folder) => {
        const log = makeLog('test', 'silent');
        const memory = new MemoryStore();
        let level = await LevelRolloutStore.open(folder, log);
        const [onMemory, onLevel] = [new Writer(), new Writer()];
        for (const one of steps) {
          const answer = await onMemory.apply(one, memory);
          assert.deepEqual(await onLevel.apply(one, level), answer);
        }
        assert.deepEqual(await show(level), await show(memory));
        await level.close();
        level = await LevelRolloutStore.open(folder, log);
        assert.deepEqual(await show(level), await show(memory), 'after a restart');
        await level.close();
      });
    }),
    { numRuns: 40 },
  );
});
