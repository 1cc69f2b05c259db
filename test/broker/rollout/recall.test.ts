/** A recall waits for robots that still go back, and names those that cannot. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Controller } from '../../../broker/rollout/controller.ts';
import { withTempFolder } from '../../helpers/temp-folder.ts';
import { ControllerWorld, openStore } from '../controller-world.ts';

const ROBOTS = ['r1', 'r2', 'r3'];

/** Three robots that run `x` 1.1.0, which a person has called back. */
async function playRecall(
  run: (world: ControllerWorld, controller: Controller) => Promise<void>,
): Promise<void> {
  await withTempFolder(async (folder) => {
    const world = new ControllerWorld();
    const store = await openStore(folder);
    for (const robot of ROBOTS) {
      world.online(robot);
      world.say(robot, {});
    }
    await world.announce(await world.rollout('x', '1.1.0'));
    const controller = await world.start(store);
    await world.pass(controller, 3);
    for (const robot of ROBOTS) world.installed(robot, 'x', '1.1.0');
    await controller.command('x', 'rollback', { who: 'anna', reason: 'bad' });
    await world.pass(controller, 2);
    assert.equal(controller.view('x')?.waits_for, 'recall');
    await run(world, controller);
    await store.close();
  });
}

const STINT = { stint: 2, version: '1.1.0', rollout: 'x', run_s: 60 };

function keeps(world: ControllerWorld, robot: string, code: string, version: string | null): void {
  const last_error = { code, message: 'keep 1.1.0', version };
  world.say(robot, { version: '1.1.0', usage: [STINT], last_error });
}

test('robots that cannot go back are named at once, and are all that is waited for in the end', async () => {
  await playRecall(async (world, controller) => {
    keeps(world, 'r1', 'RECALL_IMPOSSIBLE', '1.1.0');
    keeps(world, 'r2', 'RECALL_IMPOSSIBLE', null);
    await world.pass(controller, 2);
    const named = ['r1 RECALL_IMPOSSIBLE', 'r2 RECALL_IMPOSSIBLE'];
    const view = controller.view('x');
    assert.deepEqual([view?.waits_for, view?.cannot_go_back], ['recall', named]);
    world.say('r3', {});
    await world.pass(controller, 5);
    const left = controller.view('x');
    assert.deepEqual(
      [left?.status, left?.waits_for, left?.cannot_go_back],
      ['rolling_back', 'unable', named],
    );
    const held = (await controller.history('x', 0, 100)).filter(({ kind }) => kind === 'held');
    assert.match(held.at(-1)?.text ?? '', /only for 2 robots that cannot go back: r1 RECALL_IMP/);
    // The recall is still in force when the rollout leaves the announcement.
    await world.announce(await world.rollout('y', '1.2.0', { supersedes: ['x'] }));
    await world.pass(controller, 2);
    assert.equal(controller.view('x')?.waits_for, 'unable');
    for (const robot of ['r1', 'r2']) world.installed(robot, 'y', '1.2.0');
    await world.pass(controller, 2);
    assert.equal(controller.view('x')?.status, 'halted', 'a fixed version ends the wait');
  });
});

for (const code of ['DISK_READ_ONLY', 'STATE_NEWER', 'TRUST_EXPIRED', 'SLOT_FOLDER']) {
  test(`a robot that ${code} keeps from going back is waited for by name until it is repaired`, async () => {
    await playRecall(async (world, controller) => {
      for (const robot of ['r2', 'r3']) world.say(robot, {});
      keeps(world, 'r1', code, null);
      await world.pass(controller, 2);
      assert.equal(controller.view('x')?.waits_for, 'unable');
      assert.deepEqual(controller.view('x')?.cannot_go_back, [`r1 ${code}`]);
      keeps(world, 'r1', 'ANNOUNCEMENT_EXPIRED', null);
      await world.pass(controller, 2);
      assert.equal(
        controller.view('x')?.waits_for,
        'recall',
        'that keeps no robot from going back',
      );
      world.say('r1', {});
      await world.pass(controller, 2);
      assert.equal(controller.view('x')?.status, 'halted');
    });
  });
}

test('a robot that starts neither version is named, and an older word about another version is not', async () => {
  await playRecall(async (world, controller) => {
    world.say('r3', {});
    const last_error = { code: 'ROLLBACK_FAILED', message: 'no start', version: '1.1.0' };
    world.say('r1', { phase: 'stuck', rollout: 'x', version: '1.1.0', last_error });
    keeps(world, 'r2', 'RECALL_IMPOSSIBLE', '0.9.0');
    await world.pass(controller, 2);
    const view = controller.view('x');
    assert.deepEqual([view?.waits_for, view?.cannot_go_back], ['recall', ['r1 ROLLBACK_FAILED']]);
  });
});
