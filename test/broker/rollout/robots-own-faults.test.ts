/**
 * A fault of one robot, a robot that starts nothing, and late reports: their effect on a rollout.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Controller } from '../../../broker/rollout/controller.ts';
import type { RobotId } from '../../../shared/base/ids.ts';
import type { RolloutFields } from '../../../shared/formats/announcement.ts';
import { cohortFraction } from '../../../shared/rules/rollout-rules.ts';
import { withTempFolder } from '../../helpers/temp-folder.ts';
import { ControllerWorld, openStore } from '../controller-world.ts';

type Play = (world: ControllerWorld, controller: Controller) => Promise<void>;

/** Robots that run 1.0.0, and a controller that leads `x` 1.1.0. */
async function play(
  robots: readonly string[],
  ...[more, run]: [more: Partial<RolloutFields>, run: Play]
): Promise<void> {
  await withTempFolder(async (folder) => {
    const world = new ControllerWorld();
    const store = await openStore(folder);
    for (const robot of robots) {
      world.online(robot);
      world.say(robot, {});
    }
    await world.announce(await world.rollout('x', '1.1.0', more));
    const controller = await world.start(store);
    await world.pass(controller, 3);
    await run(world, controller);
    await store.close();
  });
}

const WHOLE = {
  waves: [{ percent: 100, soak_s: 5 }],
  gates: { batch_s: 2, evidence_wait_s: 12 },
};

function full(world: ControllerWorld, robot: string): void {
  const at = new Date(world.nowMs).toISOString();
  const failure = { rollout: 'x', version: '1.1.0', outcome: 'refused' as const };
  const took = { started_at: at, ended_at: at, took_s: 1, bytes: 1 };
  world.say(robot, { last_update: { ...failure, ...took, code: 'DISK_SPACE_SHORT' } });
}

