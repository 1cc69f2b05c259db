import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, stat, unlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { test } from 'node:test';
import { LIMITS } from '../../../shared/base/limits.ts';
import { withFileLock } from '../../../shared/io/file-lock.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

test('of many that change one file at an instant none loses what another wrote', async (t) => {
  const path = join(await tempFolder(t), 'users.json');
  await writeFile(path, '0');
  const addOne = async () => {
    const before = Number(await readFile(path, 'utf8'));
    await setImmediate();
    await writeFile(path, String(before + 1));
  };
  await Promise.all(Array.from({ length: 12 }, () => withFileLock(path, addOne)));
  assert.equal(await readFile(path, 'utf8'), '12');
  assert.equal(existsSync(`${path}.lock`), false);
});

test('a lock that a killed command left behind holds up no other command for ever', async (t) => {
  const path = join(await tempFolder(t), 'users.json');
  await writeFile(`${path}.lock`, '');
  const old = (Date.now() - LIMITS.fileLockLeftOverMs - 1_000) / 1_000;
  await utimes(`${path}.lock`, old, old);
  assert.equal(await withFileLock(path, async () => 'done'), 'done');
  assert.equal(existsSync(`${path}.lock`), false);
});

test('an owner that was judged dead does not give back the lock of its successor', async (t) => {
  const path = join(await tempFolder(t), 'users.json');
  const lock = `${path}.lock`;
  await withFileLock(path, async () => {
    await unlink(lock);
    await writeFile(lock, 'of the next');
  });
  assert.ok((await stat(lock)).isFile());
});

test('an owner that was judged dead ends well when its successor has ended before it', async (t) => {
  const path = join(await tempFolder(t), 'users.json');
  assert.equal(await withFileLock(path, async () => unlink(`${path}.lock`)), undefined);
});
