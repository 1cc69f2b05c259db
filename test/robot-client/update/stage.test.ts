import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
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

/** More files than are synced one by one where there is `syncAll`. */
function makeMany(count: number): string {
  const { folder } = place(Buffer.alloc(0));
  const app = join(folder, 'many');
  for (let at = 0; at < count; at += 1) {
    fs.mkdirSync(join(app, `d${at % 7}`), { recursive: true });
    fs.writeFileSync(join(app, `d${at % 7}`, `f${at}`), `${at}`);
  }
  return app;
}

/** The real disk, with what of it was synced since its last change. */
function watchedDisk(over: Partial<Disk>) {
  const synced = new Set<string>();
  const seen = { synced, most: 0, all: 0 };
  let syncing = 0;
  const watched = async (path: string, sync: () => Promise<void>) => {
    seen.most = Math.max(seen.most, (syncing += 1));
    await sync();
    syncing -= 1;
    synced.add(path);
  };
  const disk: Disk = {
    ...realDisk,
    open: async (path, use, mode) => {
      const file = await realDisk.open(path, use, mode);
      const change = async (run: () => Promise<void>) => {
        synced.delete(path);
        seen.all = 0;
        await run();
      };
      return {
        write: (bytes, at) => change(() => file.write(bytes, at)),
        read: (into, at) => file.read(into, at),
        size: () => file.size(),
        setMode: (bits) => change(() => file.setMode(bits)),
        setTime: (timeS) => change(() => file.setTime(timeS)),
        sync: () => watched(path, () => file.sync()),
        close: () => file.close(),
      };
    },
    chmod: (path, mode) => {
      synced.delete(path);
      seen.all = 0;
      return realDisk.chmod(path, mode);
    },
    syncFolder: (path) => watched(path, () => realDisk.syncFolder(path)),
    syncAllFrom: async () => LIMITS.syncAllFilesMin,
    syncAll: async () => {
      seen.all += 1;
      return true;
    },
    ...over,
  };
  return { disk, seen };
}

const everyPath = (intoFolder: string): string[] =>
  [intoFolder, ...Object.keys(picture(intoFolder)).map((path) => join(intoFolder, path))].sort();

const NOBODY = 65_534;
const MANY = LIMITS.syncAllFilesMin + 36;

test('every file and folder is synced after its last change, at most eight at once', async () => {
  const few = LIMITS.syncAllFilesMin - 1;
  for (const [count, from] of [
    [MANY, Infinity],
    [few, LIMITS.syncAllFilesMin],
  ] as const) {
    const { disk, seen } = watchedDisk({ syncAllFrom: async () => from });
    const { intoFolder } = await stageIn(realTar(makeMany(count)), disk);
    assert.deepEqual([...seen.synced].sort(), everyPath(intoFolder));
    assert.ok(seen.most <= LIMITS.stageSyncsMax, `${seen.most} at once`);
    assert.ok(seen.most > 1, 'syncs run beside each other');
    assert.equal(seen.all, 0);
  }
});

test('a tree of many files is made durable by one syncAll after its last change', async () => {
  const { disk, seen } = watchedDisk({});
  await stageIn(realTar(makeMany(MANY)), disk);
  assert.deepEqual([[...seen.synced], seen.all], [[], 1]);
});

test('where syncAll promises nothing, every file and folder is synced by itself', async () => {
  const { disk, seen } = watchedDisk({ syncAll: async () => false });
  const { intoFolder } = await stageIn(realTar(makeMany(MANY)), disk);
  assert.deepEqual([...seen.synced].sort(), everyPath(intoFolder));
});

test('where syncAll promises nothing, files are synced some at once', async () => {
  const { disk, seen } = watchedDisk({ syncAll: async () => false });
  await stageIn(realTar(makeMany(MANY)), disk);
  assert.ok(seen.most > 1 && seen.most <= LIMITS.stageSyncsMax, `${seen.most} at once`);
});

test('an agent that is told to stop does not sync each file after a syncAll without promise', async () => {
  const stopping = new AbortController();
  const reason = new Error('power button');
  const syncAll = async () => {
    stopping.abort(reason);
    return false;
  };
  const { disk, seen } = watchedDisk({ syncAll });
  const at = place(realTar(makeMany(MANY)));
  const run = stageArchive({ disk, ...at, signal: stopping.signal });
  await assert.rejects(run, (error) => error === reason);
  assert.deepEqual([...seen.synced], []);
});

test('a file that its owner may not read is synced, and keeps its mode', async (t) => {
  if (process.geteuid?.() !== 0) return t.skip('wants root, to become another user');
  const modes = [0o200, 0o044, 0o644];
  const files = modes.map((mode, nth) => ({ name: `f${nth}`, body: 'text', mode }));
  const at = place(await payloadOf(files));
  fs.chmodSync(dirname(at.folder), 0o711);
  fs.chownSync(at.folder, NOBODY, NOBODY);
  const over = { syncAllFrom: async () => 1, syncAll: async () => false };
  const { disk, seen } = watchedDisk(over);
  process.seteuid?.(NOBODY);
  try {
    await stageArchive({ disk, ...at });
  } finally {
    process.seteuid?.(0);
  }
  assert.deepEqual([...seen.synced].sort(), everyPath(at.intoFolder));
  const kept = modes.map((_, nth) => fs.statSync(join(at.intoFolder, `f${nth}`)).mode & 0o777);
  assert.deepEqual(kept, modes);
});

test('a file never has more rights than its own, and has them all whatever the umask', async () => {
  const wanted: Record<string, number> = { a: 0o644, b: 0o600, c: 0o755, d: 0o444, e: 0o644 };
  const parts = Object.entries(wanted).map(([name, mode]) => ({ name, mode, body: name }));
  const payload = await payloadOf(parts);
  const umask = process.umask(0o027);
  try {
    const { disk } = watchedDisk({});
    const open: Disk['open'] = async (path, use, mode) => {
      const file = await disk.open(path, use, mode);
      const bits = wanted[path.at(-1) ?? ''];
      const more = use === 'new' ? fs.statSync(path).mode & 0o777 & ~(bits ?? 0) : 0;
      assert.equal(more, 0, path);
      return file;
    };
    const { intoFolder } = await stageIn(payload, { ...disk, open });
    for (const [name, mode] of Object.entries(wanted)) {
      assert.equal(fs.statSync(join(intoFolder, name)).mode & 0o777, mode, name);
    }
  } finally {
    process.umask(umask);
  }
});

test('a disk that fails in the middle ends the stage with its own error', async () => {
  const payload = realTar(makeApp());
  const full = new DroverError('DISK_FULL', 'write x: no space left');
  const names = ['write', 'sync', 'symlink', 'chmod', 'syncFolder', 'syncAll'] as const;
  for (const failing of names) {
    const fail = () => Promise.reject(full);
    const disk: Disk = {
      ...realDisk,
      ...(failing === 'write' || failing === 'sync' ? {} : { [failing]: fail }),
      syncAllFrom: async () => (failing === 'syncAll' ? 1 : Infinity),
      open: async (path, use, mode) => {
        const file = await realDisk.open(path, use, mode);
        return {
          write: failing === 'write' ? fail : (bytes, at) => file.write(bytes, at),
          read: (into, at) => file.read(into, at),
          size: () => file.size(),
          setMode: (mode) => file.setMode(mode),
          setTime: (timeS) => file.setTime(timeS),
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
