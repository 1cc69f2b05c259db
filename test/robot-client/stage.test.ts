import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { after, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import type { Disk } from '../../robot-client/core/ports.ts';
import { realDisk } from '../../robot-client/io/disk.ts';
import { stageArchive } from '../../robot-client/io/stage.ts';
import { DroverError, type ErrorCode } from '../../shared/errors.ts';
import { LIMITS } from '../../shared/limits.ts';
import { payloadOf, realTar, tarOf, type TarPart } from '../helpers/tar.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'drover-stage-'));
after(() => fs.rmSync(root, { recursive: true, force: true }));
let runs = 0;
const LONG_FOLDER = 'long-folder-name-'.repeat(9);

/** A folder with a payload in it, and a canary beside where the tree will stand. */
function place(payload: Uint8Array) {
  const folder = join(root, String((runs += 1)));
  fs.mkdirSync(folder);
  const payloadPath = join(folder, 'payload.tar.gz');
  fs.writeFileSync(payloadPath, payload);
  fs.writeFileSync(join(folder, 'canary'), 'sings');
  return { folder, payloadPath, intoFolder: join(folder, 'tree'), packedBytes: payload.byteLength };
}

async function stageIn(payload: Uint8Array, disk: Disk = realDisk) {
  const at = place(payload);
  const staged = await stageArchive({ disk, ...at });
  return { ...at, ...staged };
}

const failsWith = (payload: Uint8Array, code: ErrorCode, words: RegExp = /./) =>
  assert.rejects(stageIn(payload), (error) => {
    assert.ok(error instanceof DroverError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, words);
    return true;
  });

/** Every path below a folder with what it is, for comparison; links are not followed. */
function picture(folder: string, below = ''): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of fs.readdirSync(join(folder, below)).sort()) {
    const path = join(below, name);
    const full = join(folder, path);
    const stat = fs.lstatSync(full);
    const mode = (stat.mode & 0o7777).toString(8);
    if (stat.isSymbolicLink()) found[path] = `link ${fs.readlinkSync(full)}`;
    else if (stat.isDirectory()) {
      found[path] = `folder ${mode}`;
      Object.assign(found, picture(folder, path));
    } else {
      const digest = createHash('sha256').update(fs.readFileSync(full)).digest('hex');
      found[path] = `file ${mode} ${digest}`;
    }
  }
  return found;
}

function makeApp(): string {
  const app = join(root, `app-${(runs += 1)}`);
  fs.mkdirSync(join(app, 'bin/tools'), { recursive: true });
  fs.mkdirSync(join(app, 'empty folder'));
  fs.writeFileSync(join(app, 'bin/run'), '#!/bin/sh\n', { mode: 0o755 });
  fs.writeFileSync(join(app, 'private'), 'secret', { mode: 0o600 });
  fs.writeFileSync(join(app, 'größe ☃.txt'), 'utf-8 name');
  fs.writeFileSync(join(app, 'empty'), '');
  fs.writeFileSync(join(app, 'big'), randomBytes(3 * LIMITS.stageReadBytes + 17));
  fs.mkdirSync(join(app, LONG_FOLDER));
  fs.writeFileSync(join(app, LONG_FOLDER, 'long-file-name-'.repeat(9)), 'deep');
  fs.linkSync(join(app, 'bin/run'), join(app, 'bin/tools/same'));
  fs.symlinkSync('../run', join(app, 'bin/tools/link'));
  fs.symlinkSync('nowhere', join(app, 'dangling'));
  fs.chmodSync(join(app, 'bin/tools'), 0o750);
  return app;
}

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

