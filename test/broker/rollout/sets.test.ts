/** The rollouts of a set are stopped together, by the gate of one of them or by a person. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Controller } from '../../../broker/rollout/controller.ts';
import type { RolloutFields } from '../../../shared/formats/announcement.ts';
import type { ControllerWorld } from '../controller-world.ts';
import { GATES, ORDER, playRollouts } from '../twenty-robots.ts';

const NAMES = ['system', 'app'];

async function rollouts(world: ControllerWorld): Promise<RolloutFields[]> {
  const all = await Promise.all(
    NAMES.map(async (name) => {
      const bundle = await world.fleet.makeBundle({ version: '1.1.0', manifest: { name } });
      const waves = [
        { percent: 10, soak_s: 10 },
        { percent: 100, soak_s: 10 },
      ];
      const more = { waves, gates: GATES, min_canaries: 3 };
      return { name, bundle, rollout: world.fleet.makeRollout(`s-${name}`, bundle, more) };
    }),
  );
  const members = all.map(({ name, bundle, rollout }) => ({
    ...{ rollout: rollout.id, component: name, version: '1.1.0' },
    payload_sha256: bundle.artifact.sha256,
  }));
  return all.map(({ rollout }) => ({ ...rollout, set: { id: 's', members } }));
}

const play = (
  run: (world: ControllerWorld, controller: Controller) => Promise<void>,
): Promise<void> => playRollouts(rollouts, ({ world, controller }) => run(world, controller));

test('a gate that halts one rollout of a set takes the others back with it', async () => {
  await play(async (world, controller) => {
    const [a = '', b = '', c = ''] = ORDER;
    world.installed(a, 's-app', '1.1.0');
    for (const robot of [b, c]) world.failed(robot, 's-app', '1.1.0');
    await world.pass(controller, 3);
    for (const id of ['s-app', 's-system']) assert.equal(world.progress(id)?.recall, true, id);
    const told = await controller.history('s-system', 0, 100);
    const orders = told.filter(({ kind }) => kind === 'rolled_back').map(({ text }) => text);
    assert.equal(orders[0], 'rollback by controller: rollout s-app of set s goes back');
    assert.equal(orders.filter((text) => text.startsWith('rollback')).length, 1);
  });
});

test('a command about one rollout of a set is about all of them', async () => {
  await play(async (world, controller) => {
    const by = { who: 'kim', reason: 'lunch' };
    const statuses = (): unknown[] => NAMES.map((name) => world.progress(`s-${name}`)?.status);
    await controller.command('s-app', 'pause', by);
    assert.deepEqual(statuses(), ['paused', 'paused']);
    await controller.command('s-system', 'resume', by);
    assert.deepEqual(statuses(), ['rolling', 'rolling']);
    await controller.command('s-system', 'abort', by);
    await world.pass(controller, 2);
    assert.deepEqual(statuses(), ['halted', 'halted']);
    await controller.command('s-app', 'rollback', by);
    for (const name of NAMES) assert.equal(world.progress(`s-${name}`)?.recall, true);
  });
});
