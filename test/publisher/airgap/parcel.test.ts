/** An air-gap file is read back to the byte, and is refused when any of its bytes was changed. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import {
  encodeIndex,
  openIndex,
  type ParcelIndexFields,
} from '../../../publisher/airgap/parcel.ts';
import { sizeInHeader, tarHeader } from '../../../publisher/bundle/tar-block.ts';
import { contentOf } from '../../../publisher/airgap/export-contents.ts';
import { ParcelReader } from '../../../publisher/airgap/parcel-reader.ts';
import { writeParcel } from '../../../publisher/airgap/parcel-writer.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { fixedSeed, makeFleet } from '../../helpers/fleet.ts';
import { programFile } from '../../helpers/program-file.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { seedSigner } from '../../../shared/crypto/ed25519.ts';

const fleet = makeFleet();
const role = fleet.trust.roles.rollout;
const contents = [
  contentOf('trust.json', fleet.trustBytes),
  contentOf('bundles/0/manifest.json', new TextEncoder().encode('{}')),
  contentOf('bundles/0/signature.sig', new Uint8Array(64)),
  contentOf('bundles/0/payload.tar.gz', new Uint8Array(1_500).fill(7)),
];
const FIELDS: ParcelIndexFields = {
  kind: 'drover-export',
  format: 1,
  fleet: 'test',
  seq: 5,
  created_at: '2026-01-01T00:00:00Z',
  members: contents.map(({ member }) => member),
};

async function write(
  t: TestContext,
  more: { seeds?: Uint8Array[]; split?: number } = {},
): Promise<{ folder: string; file: string; parts: readonly string[] }> {
  const folder = await tempFolder(t);
  const file = join(folder, 'a.drover-export');
  const { parts } = await writeParcel({
    ...{ seal: null, dryRun: false },
    out: file,
    split: more.split ?? null,
    kind: 'drover-export',
    index: await encodeIndex(FIELDS, (more.seeds ?? []).map(seedSigner)),
    contents,
    meter: () => ({ add: () => undefined, stop: () => undefined }),
  });
  return { folder, file, parts };
}

/** `taken`, or the code of the refusal. */
async function readAll(file: string): Promise<string> {
  try {
    const reader = await ParcelReader.open(file, 'drover-export', role);
    try {
      for (const member of reader.index.members) await reader.read(member);
      return 'taken';
    } finally {
      await reader.close();
    }
  } catch (error) {
    if (error instanceof DroverError) return error.code;
    throw error;
  }
}

test('the same content makes the same file, and any tar and sha256sum read it [P-13.1]', async (t) => {
  const [one, two] = [await write(t), await write(t)];
  assert.deepEqual(await readFile(one.file), await readFile(two.file));
  assert.equal(await readAll(one.file), 'taken');
  const run = (command: string, args: string[]): void => {
    const done = spawnSync(command, args, { cwd: one.folder });
    assert.equal(done.status, 0, done.stderr.toString());
  };
  run('tar', ['-xf', one.file]);
  run('sha256sum', ['-c', 'SHA256SUMS']);
});

test('a bit that is flipped anywhere is refused [P-13.2]', async (t) => {
  const { file, folder } = await write(t);
  const bytes = await readFile(file);
  const bad = join(folder, 'bad');
  const codes = ['PARCEL_DAMAGED', 'PARCEL_INVALID', 'PARCEL_TRUNCATED'];
  const indexEnd = 4 * 512;
  for (let at = 0; at < bytes.byteLength; at += at < indexEnd ? 1 : 11) {
    const changed = Buffer.from(bytes);
    changed.writeUInt8(changed.readUInt8(at) ^ (1 << (at % 3)), at);
    await writeFile(bad, changed);
    const code = await readAll(bad);
    assert.ok(codes.includes(code), `${code} at ${at}`);
  }
});

test('a file that is cut or longer is refused, wherever it ends [P-13.2]', async (t) => {
  const { file, folder } = await write(t);
  const bytes = await readFile(file);
  const bad = join(folder, 'bad');
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: bytes.byteLength - 1 }), async (length) => {
      await writeFile(bad, bytes.subarray(0, length));
      assert.equal(await readAll(bad), 'PARCEL_TRUNCATED');
    }),
    { numRuns: 100 },
  );
  await writeFile(bad, Buffer.concat([bytes, Buffer.alloc(512)]));
  assert.equal(await readAll(bad), 'PARCEL_DAMAGED');
});

test('a file in parts is read as one, and one part too few is noticed [P-13.3]', async (t) => {
  const { file, parts } = await write(t, { split: 2_000 });
  assert.ok(parts.length > 2);
  assert.equal(await readAll(file), 'taken');
  assert.equal(await readAll(`${file}.001`), 'taken');
  await writeFile(parts.at(-1) as string, '');
  assert.equal(await readAll(file), 'PARCEL_TRUNCATED');
});

test('an index counts as signed only by a rollout key that the reader trusts [P-13.4]', async () => {
  const authority = async (seeds: Uint8Array[]) =>
    openIndex(await encodeIndex(FIELDS, seeds.map(seedSigner)), role).authority;
  assert.equal(await authority([fleet.seeds.rollout]), 'trusted');
  assert.equal(await authority([fixedSeed(99)]), 'stranger');
  assert.equal(await authority([]), 'nobody');
});

test('names that lead elsewhere are no members [P-13.1]', async () => {
  for (const name of ['../x', '/etc/passwd', 'bundles/0/../x', 'bundles/32/manifest.json', 'a']) {
    const members = [{ name, size: 1, sha256: 'ab'.repeat(32) }];
    const encode = () => encodeIndex({ ...FIELDS, members }, []);
    await assert.rejects(encode, { code: 'PARCEL_INVALID' }, name);
  }
});

test('a header says its size in octal up to 8 GiB and in binary above', () => {
  const size = 8 * 1024 ** 3;
  assert.equal(sizeInHeader(tarHeader('a', size - 1), 'a'), size - 1);
  assert.equal(tarHeader('a', size)[124], 0x80);
  assert.equal(sizeInHeader(tarHeader('b', 5), 'a'), null);
});

test('a file system that takes no larger file has a code of its own, and leaves nothing', async (t) => {
  const folder = await tempFolder(t);
  const trust = join(folder, 'trust.json');
  await writeFile(trust, fleet.trustBytes);
  const { makeBundleFolder } = await import('../bundle-maker.ts');
  const bundle = await makeBundleFolder(folder, '1.0.0', 300_000);
  const main = programFile('publisher');
  const words = ['export', bundle, '--trust', trust, '--out', join(folder, 'out'), '--json'];
  const shell = ['-c', 'ulimit -f 100; exec "$@"', 'sh', process.execPath, main, ...words];
  const done = spawnSync('sh', shell);
  assert.match(done.stdout.toString(), /"code":"FILE_TOO_LARGE"/);
  assert.match(done.stdout.toString(), /--split 3900M/);
  await assert.rejects(readFile(join(folder, 'out.tmp')), { code: 'ENOENT' });
});
