/**
 * A stepping stone and the next version, announced alongside: robots that took the stone and went
 * on at once are evidence of its waves, and never a reason to widen them. The last test plays
 * random fleets against a real controller; robots decide by the rules that real ones decide by.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Controller } from '../../../broker/rollout/controller.ts';
import type { RobotId } from '../../../shared/base/ids.ts';
import type { RolloutFields } from '../../../shared/formats/announcement.ts';
import { cohortFraction } from '../../../shared/rules/rollout-rules.ts';
import { MemoryStore } from '../../sim/memory-store.ts';
import { ControllerWorld } from '../controller-world.ts';

const ROBOTS = ['r1', 'r2', 'r3', 'r4', 'r5', 'r6'];
const SOAK_S = 60;
const GATES = { batch_s: 2, evidence_wait_s: SOAK_S };
const WAVES = [
  { percent: 10, soak_s: SOAK_S },
  { percent: 100, soak_s: 0 },
];

interface Stage {
  readonly world: ControllerWorld;
  readonly controller: Controller;
  readonly store: MemoryStore;
}

async function play(
  more: Partial<RolloutFields>,
  ...[run, robots = ROBOTS]: [run: (stage: Stage) => Promise<void>, robots?: string[]]
): Promise<void> {
  const world = new ControllerWorld();
  const store = new MemoryStore();
  for (const robot of robots) {
    world.online(robot);
    world.say(robot, {});
  }
  await world.announce(
    await world.rollout('stone', '2.0.0', { waves: WAVES, gates: GATES, ...more }),
    await world.rollout('final', '3.0.0', { waves: [{ percent: 100, soak_s: 0 }] }),
  );
  const controller = await world.start(store);
  await world.pass(controller, 3);
  await run({ world, controller, store });
}

const fraction = (robot: string): number => cohortFraction('test', robot as RobotId);

function isOpen({ world }: Stage, robot: string): boolean {
  return fraction(robot) < (world.progress('stone')?.threshold ?? 0);
}

/** @param tells what it says of the way that it came: an agent of 0.1 tells no stints */
function goOn({ world }: Stage, robot: string, tells = true): void {
  const at = new Date(world.nowMs).toISOString();
  const took = { started_at: at, ended_at: at, took_s: 1, bytes: 1 };
  world.say(robot, {
    version: '3.0.0',
    last_update: { rollout: 'final', version: '3.0.0', outcome: 'installed', ...took },
    usage: tells
      ? [
          { stint: 3, version: '3.0.0', rollout: 'final', run_s: 1 },
          { stint: 2, version: '2.0.0', rollout: 'stone', run_s: 1 },
        ]
      : [],
  });
}

/** Each robot whose turn has come takes the stone, and goes on at the next look. */
async function takeAndGoOn(stage: Stage, tells?: boolean): Promise<void> {
  const { world, controller } = stage;
  const turn = ROBOTS.filter((robot) => isOpen(stage, robot));
  for (const robot of turn) world.installed(robot, 'stone', '2.0.0');
  await world.pass(controller, 1);
  for (const robot of turn) goOn(stage, robot, tells);
  await world.pass(controller, 5);
}

const kindsOf = ({ store }: Stage): string[] => store.entries('stone').map(({ kind }) => kind);

describe('robots that took a stepping stone and went on', () => {
  for (const tells of [true, false]) {
    const who = tells ? 'robots' : 'robots that tell no stints';
    it(`are evidence of its wave, and open nothing to others: ${who}`, async () => {
      await play({}, async (stage) => {
        const { world, controller } = stage;
        const open = world.progress('stone')?.threshold;
        for (let round = 0; round < 5; round += 1) await takeAndGoOn(stage, tells);
        assert.equal(world.progress('stone')?.threshold, open);
        const run = controller.view('stone');
        assert.deepEqual([run?.wave, run?.waits_for, run?.attempts?.installed], [1, 'soak', 1]);
        await world.pass(controller, SOAK_S);
        assert.deepEqual([world.progress('stone')?.wave, kindsOf(stage)[2]], [2, 'held']);
        await takeAndGoOn(stage, tells);
        await world.pass(controller, SOAK_S);
        assert.deepEqual(
          [world.progress('stone')?.status, world.progress('stone')?.no_effect],
          ['complete', false],
        );
        assert.ok(!kindsOf(stage).includes('raised'), kindsOf(stage).join());
      });
    });
  }

  it('are counted as gone on, and run it no more', async () => {
    await play({}, async (stage) => {
      await takeAndGoOn(stage);
      const view = stage.world.views().find(({ id }) => id === 'stone');
      assert.deepEqual([view?.robots.running, view?.robots.went_on], [0, 1]);
    });
  });

  it('are none of those that proved it badly: what was rolled back is not forgotten either', async () => {
    await play({ min_canaries: 2 }, async (stage) => {
      const { world, controller } = stage;
      const turn = ROBOTS.filter((robot) => isOpen(stage, robot));
      assert.equal(turn.length, 2);
      for (const robot of turn) {
        world.failed(robot, 'stone', '2.0.0');
        await world.pass(controller, 1);
        // The report of the next update replaces that of the last one.
        goOn(stage, robot, false);
      }
      await world.pass(controller, 2);
      assert.match(controller.view('stone')?.reasons.join() ?? '', /0 of 2 updates succeeded/);
    });
  });

  it('stay so when the next version is taken back, or when the broker no longer knows them', async () => {
    await play({}, async (stage) => {
      const { world, controller } = stage;
      const open = world.progress('stone')?.threshold;
      await takeAndGoOn(stage);
      const turn = ROBOTS.filter((robot) => isOpen(stage, robot));
      const usage = [{ stint: 4, version: '2.0.0', rollout: null, run_s: 1 }];
      for (const robot of turn) world.say(robot, { version: '2.0.0', blocked: ['3.0.0'], usage });
      await world.pass(controller, 2);
      assert.equal(controller.view('stone')?.attempts?.installed, 1);
      for (const robot of turn) world.robots.forget(robot as RobotId);
      await world.pass(controller, 5);
      assert.equal(world.progress('stone')?.threshold, open);
    });
  });
});

describe('a wave that no robot can take', () => {
  it('still reaches a little further: for that it may be raised', async () => {
    await play({}, async (stage) => {
      const { world, controller } = stage;
      const open = world.progress('stone')?.threshold ?? 0;
      for (const robot of ROBOTS.filter((one) => isOpen(stage, one))) world.online(robot, false);
      await world.pass(controller, 2);
      assert.ok((world.progress('stone')?.threshold ?? 0) > open);
      assert.ok(kindsOf(stage).includes('raised'));
    });
  });
});
