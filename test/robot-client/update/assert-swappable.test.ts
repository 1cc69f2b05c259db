/** A root in which no link can be made is found before the application is stopped for it. */

import assert from 'node:assert/strict';
import { mkdir, readdir, readlink, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { layoutOf, releaseFolder, type Layout } from '../../../robot-client/install/layout.ts';
import { assertSwappable } from '../../../robot-client/update/assert-swappable.ts';
import { prepareLayout } from '../../../robot-client/install/make-root.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { faultyDisk } from '../faulty-disk.ts';

async function running(t: TestContext): Promise<Layout> {
  const layout = layoutOf(join(await tempFolder(t), 'app'));
  await prepareLayout(realDisk, layout);
  await mkdir(releaseFolder(layout, '1.0.0'));
  await symlink('releases/1.0.0', layout.active);
  return layout;
}

/** The error with which the swap refuses. */
async function refusal(run: () => Promise<unknown>): Promise<DroverError> {
  const thrown = await run().then(
    () => null,
    (error: unknown) => error,
  );
  assert.ok(thrown instanceof DroverError, 'it was not refused');
  return thrown;
}

describe('the trial before a swap', () => {
  it('leaves the root as it was, and tells what is in the slots', async (t) => {
    const layout = await running(t);
    const before = await readdir(layout.root);
    const { active } = await assertSwappable(realDisk, layout);
    assert.equal(active.kind === 'release' && active.version, '1.0.0');
    assert.deepEqual(await readdir(layout.root), before);
  });

  it('takes a link that a power cut left beside for its own', async (t) => {
    const layout = await running(t);
    await symlink('releases/1.1.0', `${layout.active}.new`);
    await assertSwappable(realDisk, layout);
    assert.equal(await readlink(layout.active), 'releases/1.0.0');
  });

  for (const slot of ['rollback', 'active'] as const) {
    it(`refuses a folder at ${slot}.new by its name, and leaves it`, async (t) => {
      const layout = await running(t);
      const folder = `${layout[slot]}.new`;
      await mkdir(folder);
      await writeFile(join(folder, 'notes'), 'of a person');
      const { code, hint } = await refusal(() => assertSwappable(realDisk, layout));
      assert.equal(code, 'SWAP_FAILED');
      assert.ok(hint.includes(`move ${folder} away`), hint);
      assert.deepEqual(await readdir(folder), ['notes']);
      assert.equal(await readlink(layout.active), 'releases/1.0.0');
    });
  }

  for (const [operation, said, want] of [
    ['symlink', 'DISK_WRITE_FAILED', 'SWAP_FAILED'],
    ['unlink', 'DISK_WRITE_FAILED', 'SWAP_FAILED'],
    ['symlink', 'DISK_FULL', 'DISK_FULL'],
    ['unlink', 'DISK_READ_ONLY', 'DISK_READ_ONLY'],
  ] as const) {
    it(`says ${want} when the disk refuses ${operation} with ${said}`, async (t) => {
      const layout = await running(t);
      const disk = faultyDisk(({ name }) => {
        if (name === operation) throw new DroverError(said, `${operation}: refused`);
      });
      const { code, hint } = await refusal(() => assertSwappable(disk, layout));
      assert.equal(code, want);
      if (want === 'SWAP_FAILED') assert.ok(hint.includes(`ls -ld at ${layout.root}`), hint);
    });
  }

  it('keeps spare files for a way back also while `active` is lost', async (t) => {
    const layout = await running(t);
    await rename(layout.active, layout.rollback);
    await assertSwappable(realDisk, layout);
    const spares = (await readdir(layout.state)).filter((name) => name.startsWith('spare-'));
    assert.equal(spares.length, LIMITS.stateSpares);
  });

  it('tries nothing while nothing runs that could be stopped', async (t) => {
    const layout = layoutOf(join(await tempFolder(t), 'app'));
    await prepareLayout(realDisk, layout);
    const disk = faultyDisk(({ name }) => {
      if (name === 'symlink' || name === 'unlink') throw new Error(`${name} was called`);
    });
    assert.equal((await assertSwappable(disk, layout)).active.kind, 'absent');
  });
});
