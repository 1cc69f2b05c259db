/** Opening a bundle: whatever is wrong with it gets a typed refusal, never a trace. */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import { cp, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { hashPayload } from '../../../publisher/bundle/payload.ts';
import { countPayload } from '../../../publisher/bundle/payload-census.ts';
import { verifyBundle } from '../../../shared/formats/bundle-signature.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import type { ErrorCode } from '../../../shared/base/error-catalogue.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { openBundle } from '../../../shared/io/bundle-folder.ts';
import { writeBundleTar } from '../../../shared/io/bundle-tar.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { tarOf, type TarPart } from '../../helpers/tar.ts';
import { tempFolder, withTempFolder } from '../../helpers/temp-folder.ts';
import { makeBundleFolder } from '../bundle-maker.ts';

const { trust } = makeFleet();

/** Everything `drover verify` does, and the archive as `inspect` reads it. */
async function verdictOn(path: string): Promise<ErrorCode | 'taken'> {
  try {
    const bundle = await openBundle(path);
    try {
      const payloadSha256 = await hashPayload(bundle);
      verifyBundle({ ...bundle, trust, payloadSha256 });
      await countPayload(bundle);
      return 'taken';
    } finally {
      await bundle.close();
    }
  } catch (error) {
    if (error instanceof DroverError) return error.code;
    throw error;
  }
}

test('a sound bundle is taken, as a folder and as a .drover file', async (t) => {
  const folder = await tempFolder(t);
  const path = await makeBundleFolder(folder);
  assert.equal(await verdictOn(path), 'taken');
  const bundle = await openBundle(path);
  await writeBundleTar(bundle, join(folder, 'a.drover'));
  await writeBundleTar(bundle, join(folder, 'b.drover'));
  assert.equal(await verdictOn(join(folder, 'a.drover')), 'taken');
  const [a, b] = await Promise.all(['a', 'b'].map((x) => readFile(join(folder, `${x}.drover`))));
  assert.deepEqual(a, b);
});

test('a .drover file that was made with tar is taken', async (t) => {
  const folder = await tempFolder(t);
  const path = await makeBundleFolder(folder);
  for (const format of ['gnu', 'ustar', 'pax']) {
    const file = join(folder, `${format}.drover`);
    execFileSync('tar', [`--format=${format}`, '-cf', file, '-C', path, '.']);
    assert.equal(await verdictOn(file), 'taken', format);
  }
});

test('opening a .drover file leaves nothing in the temporary folder', async (t) => {
  const folder = await tempFolder(t);
  const bundle = await openBundle(await makeBundleFolder(folder));
  await writeBundleTar(bundle, join(folder, 'a.drover'));
  const mine = async () =>
    (await readdir(tmpdir())).filter((name) => name.startsWith('drover-bundle-'));
  const before = await mine();
  await verdictOn(join(folder, 'a.drover'));
  await truncate(join(folder, 'a.drover'), 3_000);
  await verdictOn(join(folder, 'a.drover'));
  // Another test file may be opening one at this moment, so only a growth by ours would show.
  assert.ok((await mine()).length <= before.length + 1);
});

test('a missing part is named, a missing signature has its own code', async (t) => {
  const folder = await tempFolder(t);
  const path = await makeBundleFolder(folder);
  const without = async (name: string): Promise<ErrorCode | 'taken'> => {
    const copy = join(folder, `without-${name}`);
    await cp(path, copy, { recursive: true });
    await rm(join(copy, name));
    return await verdictOn(copy);
  };
  assert.equal(await without('manifest.json'), 'BUNDLE_INCOMPLETE');
  assert.equal(await without('payload.tar.gz'), 'BUNDLE_INCOMPLETE');
  assert.equal(await without('signature.sig'), 'BUNDLE_UNSIGNED');
  assert.equal(await verdictOn(join(folder, 'nowhere')), 'FILE_UNREADABLE');
});

test('parts that are something else than they should be are refused', async (t) => {
  const folder = await tempFolder(t);
  const path = await makeBundleFolder(folder);
  const good = await readFile(join(path, 'manifest.json'), 'utf8');
  const cases: [string, string, string | Uint8Array, ErrorCode][] = [
    ['empty manifest', 'manifest.json', '', 'JSON_INVALID'],
    ['10 MB manifest', 'manifest.json', ' '.repeat(10_000_000) + good, 'DOCUMENT_TOO_LARGE'],
    ['duplicate key', 'manifest.json', good.replace('{', '{"version":"9.0.0",'), 'JSON_INVALID'],
    ['__proto__', 'manifest.json', good.replace('{', '{"__proto__":{},'), 'JSON_INVALID'],
    ['array', 'manifest.json', '[]', 'MANIFEST_INVALID'],
    ['number', 'manifest.json', good.replace('"any"', '7'), 'MANIFEST_INVALID'],
    [
      'size',
      'manifest.json',
      good.replace(/"payload_size": \d+/, '"payload_size": -1'),
      'MANIFEST_INVALID',
    ],
    ['no UTF-8', 'manifest.json', new Uint8Array([0x7b, 0xff, 0x7d]), 'JSON_INVALID'],
    ['spaces more', 'manifest.json', `${good} `, 'BUNDLE_SIGNATURE_BAD'],
    ['empty signature', 'signature.sig', '', 'SIGNATURE_MALFORMED'],
    ['hex signature', 'signature.sig', 'ab'.repeat(64), 'SIGNATURE_MALFORMED'],
    ['63 bytes', 'signature.sig', new Uint8Array(63), 'SIGNATURE_MALFORMED'],
    ['zero signature', 'signature.sig', new Uint8Array(64), 'BUNDLE_SIGNATURE_BAD'],
    ['odd cosignatures', 'cosignatures.sig', new Uint8Array(65), 'SIGNATURE_MALFORMED'],
    ['many cosignatures', 'cosignatures.sig', new Uint8Array(64 * 999), 'SIGNATURE_MALFORMED'],
    ['empty payload', 'payload.tar.gz', '', 'BUNDLE_INCOMPLETE'],
  ];
  for (const [name, file, bytes, code] of cases) {
    const copy = join(folder, name);
    await cp(path, copy, { recursive: true });
    await writeFile(join(copy, file), bytes);
    assert.equal(await verdictOn(copy), code, name);
  }
});

test('a fifo or a folder in the place of a part does not hold the program up', async (t) => {
  const folder = await tempFolder(t);
  const path = await makeBundleFolder(folder);
  for (const name of ['manifest.json', 'signature.sig', 'payload.tar.gz']) {
    await rm(join(path, name));
    execFileSync('mkfifo', [join(path, name)]);
    assert.equal(await verdictOn(path), 'BUNDLE_INCOMPLETE', `fifo ${name}`);
    await rm(join(path, name));
    await mkdir(join(path, name));
    assert.equal(await verdictOn(path), 'BUNDLE_INCOMPLETE', `folder ${name}`);
    await rm(path, { recursive: true });
    await rm(join(folder, 'app-1.0.0'), { recursive: true });
    await makeBundleFolder(folder);
  }
});

test('a flipped bit or a cut anywhere in a part is a typed refusal', async (t) => {
  const folder = await tempFolder(t);
  const path = await makeBundleFolder(folder);
  const parts = ['manifest.json', 'signature.sig', 'payload.tar.gz'];
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...parts),
      fc.nat(),
      fc.integer({ min: 0, max: 7 }),
      fc.boolean(),
      async (part, place, bit, cut) => {
        const bytes = await readFile(join(path, part));
        const at = place % bytes.byteLength;
        const changed = cut ? bytes.subarray(0, at) : Buffer.from(bytes);
        if (!cut) changed[at] = (changed[at] as number) ^ (1 << bit);
        await withTempFolder(async (copy) => {
          for (const name of parts) await cp(join(path, name), join(copy, name));
          await writeFile(join(copy, part), changed);
          assert.notEqual(await verdictOn(copy), 'taken', `${part} at ${at}`);
        });
      },
    ),
    { numRuns: 150 },
  );
});

