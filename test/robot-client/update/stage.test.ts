import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { Disk } from '../../../robot-client/install/disk-port.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { stageArchive } from '../../../robot-client/update/stage.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { payloadOf, realTar } from '../../helpers/tar.ts';
import { LONG_FOLDER, makeApp, picture, place, stageIn } from '../staging.ts';

for (const format of ['gnu', 'posix', 'ustar']) {
  test(`a tree packed by plain tar in ${format} format comes out equal`, async () => {
    const app = makeApp();
    // A path of 300 bytes has no place in a ustar header.
    if (format === 'ustar') fs.rmSync(join(app, LONG_FOLDER), { recursive: true });
    const { intoFolder, entries } = await stageIn(realTar(app, `--format=${format}`));
    assert.deepEqual(picture(intoFolder), picture(app));
    assert.equal(entries, Object.keys(picture(app)).length);
  });
}

test('a second run removes what the first one left, whatever it was', async () => {
  const at = place(await payloadOf([{ name: 'new', body: 'x' }]));
  fs.mkdirSync(join(at.intoFolder, 'old/deep'), { recursive: true });
  fs.symlinkSync(at.folder, join(at.intoFolder, 'new'));
  await stageArchive({ disk: realDisk, ...at });
  assert.deepEqual(Object.keys(picture(at.intoFolder)), ['new']);
  assert.equal(fs.readFileSync(join(at.folder, 'canary'), 'utf8'), 'sings');
});

test('a top folder packed with mode 0700 does not lock the application out', async () => {
  const { intoFolder } = await stageIn(
    await payloadOf([{ name: './', type: 'directory', mode: 0o700 }, { name: './f' }]),
  );
  assert.equal(fs.statSync(intoFolder).mode & 0o777, 0o755);
});

test('every file and folder is synced after its last change, at most eight at once', async () => {
  const { folder } = place(Buffer.alloc(0));
  const app = join(folder, 'many');
  for (let at = 0; at < 60; at += 1) {
    fs.mkdirSync(join(app, `d${at % 7}`), { recursive: true });
    fs.writeFileSync(join(app, `d${at % 7}`, `f${at}`), `${at}`);
  }
  const synced = new Set<string>();
  let syncing = 0;
  let most = 0;
  const watched = async (path: string, sync: () => Promise<void>) => {
    most = Math.max(most, (syncing += 1));
    await sync();
    syncing -= 1;
    synced.add(path);
  };
  const disk: Disk = {
    ...realDisk,
    open: async (path, use, mode) => {
      const file = await realDisk.open(path, use, mode);
      return {
        write: (bytes, at) => {
          synced.delete(path);
          return file.write(bytes, at);
        },
        read: (into, at) => file.read(into, at),
        size: () => file.size(),
        sync: () => watched(path, () => file.sync()),
        close: () => file.close(),
      };
    },
    chmod: (path, mode) => {
      synced.delete(path);
      return realDisk.chmod(path, mode);
    },
    syncFolder: (path) => watched(path, () => realDisk.syncFolder(path)),
  };
  const { intoFolder } = await stageIn(realTar(app), disk);
  const paths = Object.keys(picture(intoFolder)).map((path) => join(intoFolder, path));
  assert.deepEqual([...synced].sort(), [intoFolder, ...paths].sort());
  assert.ok(most <= LIMITS.stageSyncsMax, `${most} at once`);
  assert.ok(most > 1, 'syncs run beside each other');
});

test('a disk that fails in the middle ends the stage with its own error', async () => {
  const payload = realTar(makeApp());
  const full = new DroverError('DISK_FULL', 'write x: no space left');
  for (const failing of ['write', 'sync', 'symlink', 'chmod', 'syncFolder'] as const) {
    const fail = () => Promise.reject(full);
    const disk: Disk = {
      ...realDisk,
      ...(failing === 'write' || failing === 'sync' ? {} : { [failing]: fail }),
      open: async (path, use, mode) => {
        const file = await realDisk.open(path, use, mode);
        return {
          write: failing === 'write' ? fail : (bytes, at) => file.write(bytes, at),
          read: (into, at) => file.read(into, at),
          size: () => file.size(),
          sync: failing === 'sync' ? fail : () => file.sync(),
          close: () => file.close(),
        };
      },
    };
    const at = place(payload);
    await assert.rejects(stageArchive({ disk, ...at }), (error) => error === full, failing);
    assert.equal(fs.existsSync(at.intoFolder), false);
  }
});

test('an aborted stage ends with the reason and leaves no tree', async () => {
  const at = place(realTar(makeApp()));
  const stopping = new AbortController();
  const reason = new Error('power button');
  const run = stageArchive({
    disk: realDisk,
    ...at,
    signal: stopping.signal,
    onProgress: () => stopping.abort(reason),
  });
  await assert.rejects(run, (error) => error === reason);
  assert.equal(fs.existsSync(at.intoFolder), false);
});

test('progress rises to the size of the payload', async () => {
  const at = place(realTar(makeApp()));
  const seen: number[] = [];
  await stageArchive({ disk: realDisk, ...at, onProgress: (bytes) => seen.push(bytes) });
  assert.equal(seen.at(-1), at.packedBytes);
  assert.deepEqual(
    seen,
    seen.toSorted((a, b) => a - b),
  );
  assert.deepEqual(gunzipSync(fs.readFileSync(at.payloadPath)).length % 512, 0);
});
