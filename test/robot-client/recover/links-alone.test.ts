/**
 * A state that is not ours to change, and links that lead to nothing whole: `recover` repairs the
 * links alone.
 */

import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { layoutOf } from '../../../robot-client/install/layout.ts';
import { recoverComponent } from '../../../robot-client/recover/recover.ts';
import { freshState } from '../../../robot-client/update/state.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { faultyDisk } from '../faulty-disk.ts';
import { makeSealedRelease } from '../install/sealed-release.ts';

const NEWER = JSON.stringify({ ...freshState(), schema: 999 });

interface World {
  readonly versions: readonly string[];
  /** Versions that lost their program. */
  readonly lost?: readonly string[];
  /** Versions of which the folder is gone. */
  readonly gone?: readonly string[];
  readonly active?: string;
  readonly rollback?: string;
}

const CLOSED = ['STATE_NEWER', 'PERMISSION_DENIED'] as const;

async function play(t: TestContext, code: (typeof CLOSED)[number], world: World) {
  const root = join(await tempFolder(t), 'app');
  const layout = layoutOf(root);
  const { versions, lost = [], gone = [], active, rollback } = world;
  await mkdir(layout.state, { recursive: true });
  for (const version of versions) {
    const tree = await makeSealedRelease(layout, version);
    if (lost.includes(version)) await rm(join(tree, 'bin/run'));
    if (gone.includes(version)) await rm(tree, { recursive: true });
  }
  if (active !== undefined) await symlink(`releases/${active}`, layout.active);
  if (rollback !== undefined) await symlink(`releases/${rollback}`, layout.rollback);
  await writeFile(layout.machineFile, NEWER);
  const disk = faultyDisk(({ name, path }) => {
    if (code !== 'PERMISSION_DENIED' || name !== 'readFile' || path !== layout.machineFile) return;
    throw new DroverError(code, `read ${path}: EACCES`);
  });
  const recover = (release?: string) =>
    recoverComponent({
      ...{ component: 'app', root, disk, hooksFolder: join(root, 'none') },
      ...{ bootsMax: 3, adoptVersion: '0.0.0', isBoot: false, release },
    });
  const judge = async (boots: string | null): Promise<void> => {
    const link = await readlink(layout.active).catch(() => null);
    assert.equal(link, boots === null ? null : `releases/${boots}`);
    const back = await readlink(layout.rollback).catch(() => null);
    assert.equal(back, rollback === undefined ? null : `releases/${rollback}`, 'rollback stays');
    assert.equal(await readFile(layout.machineFile, 'utf8'), NEWER);
    assert.deepEqual(await readdir(layout.state), ['machine.json']);
  };
  return { recover, judge };
}

const BOTH = ['1.0.0', '1.1.0'];
const WORLDS: readonly (readonly [string, World, string | null])[] = [
  ['one release and no link', { versions: ['1.0.0'] }, '1.0.0'],
  ['two releases and no link', { versions: BOTH }, '1.1.0'],
  ['the newest is damaged', { versions: BOTH, lost: ['1.1.0'] }, '1.0.0'],
  ['rollback is damaged', { versions: BOTH, lost: ['1.0.0'], rollback: '1.0.0' }, '1.1.0'],
  ['rollback is whole', { versions: BOTH, rollback: '1.0.0' }, '1.0.0'],
  [
    'the release of active is gone',
    { versions: [...BOTH, '1.2.0'], gone: ['1.1.0'], active: '1.1.0' },
    '1.0.0',
  ],
  [
    'active is damaged, and a whole one is newer',
    { versions: BOTH, lost: ['1.0.0'], active: '1.0.0' },
    '1.1.0',
  ],
  ['nothing is whole', { versions: BOTH, lost: BOTH }, null],
  ['nothing was ever installed', { versions: [] }, null],
  ['active is whole', { versions: BOTH, active: '1.0.0' }, '1.0.0'],
];

for (const code of CLOSED) {
  describe(`recover beside a state that is ${code}`, () => {
    for (const [what, world, boots] of WORLDS) {
      it(`leads active to ${boots ?? 'nothing'} when ${what}, and changes nothing else`, async (t) => {
        const { recover, judge } = await play(t, code, world);
        const { version, problems } = await recover();
        assert.equal(version, boots);
        assert.ok(problems.some((one) => one.code === code));
        await judge(boots);
        const isLoss = problems.some((one) => /^RELEASE_/.test(one.code));
        assert.equal(isLoss, boots === null && world.versions.length > 0);
      });
    }

    it('tells at once that the only release left is damaged, and again at the next boot', async (t) => {
      const { recover, judge } = await play(t, code, {
        ...{ versions: BOTH, lost: ['1.0.0'], gone: ['1.1.0'] },
        ...{ active: '1.1.0', rollback: '1.0.0' },
      });
      for (let boot = 1; boot <= 2; boot += 1) {
        const { version, problems, actions } = await recover();
        assert.equal(version, '1.0.0', actions.join('\n'));
        const damage = problems.find((one) => one.code === 'RELEASE_DAMAGED');
        assert.match(damage?.message ?? '', /1\.0\.0: bin\/run/, `boot ${boot}`);
      }
      await judge('1.0.0');
    });

    it('obeys --release, and refuses what it cannot follow', async (t) => {
      const { recover, judge } = await play(t, code, { versions: BOTH, lost: ['1.1.0'] });
      await assert.rejects(recover('1.1.0'), { code: 'RELEASE_DAMAGED' });
      await judge(null);
      const { version, actions } = await recover('1.0.0');
      assert.equal(version, '1.0.0');
      assert.match(actions.join('\n'), /led active to 1\.0\.0, by the links alone/);
      await judge('1.0.0');
    });
  });
}
