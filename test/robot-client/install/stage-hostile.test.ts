import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { stageArchive } from '../../../robot-client/update/stage.ts';
import type { ErrorCode } from '../../../shared/base/error-catalogue.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { payloadOf, realTar, tarOf, type TarPart } from '../../helpers/tar.ts';
import { makeApp, picture, place, stageIn } from '../staging.ts';

const failsWith = (payload: Uint8Array, code: ErrorCode, words: RegExp = /./) =>
  assert.rejects(stageIn(payload), (error) => {
    assert.ok(error instanceof DroverError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, words);
    return true;
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
  .tuple(
    fc.constantFrom('', '', './', '../', '../../', '/'),
    fc.oneof(fc.array(segment, { maxLength: 3 }), fc.constantFrom([], ['canary'], ['a', '..'])),
  )
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

/** Nothing in the tree is or leads to anything outside, through any chain of links. */
function assertInside(folder: string): void {
  const top = fs.realpathSync(folder);
  const assertBelow = (path: string, words: string) =>
    assert.ok(!relative(top, path).startsWith('..'), words);
  for (const path of Object.keys(picture(folder))) {
    const full = join(top, path);
    const stat = fs.lstatSync(full);
    assert.ok(stat.isFile() || stat.isDirectory() || stat.isSymbolicLink(), path);
    if (!stat.isSymbolicLink()) continue;
    const target = fs.readlinkSync(full);
    assertBelow(resolve(dirname(full), target), `${path} -> ${target}`);
    try {
      const real = fs.realpathSync(full);
      assertBelow(real, `${path} leads to ${real}`);
    } catch {
      continue; // a link to nothing, or in a circle, leads nowhere
    }
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
    { numRuns: 80 },
  );
  assert.ok(taken > 8, `the generator makes good archives as well (made ${taken})`);
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
    { numRuns: 50 },
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
    { numRuns: 50 },
  );
});

/** Makes the block at `from` a header with a right checksum again. */
function mendChecksum(tar: Buffer, from: number): void {
  const header = tar.subarray(from, from + 512);
  header.fill(' ', 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
}

test('a payload that is no gzip, or a gzip of no tar, is corrupt', async () => {
  await failsWith(Buffer.alloc(0), 'ARCHIVE_CORRUPT');
  await failsWith(Buffer.from('{"json":true}'), 'ARCHIVE_CORRUPT');
  await failsWith(gzipSync('no tar at all'.repeat(100)), 'ARCHIVE_CORRUPT');
  await failsWith(await tarOf([{ name: 'plain tar' }]), 'ARCHIVE_CORRUPT');
});

test('bytes behind the end mark are ignored, as GNU tar does', async () => {
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
