/** The rollouts of a set are stopped together, by the gate of one of them or by a person. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Controller } from '../../../broker/rollout/controller.ts';
import type { RolloutFields } from '../../../shared/formats/announcement.ts';
import type { ControllerWorld } from '../controller-world.ts';
import { startApi } from '../api.ts';
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
    const orders = told.filter(({ kind }) => kind === 'rolling_back').map(({ text }) => text);
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

test('a command about the name of a set is about all its rollouts, and is refused when none takes it', async () => {
  await play(async (world, controller) => {
    const by = { who: 'kim', reason: '' };
    const statuses = (): unknown[] => NAMES.map((name) => world.progress(`s-${name}`)?.status);
    await controller.command('s', 'pause', by);
    assert.deepEqual(statuses(), ['paused', 'paused']);
    await assert.rejects(controller.command('s', 'pause', by), /it is paused already/);
    await assert.rejects(controller.command('t', 'pause', by), { code: 'NOT_FOUND' });
  });
});

test('the API knows a set by its name, and says of a command that it is about all', async (t) => {
  await play(async (world, controller) => {
    const api = await startApi(t, {
      ...{ fleet: world.robots, controller, views: () => world.views() },
    });
    const ask = async (path: string, init: RequestInit = {}): Promise<unknown> =>
      (await api.get(`/rollouts/${path}`, init)).json();
    const found = (await ask('s')) as { set: { id: string }; rollouts: { id: string }[] };
    assert.equal(found.set.id, 's');
    assert.deepEqual(
      found.rollouts.map(({ id }) => id),
      ['s-system', 's-app'],
    );
    for (const path of ['s/history', 's/robots', 's/commands', 's/sbom']) {
      const { error } = (await ask(path)) as { error: { code: string; message: string } };
      assert.match(`${error.code} ${error.message}`, /^NOT_FOUND .* s-system, s-app$/, path);
    }
    const { commands } = (await ask('s-app/commands')) as {
      commands: { command: string; set: string | null; effect: string }[];
    };
    const rollback = commands.find(({ command }) => command === 'rollback');
    assert.equal(rollback?.set, 's');
    assert.match(
      rollback.effect,
      /^for all 2 rollouts of set s\. app 1\.1\.0: .* 0 robots go back.*\. system 1\.1\.0: /,
    );
    const headers = { 'content-type': 'application/json' };
    const said = await ask('s/rollback', { method: 'POST', headers, body: '{}' });
    const { set, rollouts: runs } = said as { set: string; rollouts: { rollout: string }[] };
    assert.deepEqual([set, runs.length], ['s', 2]);
    await world.pass(controller, 2);
    const after = (await ask('s')) as {
      rollouts: {
        words: { status: string; wave: string };
        run: { status: string; gate: unknown };
      }[];
    };
    for (const { words, run } of after.rollouts) {
      assert.deepEqual(words.status, 'rolled back');
      assert.deepEqual([words.wave, run.status, run.gate], ['rolled back', 'halted', null]);
    }
  });
});
