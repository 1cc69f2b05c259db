/** Slots that a person spoilt: put aside by `adopt`, and led somewhere again by `recover`. */

import assert from 'node:assert/strict';
import { mkdir, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { layoutOf, releaseFolder, type Layout } from '../../../robot-client/install/layout.ts';
import { recoverComponent } from '../../../robot-client/recover/recover.ts';
import { adoptRoot } from '../../../robot-client/recover/adopt-root.ts';
import { encodeMachineState, freshState } from '../../../robot-client/update/state.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { makeSealedRelease } from '../install/sealed-release.ts';

/** 1.1.0 runs and 1.0.0 ran before it. @param lastActive what the state remembers of that */
async function installed(t: TestContext, lastActive: string | null = '1.1.0') {
  const layout = layoutOf(join(await tempFolder(t), 'app'));
  for (const version of ['1.0.0', '1.1.0']) await makeSealedRelease(layout, version);
  await mkdir(layout.state);
  await writeFile(layout.machineFile, encodeMachineState({ ...freshState(), lastActive }));
  await link(layout, { active: 'releases/1.1.0', rollback: 'releases/1.0.0' });
  return layout;
}

async function link(layout: Layout, to: { active?: string; rollback?: string }): Promise<void> {
  for (const slot of ['active', 'rollback'] as const) {
    await rm(layout[slot], { force: true });
    const target = to[slot];
    if (target !== undefined) await symlink(target, layout[slot]);
  }
}

const recover = ({ root }: Layout) =>
  recoverComponent({
    ...{ component: 'app', root, disk: realDisk, hooksFolder: join(root, 'no-hooks') },
    ...{ bootsMax: 3, adoptVersion: '0.0.0' },
  });
const adopt = (layout: Layout) =>
  adoptRoot(realDisk, layout, { version: '0.0.0', isDryRun: false });
const led = (layout: Layout, slot: 'active' | 'rollback') =>
  readlink(layout[slot]).catch(() => null);

describe('slots that a person led in a circle', () => {
  for (const [what, to] of [
    ['each to the other', { active: 'rollback', rollback: 'active' }],
    ['active to itself, without rollback', { active: 'active' }],
  ] as const) {
    it(`are put aside by adopt, which says that nothing boots, and repaired by recover (${what})`, async (t) => {
      const layout = await installed(t);
      await link(layout, to);
      const { problem, active } = await adopt(layout);
      assert.deepEqual([problem?.code, active], ['RELEASE_LOST', null]);
      const { version, problems } = await recover(layout);
      assert.deepEqual([version, problems], ['1.1.0', []]);
      assert.equal(await led(layout, 'active'), 'releases/1.1.0');
    });
  }

  it('are reported also where the state had lost the running version, with the releases that stand there', async (t) => {
    const layout = await installed(t, null);
    await link(layout, { active: 'rollback', rollback: 'active' });
    const { problem } = await adopt(layout);
    assert.match(problem?.message ?? '', /there: 1\.0\.0, 1\.1\.0/);
    const { problems, version } = await recover(layout);
    assert.equal(version, null);
    assert.match(JSON.stringify(problems), /RELEASE_LOST.*recover --root .*--release 1\.1\.0/);
  });
});

describe('a rollback whose release is gone', () => {
  it('is removed by recover when there is no older one, and nothing is in the way any more', async (t) => {
    const layout = await installed(t);
    await rm(releaseFolder(layout, '1.0.0'), { recursive: true });
    const { version, problems, actions } = await recover(layout);
    assert.deepEqual([version, problems], ['1.1.0', []]);
    assert.match(actions.join('\n'), /no way back until the next version/);
    assert.equal(await led(layout, 'rollback'), null);
  });

  it('leads to an older release that is whole', async (t) => {
    const layout = await installed(t);
    await link(layout, { active: 'releases/1.1.0', rollback: 'releases/1.0.5' });
    await recover(layout);
    assert.equal(await led(layout, 'rollback'), 'releases/1.0.0');
  });
});
