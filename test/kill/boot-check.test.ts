/**
 * Checks the checker of the kill campaigns: one that never found a violation would pass each of
 * them.
 */

import assert from 'node:assert/strict';
import { chmod, mkdir, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { realDisk } from '../../robot-client/install/disk.ts';
import { stageArchive } from '../../robot-client/update/stage.ts';
import { makeFleet } from '../helpers/fleet.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { checkBoot, type Update } from './boot-check.ts';
import { parseCensus } from './strace.ts';
import { AppMaker, type AppVersion } from './versions.ts';

/** A root whose `active` leads to 1.0.0, on its way to 1.1.0. */
async function rootWithRelease(t: TestContext): Promise<{ root: string; update: Update }> {
  const root = await tempFolder(t);
  const maker = new AppMaker(makeFleet(), { fileCount: 2, fileBytes: 100, chunkBytes: 16_384 });
  const release = async (app: AppVersion): Promise<void> => {
    const payloadPath = join(root, 'payload.tar.gz');
    await writeFile(payloadPath, app.bundle.payload);
    const intoFolder = join(root, 'releases', app.version);
    const packedBytes = app.bundle.payload.byteLength;
    await stageArchive({ disk: realDisk, payloadPath, intoFolder, packedBytes });
  };
  const [from, to] = [await maker.make('1.0.0', true), await maker.make('1.1.0', true)];
  await release(from);
  await release(to);
  await symlink('releases/1.0.0', join(root, 'active'));
  return { root, update: { from, to } };
}

test('a complete old or new release is fine, and its version is returned', async (t) => {
  const { root, update } = await rootWithRelease(t);
  const old = await checkBoot(root, update);
  assert.deepEqual([old.version, old.violations], ['1.0.0', []]);
  await unlink(join(root, 'active'));
  await symlink('releases/1.1.0', join(root, 'active'));
  const updated = await checkBoot(root, update);
  assert.deepEqual([updated.version, updated.violations], ['1.1.0', []]);
});

test('a missing byte, a wrong mode, a missing file and a missing link are violations', async (t) => {
  const { root, update } = await rootWithRelease(t);
  const file = join(root, 'releases/1.0.0/lib/part-1/file-1.bin');
  const active = join(root, 'active');
  const damages: [RegExp, () => Promise<unknown>][] = [
    [/not what was built/, () => chmod(file, 0o600)],
    [/not what was built/, () => writeFile(file, 'torn')],
    [/not what was built/, () => unlink(file)],
    [/cannot be read/, () => rm(join(root, 'releases/1.0.0'), { recursive: true })],
    [/neither 1\.0\.0 nor 1\.1\.0/, () => unlink(active)],
    [/not of this update/, () => symlink('releases/9.9.9', active)],
  ];
  for (const [pattern, damage] of damages) {
    await damage();
    assert.match((await checkBoot(root, update)).violations.join('\n'), pattern);
  }
});

test('a state file that is torn is a violation', async (t) => {
  const { root, update } = await rootWithRelease(t);
  await mkdir(join(root, 'state'));
  await writeFile(join(root, 'state/machine.json'), '{"schema":1,');
  assert.match((await checkBoot(root, update)).violations.join('\n'), /state file/);
});

test('a census counts calls for each thread, opens by path, and keeps what changed files', () => {
  const log = [
    '10 openat(AT_FDCWD, "/d/a", O_RDONLY) = 3</d/a>',
    '11 rename("/other/x", "/other/y") = 0',
    '11 rename("/d/x", "/d/y") = 0',
    '11 mkdir("/d/z", 0777) = -1 EEXIST (File exists)',
    '11 openat(AT_FDCWD, "/d/b", O_RDWR|O_CREAT, 0600) = 4</d/b>',
    '11 pwrite64(4</d/b>, "x", 1, 0) = 1',
    '11 openat(AT_FDCWD, "/d/b", O_RDWR|O_CREAT, 0600) = 4</d/b>',
    '11 +++ exited with 0 +++',
  ].join('\n');
  const points = parseCensus(log, '/d').map(({ syscall, ordinal }) => `${syscall} ${ordinal}`);
  assert.deepEqual(points, ['rename 2', 'openat 1', 'pwrite64 1', 'openat 2']);
});