test('a full disk of the only robot halts nothing, and with room it goes on', async () => {
  await play(['r1'], WHOLE, async (world, controller) => {
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

/** A fault that stands in the way of every version. */
const sick = (world: ControllerWorld, robot: string, code: string): void =>
  world.say(robot, { last_error: { code, message: 'sick', version: null } });

const FAULTS: readonly [string, (world: ControllerWorld, robot: string) => void][] = [
  ['DISK_SPACE_SHORT', full],
  ...[
    ...(['SLOT_FOLDER', 'ROOT_OTHER_COMPONENT', 'ROOT_REPLACED', 'ROOT_NOT_MOUNTED'] as const),
    ...(['TRUST_EXPIRED', 'ANNOUNCEMENT_EXPIRED', 'ROBOT_CLOCK_OFF'] as const),
  ].map((code) => [code, (...at: [ControllerWorld, string]) => sick(...at, code)] as const),
].map(([code, make]) => [code as string, make as typeof full]);

for (const [code, make] of FAULTS) {
  test(`${code} of one of three holds up no other, and the rollout waits for it by name`, async () => {
    await play(['r1', 'r2', 'r3'], WHOLE, async (world, controller) => {
      make(world, 'r1');
      for (const robot of ['r2', 'r3']) world.installed(robot, 'x', '1.1.0');
      await world.pass(controller, 60);
      const run = controller.view('x');
      assert.deepEqual(
        [run?.status, run?.waits_for, run?.attempts?.unable],
        ['rolling', 'unable', [`r1 ${code}`]],
      );
      assert.equal(world.progress('x')?.settled, true, 'the next version may be published');
      assert.deepEqual(world.views()[0]?.robots.excluded, { [code]: 1 });
      world.say('r1', {});
      await world.pass(controller, 1);
      world.installed('r1', 'x', '1.1.0');
      await world.pass(controller, 60);
      assert.equal(controller.view('x')?.status, 'complete');
    });
  });
}

test('a robot with a fault of its own that is offline counts as away, and a person may end the wait', async () => {
  await play(['r1', 'r2', 'r3'], WHOLE, async (world, controller) => {
    sick(world, 'r1', 'SLOT_FOLDER');
    for (const robot of ['r2', 'r3']) world.installed(robot, 'x', '1.1.0');
    await world.pass(controller, 60);
    const entries = await controller.history('x', 0, 100);
    assert.equal(entries.filter(({ text }) => text.includes('r1 SLOT_FOLDER')).length, 1);
    world.online('r1', false);
    await world.pass(controller, 3);
    assert.equal(controller.view('x')?.status, 'complete');
  });
  await play(['r1', 'r2'], WHOLE, async (world, controller) => {
    sick(world, 'r1', 'SLOT_FOLDER');
    world.installed('r2', 'x', '1.1.0');
    await world.pass(controller, 60);
    await controller.command('x', 'force-open', { who: 'kim', reason: 'scrap', wave: 1 });
    await world.pass(controller, 1);
    assert.equal(controller.view('x')?.status, 'complete');
  });
});

test('a canary with a fault of its own beside a healthy one holds no wave, also during its update', async () => {
  const more = { ...WHOLE, canaries: { robots: ['r1', 'r2'] } };
  await play(['r1', 'r2', 'r3'], more, async (world, controller) => {
    world.installed('r1', 'x', '1.1.0');
    const error = { code: 'ROOT_NOT_MOUNTED', message: 'gone', version: null };
    world.say('r2', { rollout: 'x', phase: 'downloading', last_error: error });
    await world.pass(controller, 60);
    assert.equal(controller.view('x')?.wave, 1);
  });
});

test('a wave is not opened past robots that cannot take it before they are repaired', async () => {
  const waves = [1, 100].map((percent) => ({ percent, soak_s: 0 }));
  const order = Array.from({ length: 12 }, (_, at) => `r${at}`).sort(
    (a, b) => cohortFraction('test', a as RobotId) - cohortFraction('test', b as RobotId),
  );
  const [well = ''] = order.slice(-1);
  await play(order, { waves, min_canaries: 1 }, async (world, controller) => {
    for (const robot of order) if (robot !== well) sick(world, robot, 'SLOT_FOLDER');
    await world.pass(controller, 3);
    const open = world.progress('x')?.threshold ?? 1;
    assert.ok(open < cohortFraction('test', (order[4] ?? '') as RobotId), String(open));
    assert.equal(controller.view('x')?.waits_for, 'unable');
  });
});

test('a robot that starts neither version has failed at once', async () => {
  await play(['r1', 'r2'], WHOLE, async (world, controller) => {
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

test('a wave that passed and waits for a person still does when fresh reports are gathered', async () => {
  const waves = [50, 100].map((percent) => ({ percent, soak_s: 0 }));
  const more = { waves, approve_after: [1], gates: { batch_s: 20, evidence_wait_s: 5 } };
  await play(['r1', 'r2', 'r3', 'r4'], more, async (world, controller) => {
    const open = world.progress('x')?.threshold ?? 0;
    const isOpen = (robot: string): boolean => cohortFraction('test', robot as RobotId) < open;
    const wave = ['r1', 'r2', 'r3', 'r4'].filter(isOpen);
    for (const robot of wave) world.installed(robot, 'x', '1.1.0', { run_s: 0 });
    await world.pass(controller, 3);
    assert.equal(controller.view('x')?.waits_for, 'approval');
    const did = { run_s: 60, tasks_completed: 1 };
    for (const robot of wave) world.installed(robot, 'x', '1.1.0', did);
    await world.pass(controller, 3);
    const run = controller.view('x');
    assert.deepEqual([run?.gate?.kind, run?.waits_for], ['hold', 'approval']);
    // A wave that gathers evidence needs one more approval before the next wave opens.
    await controller.command('x', 'approve', { who: 'kim', reason: '', wave: 1 });
    await world.pass(controller, 1);
    assert.deepEqual([world.progress('x')?.wave, controller.view('x')?.approved], [1, [1]]);
    await world.pass(controller, 60);
    assert.equal(world.progress('x')?.wave, 2);
  });
});

test('robots that went on to a newer rollout beside it leave nothing to wait for', async () => {
  await play(['r1', 'r2'], WHOLE, async (world, controller) => {
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

test('robots that left for a newer rollout beside it do not stand for those of the open wave', async () => {
  const waves = [50, 100].map((percent) => ({ percent, soak_s: 0 }));
  const more = { waves, min_canaries: 1, gates: { batch_s: 2, evidence_wait_s: 4 } };
  const robots = ['r1', 'r2', 'r3', 'r4'];
  await play(robots, more, async (world, controller) => {
    const open = world.progress('x')?.threshold ?? 0;
    const isOpen = (robot: string): boolean => cohortFraction('test', robot as RobotId) < open;
    const [first, later] = [robots.filter(isOpen), robots.filter((one) => !isOpen(one))];
    assert.ok(first.length > 0 && later.length > 0);
    for (const robot of first) world.installed(robot, 'x', '1.1.0');
    await world.pass(controller, 30);
    assert.equal(world.progress('x')?.wave, 2);
    for (const robot of first) world.installed(robot, 'y', '1.2.0');
    await world.pass(controller, 3);
    for (const robot of later) world.installed(robot, 'x', '1.1.0');
    await world.pass(controller, 30);
    const { status, attempts } = controller.view('x') ?? {};
    assert.equal(status, 'complete', JSON.stringify(attempts));
  });
});