const hostile: Record<string, [ErrorCode, RegExp, TarPart[]]> = {
  'a file under an absolute path': ['ARCHIVE_UNSAFE', /absolute/, [{ name: '/x', body: 'x' }]],
  'a file above the tree': ['ARCHIVE_UNSAFE', /\.\./, [{ name: '../canary', body: 'x' }]],
  'a NUL hidden in a pax path': [
    'ARCHIVE_UNSAFE',
    /NUL/,
    [{ name: 'x', pax: { path: 'x\0y' }, body: 'x' }],
  ],
  'a write through a link': [
    'ARCHIVE_UNSAFE',
    /parent "l" is a link/,
    [
      { name: 'd/', type: 'directory' },
      { name: 'l', type: 'symlink', linkname: 'd' },
      { name: 'l/x', body: 'x' },
    ],
  ],
  'a file that replaces a link': [
    'ARCHIVE_UNSAFE',
    /there already/,
    [
      { name: 'x', type: 'symlink', linkname: 'y' },
      { name: 'x', body: 'x' },
    ],
  ],
  'two links that leave the tree together': [
    'ARCHIVE_UNSAFE',
    /after a name/,
    [
      { name: 'a/b/l', type: 'symlink', linkname: '../../top' },
      { name: 'm', type: 'symlink', linkname: 'a/b/l/../../canary' },
    ],
  ],
  'a hard link to a file outside': [
    'ARCHIVE_UNSAFE',
    /\.\./,
    [{ name: 'h', type: 'link', linkname: '../canary' }],
  ],
  'a device node': [
    'ARCHIVE_UNSAFE',
    /character-device/,
    [{ name: 'd', type: 'character-device' }],
  ],
  'a fifo': ['ARCHIVE_UNSAFE', /fifo/, [{ name: 'p', type: 'fifo' }]],
  'a setuid program': ['ARCHIVE_UNSAFE', /setuid/, [{ name: 's', mode: 0o4755, body: 'x' }]],
  'a sparse file that would unpack wrongly': [
    'ARCHIVE_UNSAFE',
    /sparse/,
    [{ name: 's', pax: { 'GNU.sparse.major': '1' }, body: 'x' }],
  ],
};
for (const [what, [code, words, parts]] of Object.entries(hostile)) {
  test(`${what} is refused, and nothing of the tree stays`, async () => {
    const at = place(await payloadOf([{ name: 'good', body: 'x' }, ...parts]));
    const run = stageArchive({ disk: realDisk, ...at });
    await assert.rejects(run, (error) => {
      assert.ok(error instanceof DroverError);
      assert.equal(error.code, code);
      assert.match(error.message, words);
      return true;
    });
    assert.deepEqual(fs.readdirSync(at.folder).sort(), ['canary', 'payload.tar.gz']);
    assert.equal(fs.readFileSync(join(at.folder, 'canary'), 'utf8'), 'sings');
  });
}

const segment = fc.oneof(
  { weight: 30, arbitrary: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'ü', 'n'.repeat(120)) },
  { weight: 1, arbitrary: fc.constantFrom('..', '.', '', 'a\0b', 'x'.repeat(300)) },
);
const name = fc
  .tuple(
    fc.oneof(
      { weight: 30, arbitrary: fc.constantFrom('', './') },
      { weight: 1, arbitrary: fc.constantFrom('/', '../') },
    ),
    fc.array(segment, { minLength: 1, maxLength: 3 }),
  )
  .map(([start, segments]) => start + segments.join('/'));
const target = fc
  .tuple(fc.constantFrom('', '', './', '../', '../../', '/'), fc.array(segment, { maxLength: 3 }))
  .map(([start, segments]) => start + segments.join('/'));
const part: fc.Arbitrary<TarPart> = fc
  .record({
    name,
    type: fc.oneof(
      { weight: 20, arbitrary: fc.constantFrom('file', 'directory', 'symlink') },
      { weight: 1, arbitrary: fc.constantFrom('link', 'fifo', 'contiguous-file') },
    ),
    linkname: target,
    mode: fc.constantFrom(0o644, 0o755, 0o600, 0, 0o777),
    body: fc.string({ maxLength: 2_000 }),
  })
  .map(({ body, ...header }) => {
    const pax = /[^\x21-\x7e]/.test(header.name) ? { path: header.name } : undefined;
    return {
      ...header,
      ...(header.type === 'file' ? { body } : {}),
      ...(pax ? { name: 'x', pax } : {}),
    };
  });

function assertInside(folder: string): void {
  for (const path of Object.keys(picture(folder))) {
    const full = join(folder, path);
    assert.ok(!fs.lstatSync(full).isFIFO());
    let real;
    try {
      real = fs.realpathSync(full);
    } catch {
      continue; // a link to nothing, or in a circle, leads nowhere
    }
    const inside = relative(fs.realpathSync(folder), real);
    assert.ok(!inside.startsWith('..'), `${path} leads to ${real}`);
  }
}

test('any archive ends as a typed refusal or as a tree that nothing leads out of', async () => {
  let taken = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 6 }), async (parts) => {
      const at = place(await payloadOf(parts));
      try {
        await stageArchive({ disk: realDisk, ...at });
        taken += 1;
        assertInside(at.intoFolder);
      } catch (error) {
        if (!(error instanceof DroverError)) throw error;
        assert.ok(error.code.startsWith('ARCHIVE_'), `${error.code} ${error.message}`);
        assert.equal(fs.existsSync(at.intoFolder), false);
      }
      const beside = fs.readdirSync(at.folder).filter((entry) => entry !== 'tree');
      assert.deepEqual(beside.sort(), ['canary', 'payload.tar.gz']);
      assert.equal(fs.readFileSync(join(at.folder, 'canary'), 'utf8'), 'sings');
      fs.rmSync(at.folder, { recursive: true });
    }),
    { numRuns: 250 },
  );
  assert.ok(taken > 30, `the generator makes good archives as well (made ${taken})`);
});