test('a flipped bit or a cut anywhere in a .drover file never ends in a trace', async (t) => {
  const folder = await tempFolder(t);
  const file = join(folder, 'a.drover');
  await writeBundleTar(await openBundle(await makeBundleFolder(folder)), file);
  const bytes = await readFile(file);
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.boolean(), async (place, cut) => {
      const at = place % bytes.byteLength;
      const changed = cut ? bytes.subarray(0, at) : Buffer.from(bytes);
      if (!cut) changed[at] = (changed[at] as number) ^ 0x41;
      const path = join(folder, 'changed.drover');
      await writeFile(path, changed);
      await verdictOn(path); // padding and dates may be flipped unnoticed; nothing else may throw
    }),
    { numRuns: 150 },
  );
});

test('a .drover file takes known names only, each once and within its bound', async (t) => {
  const folder = await tempFolder(t);
  const path = await makeBundleFolder(folder);
  const part = async (name: string): Promise<TarPart> => ({
    name,
    body: await readFile(join(path, name)),
  });
  const names = ['manifest.json', 'signature.sig', 'payload.tar.gz'];
  const good = await Promise.all(names.map(part));
  const cases: [string, readonly TarPart[], ErrorCode][] = [
    ['escape', [...good, { name: '../evil', body: 'x' }], 'ARCHIVE_UNSAFE'],
    ['absolute', [...good, { name: '/tmp/evil', body: 'x' }], 'ARCHIVE_UNSAFE'],
    ['stranger', [...good, { name: 'readme.txt', body: 'x' }], 'ARCHIVE_UNSAFE'],
    ['twice', [...good, await part('manifest.json')], 'ARCHIVE_UNSAFE'],
    [
      'link',
      [{ name: 'manifest.json', type: 'symlink', linkname: '/etc/passwd' }],
      'ARCHIVE_UNSAFE',
    ],
    ['delta up', [...good, { name: 'deltas/../x.zst', body: 'x' }], 'ARCHIVE_UNSAFE'],
    ['large', [{ name: 'manifest.json', body: Buffer.alloc(70_000) }], 'DOCUMENT_TOO_LARGE'],
    ['signature', [{ name: 'signature.sig', body: Buffer.alloc(65) }], 'SIGNATURE_MALFORMED'],
    ['empty', [], 'BUNDLE_INCOMPLETE'],
    ['half', good.slice(0, 2), 'BUNDLE_INCOMPLETE'],
  ];
  for (const [name, parts, code] of cases) {
    const file = join(folder, `${name}.drover`);
    await writeFile(file, await tarOf(parts));
    assert.equal(await verdictOn(file), code, name);
  }
  await writeFile(join(folder, 'zip.drover'), utf8('PK\u0003\u0004 this is no tar'.repeat(100)));
  assert.equal(await verdictOn(join(folder, 'zip.drover')), 'ARCHIVE_CORRUPT');
});
