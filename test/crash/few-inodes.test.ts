/**
 * A disk whose last inode was taken after a swap, while there is room for bytes: boots of the
 * version on probation are counted, and the robot goes back, since all that it needs was there.
 */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { layoutOf } from '../../robot-client/install/layout.ts';
import { fillSpares } from '../../robot-client/install/state-spare.ts';
import { encodeMachineState, freshState } from '../../robot-client/update/state.ts';
import { swapTo } from '../../robot-client/update/swap.ts';
import { file, folder, link } from './disk-image.ts';
import { ModelDisk } from './model-disk.ts';
import { inodesOf } from './pending.ts';
import { recover, Release, Robot, ROOT, treeOf } from './robot.ts';
import { sickHooks } from './sick-hooks.ts';

const [OLD, NEW] = ['1.0.0', '1.1.0'];
const BOOTS_MAX = 3; // of the robots here
const LINKS = { active: `${ROOT}/active`, rollback: `${ROOT}/rollback` };

const START = folder({
  robot: folder({
    app: folder({
      releases: folder({ [OLD]: treeOf(OLD) }),
      active: link(`releases/${OLD}`),
      state: folder({ 'machine.json': file(encodeMachineState(freshState()), 0o600) }),
      ...{ bases: folder({}), staging: folder({}), seals: folder({}) },
    }),
  }),
});

const takeAllInodes = (disk: ModelDisk): void => {
  disk.inodesMax = inodesOf(disk.inodes);
};

/** An update to a version that cannot start; `onSwapped` is called when `active` leads to it. */
async function failedUpdate(t: TestContext, onSwapped: (disk: ModelDisk) => void) {
  const release = await Release.of(NEW);
  const disk = new ModelDisk(START);
  const robot = new Robot({ disk, release, hooksFolder: await sickHooks(t, NEW) });
  let isSwapped = false;
  let trial: ModelDisk | null = null;
  disk.hooks = {
    onOperation: (name, path) => {
      const isSwap = name === 'rename' && path === LINKS.active && !isSwapped;
      if (isSwap) onSwapped(disk);
      isSwapped ||= isSwap;
      // The first state after the swap is that of the trial.
      const isState = name === 'fsync folder' && path === `${ROOT}/state`;
      if (isSwapped && isState) trial ??= disk.clone({});
    },
  };
  await robot.open(NEW);
  await robot.component.close();
  return { disk, release, robot, trial: trial as ModelDisk | null };
}

describe('a disk that has no inode left after a swap', () => {
  it('counts each boot of the version on probation, and goes back when they are used up', async (t) => {
    const { release, trial } = await failedUpdate(t, () => {});
    assert.ok(trial, 'there was a probation');
    for (let boot = 1; boot <= BOOTS_MAX; boot += 1) {
      takeAllInodes(trial);
      const { version, problems, actions } = await recover(trial, release);
      assert.deepEqual([version, problems], [NEW, []]);
      assert.ok(actions.join().includes(`boot ${boot} of ${NEW}`), actions.join());
    }
    takeAllInodes(trial);
    const { version, phase } = await recover(trial, release);
    assert.deepEqual([version, phase], [OLD, 'idle']);
    assert.equal(await trial.readlink(LINKS.active), `releases/${OLD}`);
  });

  it('lets the agent go back from a version that cannot start, and remember it', async (t) => {
    const { disk, robot } = await failedUpdate(t, takeAllInodes);
    const { phase, blocked } = robot.component.view.state;
    assert.deepEqual([phase, blocked.map(({ version }) => version)], ['idle', [NEW]]);
    assert.equal(await disk.readlink(LINKS.active), `releases/${OLD}`);
  });

  it('takes no spare file for the swap itself, which the disk refuses', async () => {
    const disk = new ModelDisk(START);
    const layout = layoutOf(ROOT);
    await disk.copyTree(`${ROOT}/releases/${OLD}`, `${ROOT}/releases/${NEW}`);
    await fillSpares(disk, layout);
    takeAllInodes(disk);
    const before = await disk.list(layout.state);
    await assert.rejects(swapTo(disk, layout, { version: NEW }), { code: 'DISK_FULL' });
    assert.deepEqual(await disk.list(layout.state), before);
  });

  it('leads back without a state when each spare file was used up', async (t) => {
    const { release, trial } = await failedUpdate(t, () => {});
    assert.ok(trial, 'there was a probation');
    const spares = (await trial.list(`${ROOT}/state`)).filter((name) => name.startsWith('spare-'));
    assert.notEqual(spares.length, 0);
    for (const name of spares) await trial.unlink(`${ROOT}/state/${name}`);
    for (const name of await trial.list(`${ROOT}/staging`)) {
      await trial.removeTree(`${ROOT}/staging/${name}`);
    }
    takeAllInodes(trial);
    const { version, problems } = await recover(trial, release);
    assert.equal(version, OLD);
    assert.ok(problems.some(({ code }) => code === 'BOOT_NOT_COUNTED'));
  });
});
