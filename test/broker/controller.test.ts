import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withTempFolder } from '../helpers/temp-folder.ts';
import { ControllerWorld, openStore } from './controller-world.ts';

const ROBOTS = Array.from({ length: 20 }, (_, at) => `r${at + 1}`);

/** Twenty robots on 1.0.0, all online. */
function populate(world: ControllerWorld): void {
  for (const robot of ROBOTS) {
    world.online(robot);
    world.say(robot, { usage: [{ stint: 1, version: '1.0.0', run_s: 600 }] });
  }
}

test('a good version goes through its waves, each after its soak, and ends complete', async () => {
  await withTempFolder(async (folder) => {
    const world = new ControllerWorld();
    const store = await openStore(folder);
    populate(world);
    await world.announce(await world.rollout('good', '1.1.0'));
    const controller = await world.start(store);
    await world.pass(controller, 3);
    const first = world.progress('good');
    assert.equal(first?.status, 'rolling');
    assert.equal(first.wave, 1);
    assert.ok(first.threshold >= 0.1 && first.threshold < 0.5, String(first.threshold));
    for (const robot of ROBOTS) {
      if (controller.view('good')?.attempts?.cohort === 0) continue;
      world.installed(robot, 'good', '1.1.0');
    }
    await world.pass(controller, 9);
    assert.equal(world.progress('good')?.wave, 1, 'the soak is not over');
    await world.pass(controller, 4);
    assert.equal(world.progress('good')?.status, 'complete');
    const kinds = (await controller.history('good', 0, 100)).map((one) => one.kind);
    assert.deepEqual(kinds, ['announced', 'opened', 'held', 'passed', 'completed']);
    await controller.close();
    await store.close();
  });
});
