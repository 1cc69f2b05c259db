import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile, stat, unlink, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { LIMITS } from '../../../shared/base/limits.ts';
import { withFileLock } from '../../../shared/io/file-lock.ts';
import { startChild } from '../../helpers/child.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const MODULE = new URL('../../../shared/io/file-lock.js', import.meta.url).href;

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

test('a lock of a process that was killed is free at once, whatever its age', async (t) => {
  const path = join(await tempFolder(t), 'users.json');
  const program = `const { withFileLock } = await import(${JSON.stringify(MODULE)});
    await withFileLock(${JSON.stringify(path)}, () => {
      console.log('mine');
      return new Promise(() => setInterval(() => {}, 1e6));
    });`;
  const child = startChild(t, process.execPath, ['--input-type=module', '-e', program]);
  await child.waitForOutput(/mine/);
  const lock = `${path}.lock`;
  const next = withFileLock(path, async () => 'done');
  await sleep(LIMITS.fileLockLookMs * 5);
  await utimes(lock, 1, 1); // as a clock that jumps makes it look
  await sleep(LIMITS.fileLockLookMs * 5);
  assert.ok(existsSync(lock), 'its owner lives');
  child.kill('SIGKILL');
  await child.exit;
  assert.equal(await next, 'done');
  assert.deepEqual(await readdir(dirname(path)), []);
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
