/** The lock of a root by its path holds when another folder stands there than the one that is locked. */

import assert from 'node:assert/strict';
import { mkdir, readdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { isLocked } from '../../../robot-client/install/kernel-locks.ts';
import { lockRoot } from '../../../robot-client/install/lock.ts';
import { openRuntime } from '../../../robot-client/install/path-lock.ts';
import { RootClaims } from '../../../robot-client/install/root-claims.ts';
import type { Scope } from '../../helpers/scope.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

async function machine(scope: Scope) {
  const folder = await tempFolder(scope);
  const { own } = openRuntime({ runtime: join(folder, 'run/drover'), memory: null });
  return { folder, own, root: join(folder, 'data/robot') };
}

describe('the lock of a path', () => {
  it('holds when another folder stands there, and for each spelling of the path', async (t) => {
    const { folder, own, root } = await machine(t);
    const claims = new RootClaims(own);
    t.after(() => claims.release());
    await symlink('data/robot', join(folder, 'link'));
    await claims.take(root);
    await rename(join(folder, 'data'), join(folder, 'away'));
    await assert.rejects(lockRoot(root, own), { code: 'ROBOT_ALREADY_RUNNING' });
    await assert.rejects(readdir(root), { code: 'ENOENT' }, 'nothing was made');
    await mkdir(root, { recursive: true });
    for (const path of [root, join(folder, 'link')])
      await assert.rejects(lockRoot(path, own), { code: 'ROBOT_ALREADY_RUNNING' });
    assert.deepEqual(await readdir(root), []);
    claims.release();
    const lock = await lockRoot(root, own);
    lock.release();
    lock.release();
  });

  it('names the one that works on a root that stands there, and a file only of one that was moved', async (t) => {
    const { folder, own, root } = await machine(t);
    const claims = new RootClaims(own);
    t.after(() => claims.release());
    await claims.take(root);
    if (!isLocked(root)) return t.skip('the kernel lists no locks of this file system');
    const usual = new RegExp(`fuser -v ${root} names it`);
    await assert.rejects(lockRoot(root, own), { hint: usual });
    await assert.rejects(lockRoot(root), { hint: usual }, 'without a folder for locks');
    await rename(join(folder, 'data'), join(folder, 'away'));
    const moved = /run\/drover\/\w+\.lock names it.* unmounted or moved/;
    await assert.rejects(lockRoot(root, own), { hint: moved });
  });

  it('holds for a link that leads to nothing any more', async (t) => {
    const { folder, own, root } = await machine(t);
    await mkdir(root, { recursive: true });
    await symlink('data/robot', join(folder, 'link'));
    const claims = new RootClaims(own);
    t.after(() => claims.release());
    await claims.take(join(folder, 'link'));
    await rename(join(folder, 'data'), join(folder, 'away'));
    await assert.rejects(lockRoot(join(folder, 'link'), own), { code: 'ROBOT_ALREADY_RUNNING' });
  });

  it('is left out where its folder cannot be made or opened', async (t) => {
    const { folder, own, root } = await machine(t);
    await writeFile(join(folder, 'file'), '');
    const none = openRuntime({ ...own, runtime: join(folder, 'file/drover') });
    assert.equal(none.own.runtime, null);
    assert.match(none.problem?.message ?? '', /ENOTDIR/);
    (await lockRoot(root, none.own)).release();
    (await lockRoot(root, { ...own, runtime: join(folder, 'not-there') })).release();
  });

  it('is taken once by one agent that asks several times at one instant', async (t) => {
    const { own, root } = await machine(t);
    const claims = new RootClaims(own);
    t.after(() => claims.release());
    await Promise.all([claims.take(root), claims.take(root), claims.take(root)]);
    assert.ok(claims.has(root));
  });
});
