/** What the fault of one robot, and what a robot that starts nothing, mean for a rollout. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Controller } from '../../../broker/rollout/controller.ts';
import { withTempFolder } from '../../helpers/temp-folder.ts';
import { ControllerWorld, openStore } from '../controller-world.ts';

type Play = (world: ControllerWorld, controller: Controller) => Promise<void>;

/** Robots that run 1.0.0, and a controller that leads `x` 1.1.0 for all of them at once. */
async function play(robots: readonly string[], run: Play): Promise<void> {
  await withTempFolder(async (folder) => {
    const world = new ControllerWorld();
    const store = await openStore(folder);
    for (const robot of robots) {
      world.online(robot);
      world.say(robot, {});
    }
    const gates = { batch_s: 2, evidence_wait_s: 12 };
    const whole = { waves: [{ percent: 100, soak_s: 5 }], gates };
    await world.announce(await world.rollout('x', '1.1.0', whole));
    const controller = await world.start(store);
    await world.pass(controller, 3);
    await run(world, controller);
    await store.close();
  });
}

function full(world: ControllerWorld, robot: string): void {
  const at = new Date(world.nowMs).toISOString();
  const failure = { rollout: 'x', version: '1.1.0', outcome: 'refused' as const };
  const took = { started_at: at, ended_at: at, took_s: 1, bytes: 1 };
  world.say(robot, { last_update: { ...failure, ...took, code: 'DISK_SPACE_SHORT' } });
}

test('a full disk of the only robot halts nothing, and with room it goes on', async () => {
  await play(['r1'], async (world, controller) => {
    full(world, 'r1');
    await world.pass(controller, 10);
    const run = controller.view('x');
    assert.deepEqual([run?.status, run?.attempts?.failed], ['rolling', 0]);
    assert.deepEqual(run?.attempts?.unable, ['r1 DISK_SPACE_SHORT']);
    assert.match(run?.gate?.reasons.join() ?? '', /cannot take it: r1 DISK_SPACE_SHORT/);
    const [view] = world.views();
    assert.deepEqual([view?.robots.failed, view?.robots.excluded], [0, { DISK_SPACE_SHORT: 1 }]);
    world.installed('r1', 'x', '1.1.0');
    await world.pass(controller, 60);
    assert.equal(controller.view('x')?.status, 'complete');
  });
});

test('a full disk of one of three does not hold up the others', async () => {
  await play(['r1', 'r2', 'r3'], async (world, controller) => {
    full(world, 'r1');
    for (const robot of ['r2', 'r3']) world.installed(robot, 'x', '1.1.0');
    await world.pass(controller, 60);
    const run = controller.view('x');
    assert.deepEqual([run?.status, run?.attempts?.unable], ['complete', ['r1 DISK_SPACE_SHORT']]);
  });
});

test('a robot that starts neither version has failed at once', async () => {
  await play(['r1', 'r2'], async (world, controller) => {
    const failure = { code: 'ROLLBACK_FAILED', message: 'no start', version: '1.1.0' };
    for (const robot of ['r1', 'r2']) {
      world.say(robot, { phase: 'stuck', rollout: 'x', last_error: failure });
    }
    assert.equal(world.views()[0]?.robots.failed, 2);
    await world.pass(controller, 1);
    assert.equal(controller.view('x')?.status, 'rolling_back');
    assert.match(controller.view('x')?.reasons.join() ?? '', /0 of 2 updates succeeded/);
  });
});

test('robots that went on to a newer rollout beside it leave nothing to wait for', async () => {
  await play(['r1', 'r2'], async (world, controller) => {
    world.online('r2', false);
    world.installed('r1', 'x', '1.1.0');
    await world.pass(controller, 2);
    assert.equal(world.progress('x')?.settled, true);
    world.installed('r1', 'y', '1.2.0');
    await world.pass(controller, 3);
    assert.deepEqual(
      [world.progress('x')?.status, world.progress('x')?.settled],
      ['rolling', true],
    );
  });
});
