/** Errors of the system about a path become refusals with a code and a hint for the operator. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { diskError } from '../../../robot-client/install/disk-error.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { isSickDisk } from '../../../robot-client/install/root-claims.ts';
import { DroverError, refusalOf } from '../../../shared/base/errors.ts';
import { isUnnamed, systemError } from '../../helpers/system-error.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { canMount, mounts, remount } from '../../e2e/mounted-roots.ts';

const FILES = 64;

/** Writes files until the disk refuses one. */
async function fill(folder: string, bytes: Uint8Array): Promise<DroverError> {
  for (let nth = 0; nth < FILES; nth += 1) {
    try {
      const file = await realDisk.open(join(folder, `file-${nth}`), 'create');
      try {
        await file.write(bytes, 0);
      } finally {
        await file.close();
      }
    } catch (thrown) {
      assert.ok(thrown instanceof DroverError, String(thrown));
      return thrown;
    }
  }
  throw new TypeError(`${FILES} files found room`);
}

describe('a disk that is full', () => {
  for (const [what, options, bytes, hint] of [
    ['without inodes names df -i', 'size=8m,nr_inodes=16', 1, /no inodes are left.*df -i/],
    ['without room names df -h', 'size=256k', 64 * 1024, /df -h PATH/],
  ] as const) {
    it(`${what}, and the code is DISK_FULL`, async (t) => {
      if (!canMount(t)) return;
      const mounted = mounts(t);
      const folder = join(await tempFolder(t), 'disk');
      await mounted.tmpfs(folder, options);
      const refusal = await fill(folder, new Uint8Array(bytes));
      assert.equal(refusal.code, 'DISK_FULL');
      assert.match(refusal.hint, hint);
    });
  }
});

describe('an error for which Node has a number and no name', () => {
  for (const [errno, code, words] of [
    ['EDQUOT', 'DISK_FULL', 'EDQUOT: disk quota exceeded'],
    ['EUCLEAN', 'DISK_WRITE_FAILED', 'EUCLEAN: structure needs cleaning'],
    ['EBADMSG', 'DISK_WRITE_FAILED', 'EBADMSG: bad message'],
  ] as const) {
    it(`is ${code} of a sick disk, in words: ${errno}`, () => {
      assert.ok(isUnnamed(errno), 'the table has what Node lacks');
      const thrown = systemError(errno, 'write', '/no-such/file');
      const refusal = diskError('write', '/no-such/file', thrown);
      assert.equal(refusal.code, code);
      assert.equal(refusal.message, `write /no-such/file: ${words}, write '/no-such/file'`);
      if (errno === 'EDQUOT') assert.match(refusal.hint, /quota -v/);
      assert.ok(isSickDisk(refusal), 'the agent stays and looks again');
      assert.equal(refusalOf(thrown)?.code, code);
      assert.match(refusalOf(thrown)?.message ?? '', new RegExp(`^${words}`));
    });
  }
});

describe('a disk that is read-only', () => {
  it('names both ways to make it writable: after an error of the file system a remount is not enough', async (t) => {
    if (!canMount(t)) return;
    const mounted = mounts(t);
    const folder = join(await tempFolder(t), 'disk');
    await mounted.tmpfs(folder, 'size=1m');
    remount(folder, 'ro');
    await assert.rejects(realDisk.open(join(folder, 'file'), 'create'), {
      code: 'DISK_READ_ONLY',
      hint: /remount,rw.*umount, fsck, mount/,
    });
  });
});
