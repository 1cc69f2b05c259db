import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Disk } from '../../../robot-client/install/disk-port.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { layoutOf, sealFile } from '../../../robot-client/install/layout.ts';
import { writeSeal, type HashOf } from '../../../robot-client/install/seal-file.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { payloadOf, type TarPart } from '../../helpers/tar.ts';
import { stageIn } from '../staging.ts';

const VERSION = '1.0.0';

async function sealOf(
  { folder, intoFolder: tree }: { folder: string; intoFolder: string },
  hashOf?: HashOf,
  disk: Disk = realDisk,
): Promise<string> {
  const layout = layoutOf(folder);
  await writeSeal(disk, layout, { version: VERSION, tree, ...(hashOf && { hashOf }) });
  return fs.readFileSync(sealFile(layout, VERSION), 'utf8');
}

/** The real disk, and the files that were read from it. */
function watchedDisk(): { disk: Disk; read: string[] } {
  const read: string[] = [];
  const disk: Disk = {
    ...realDisk,
    open: (path, use, mode) => {
      if (use === 'read') read.push(path);
      return realDisk.open(path, use, mode);
    },
  };
  return { disk, read };
}

const FOLDERS = ['', 'a/', 'a/b/', 'ü/', '__pycache__/'];
const SIZES = [0, 1, 511, LIMITS.stageInflateBytes, LIMITS.stageReadBytes + 1];

const entry = fc.record({
  kind: fc.constantFrom('file', 'file', 'hard link', 'link'),
  folder: fc.constantFrom(...FOLDERS),
  ending: fc.constantFrom('', '.py', '.pyc', ' x', '.Z'),
  bytes: fc.constantFrom(...SIZES),
  mode: fc.constantFrom(0o644, 0o755, 0o600, 0o444, 0o777),
  target: fc.nat(20),
});

/** No name comes twice; a hard link leads to a file before it. */
function partsOf(entries: readonly (typeof entry extends fc.Arbitrary<infer E> ? E : never)[]) {
  const files: string[] = [];
  return entries.map(({ kind, folder, ending, bytes, mode, target }, at): TarPart => {
    const name = `${folder}${at % 3}-${at}${ending}`;
    const linked = files[target % Math.max(1, files.length)];
    if (kind === 'link') return { name, type: 'symlink', linkname: 'nowhere' };
    if (kind === 'hard link' && linked) return { name, type: 'link', linkname: linked };
    files.push(name);
    return { name, mode, body: Buffer.alloc(bytes, at + 1) };
  });
}

test('a seal by the hashes of what was written is the seal of what is there, byte for byte', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 12 }), async (entries) => {
      const staged = await stageIn(await payloadOf(partsOf(entries)));
      assert.equal(await sealOf(staged, staged.hashOf), await sealOf(staged));
    }),
    { numRuns: 40 },
  );
});

test('a staged tree is sealed without a second look at its bytes', async () => {
  const parts = [
    { name: 'bin/run', body: 'x'.repeat(70_000), mode: 0o755 },
    { name: 'bin/same', type: 'link', linkname: 'bin/run' },
    { name: 'empty', body: '' },
  ];
  const staged = await stageIn(await payloadOf(parts));
  const { disk, read } = watchedDisk();
  await sealOf(staged, staged.hashOf, disk);
  assert.deepEqual(read, []);
});

test('a file is read for the seal when its size changed, or when it was not in the archive', async () => {
  const staged = await stageIn(await payloadOf([{ name: 'f', body: 'abc' }, { name: 'g' }]));
  const [changed, stray] = ['f', 'stray'].map((name) => join(staged.intoFolder, name));
  fs.appendFileSync(changed as string, 'd');
  fs.writeFileSync(stray as string, 'who?');
  const { disk, read } = watchedDisk();
  const seal = await sealOf(staged, staged.hashOf, disk);
  assert.deepEqual(read, [changed, stray]);
  assert.equal(seal, await sealOf(staged));
});