test('a payload cut anywhere is corrupt', async () => {
  const payload = realTar(makeApp());
  const cuts = [0, 1, 9, 10, 11, 100, payload.length >> 1, payload.length - 8, payload.length - 1];
  for (const at of cuts) await failsWith(payload.subarray(0, at), 'ARCHIVE_CORRUPT');
});

test('a tar cut anywhere before its end mark is corrupt, although its gzip is whole', async () => {
  const tar = await tarOf([
    { name: 'a', body: 'x'.repeat(700) },
    { name: 'd/', type: 'directory' },
    { name: 'b', pax: { comment: 'long header' }, body: 'y'.repeat(10) },
  ]);
  const content = tar.length - 1024;
  for (let cut = 0; cut <= content; cut += 128) {
    await failsWith(gzipSync(tar.subarray(0, cut)), 'ARCHIVE_CORRUPT');
  }
});

test('a flipped bit is noticed or harms nothing', async () => {
  const parts = [
    { name: 'a', body: 'hello' },
    { name: 'd/', type: 'directory' },
    { name: 'd/l', type: 'symlink', linkname: '../a' },
  ];
  const payload = await payloadOf(parts);
  const whole = picture((await stageIn(payload)).intoFolder);
  await fc.assert(
    fc.asyncProperty(fc.nat(payload.length * 8 - 1), async (bit) => {
      const flipped = Buffer.from(payload);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const at = place(flipped);
      try {
        await stageArchive({ disk: realDisk, ...at });
        assert.deepEqual(picture(at.intoFolder), whole);
      } catch (error) {
        if (!(error instanceof DroverError)) throw error;
        assert.ok(error.code.startsWith('ARCHIVE_'), `${error.code} ${error.message}`);
      }
    }),
    { numRuns: 200 },
  );
});

test('a tar with bytes of its headers overwritten ends as a refusal or inside its folder', async () => {
  const tar = await tarOf([
    { name: 'a', body: 'hello' },
    { name: 'd/', type: 'directory' },
    { name: 'b', pax: { path: 'd/b'.repeat(40) }, body: 'x'.repeat(600) },
    { name: 'd/l', type: 'symlink', linkname: '../a' },
  ]);
  const edit = fc.tuple(fc.nat(tar.length - 1), fc.nat(255));
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { maxLength: 4 }), fc.boolean(), async (edits, mend) => {
      const changed = Buffer.from(tar);
      for (const [at, byte] of edits) changed[at] = byte;
      if (mend) for (const [at] of edits) mendChecksum(changed, at - (at % 512));
      const at = place(gzipSync(changed));
      try {
        await stageArchive({ disk: realDisk, ...at });
        assertInside(at.intoFolder);
      } catch (error) {
        if (!(error instanceof DroverError)) throw error;
        assert.ok(error.code.startsWith('ARCHIVE_'), `${error.code} ${error.message}`);
      }
      assert.equal(fs.readFileSync(join(at.folder, 'canary'), 'utf8'), 'sings');
    }),
    { numRuns: 200 },
  );
});

/** Makes the block at `from` a header with a right checksum again. */
function mendChecksum(tar: Buffer, from: number): void {
  const header = tar.subarray(from, from + 512);
  header.fill(' ', 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
}

test('what is no gzip, or a gzip of no tar, is corrupt', async () => {
  await failsWith(Buffer.alloc(0), 'ARCHIVE_CORRUPT');
  await failsWith(Buffer.from('{"json":true}'), 'ARCHIVE_CORRUPT');
  await failsWith(gzipSync('no tar at all'.repeat(100)), 'ARCHIVE_CORRUPT');
  await failsWith(await tarOf([{ name: 'plain tar' }]), 'ARCHIVE_CORRUPT');
});

test('what stands behind the end mark is ignored, as GNU tar does', async () => {
  const tar = await tarOf([{ name: 'a', body: 'x' }]);
  const more = [Buffer.from('garbage'), randomBytes(5_000), await tarOf([{ name: 'b' }])];
  for (const garbage of more) {
    const payload = gzipSync(Buffer.concat([tar, garbage]));
    const { intoFolder, payloadPath } = await stageIn(payload);
    assert.deepEqual(Object.keys(picture(intoFolder)), ['a']);
    assert.equal(execFileSync('tar', ['-tzf', payloadPath], { encoding: 'utf8' }), 'a\n');
  }
});

test('a bomb stops at the bound, be it one file, headers or padding', async () => {
  const zeroes = Buffer.alloc(LIMITS.archiveExpansionFloorBytes + 1024);
  await failsWith(await payloadOf([{ name: 'z', body: zeroes }]), 'ARCHIVE_TOO_LARGE', /"z"/);
  await failsWith(gzipSync(zeroes), 'ARCHIVE_TOO_LARGE', /payload/);
});

test('every file and folder is synced after its last change, at most eight at once', async () => {
  const app = join(root, 'many');
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
