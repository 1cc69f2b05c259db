/**
 * The contract of the robot's disk: the real disk and the model whose power the crash walk cuts do
 * the same for every sequence of operations. A model that differed would make the crash walk prove
 * something about a disk that does not exist.
 */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'node:test';
import { folder } from '../crash/disk-image.ts';
import { ModelDisk } from '../crash/model-disk.ts';
import { realDisk } from '../../robot-client/install/disk.ts';
import type { Disk } from '../../robot-client/install/disk-port.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { withTempFolder } from '../helpers/temp-folder.ts';

/** A thing to do, with paths below a root. */
type Operation = readonly [
  name: string,
  run: (disk: Disk, at: (path: string) => string) => unknown,
];

const PLACES = ['a', 'b', 'd', 'd/a', 'd/b', 'e', 'e/d', 'e/d/a'] as const;
/** Links have names of their own: the port promises nothing about paths that lead through one. */
const LINKS = ['l', 'd/l'] as const;

const place = fc.constantFrom(...PLACES);
const link = fc.constantFrom(...LINKS);
const anywhere = fc.constantFrom(...PLACES, ...LINKS);
const bytes = fc.uint8Array({ minLength: 0, maxLength: 6 });
const mode = fc.constantFrom(0o644, 0o600, 0o755, 0o444);

async function writeFile(
  disk: Disk,
  path: string,
  how: { use: 'new' | 'create' | 'update'; bytes: Uint8Array; at: number; mode: number },
): Promise<number> {
  const file = await disk.open(path, how.use, how.mode);
  try {
    await file.write(how.bytes, how.at);
    await file.setMode(how.mode);
    await file.sync();
    return await file.size();
  } finally {
    await file.close();
  }
}

const operation: fc.Arbitrary<Operation> = fc.oneof(
  place.map((to): Operation => [`mkdir ${to}`, (disk, at) => disk.mkdir(at(to))]),
  fc
    .record({
      to: place,
      use: fc.constantFrom('new' as const, 'create' as const, 'update' as const),
      bytes,
      mode,
    })
    .chain((one) => fc.nat(4).map((offset) => ({ ...one, at: offset })))
    .map(({ to, ...how }): Operation => [
      `write ${to} ${JSON.stringify(how)}`,
      (disk, at) => writeFile(disk, at(to), how),
    ]),
  fc
    .tuple(fc.constantFrom('a', 'd', 'nowhere'), fc.constantFrom(...LINKS))
    .map(([target, to]): Operation => [
      `symlink ${target} ${to}`,
      (disk, at) => disk.symlink(target, at(to)),
    ]),
  fc
    .oneof(fc.tuple(place, place), fc.tuple(link, link))
    .map(([from, to]): Operation => [
      `rename ${from} ${to}`,
      (disk, at) => rename(disk, at(from), at(to)),
    ]),
  anywhere.map((one): Operation => [`unlink ${one}`, (disk, at) => disk.unlink(at(one))]),
  anywhere.map((one): Operation => [`removeTree ${one}`, (disk, at) => disk.removeTree(at(one))]),
  fc
    .tuple(place, place)
    .map(([from, to]): Operation => [
      `copy ${from} ${to}`,
      (disk, at) => copy(disk, at(from), at(to)),
    ]),
  fc
    .tuple(place, place)
    .map(([from, to]): Operation => [
      `hardLink ${from} ${to}`,
      (disk, at) => disk.hardLink(at(from), at(to)),
    ]),
  fc
    .tuple(place, mode)
    .map(([one, bits]): Operation => [
      `chmod ${one} ${bits}`,
      (disk, at) => disk.chmod(at(one), bits),
    ]),
  place.map((one): Operation => [`syncAll ${one}`, (disk, at) => syncAll(disk, at(one))]),
  place.map((one): Operation => [`sync ${one}`, (disk, at) => syncFolder(disk, at(one))]),
);

/** Folders are moved to free names alone, and never into themselves: nothing asks for the rest. */
async function rename(disk: Disk, from: string, to: string): Promise<unknown> {
  const isFolder = (await disk.kind(from)) === 'folder';
  if (isFolder && ((await disk.kind(to)) !== 'absent' || `${to}/`.startsWith(`${from}/`)))
    return 'no';
  if (from === to) return 'no';
  return await disk.rename(from, to);
}

/** Of a folder: what a file answers nobody asks. */
async function syncFolder(disk: Disk, path: string): Promise<unknown> {
  return (await disk.kind(path)) === 'file' ? 'no' : await disk.syncFolder(path);
}

/** Of a folder that is there. A process for each would be too much: the real one is tried once. */
async function syncAll(disk: Disk, path: string): Promise<unknown> {
  if ((await disk.kind(path)) !== 'folder') return 'no';
  if (disk === realDisk && hasSynced) return true;
  hasSynced ||= disk === realDisk;
  return await disk.syncAll(path);
}
let hasSynced = false;

/** A tree is copied to a free name beside it. */
async function copy(disk: Disk, from: string, to: string): Promise<unknown> {
  if ((await disk.kind(to)) !== 'absent' || `${to}/`.startsWith(`${from}/`)) return 'no';
  if ((await disk.kind(from)) !== 'folder') return 'no';
  return await disk.copyTree(from, to);
}

/** The value, or that it was refused. The code is the real disk's own matter. */
async function outcome(run: () => unknown): Promise<unknown> {
  try {
    return (await run()) ?? 'done';
  } catch (error) {
    if (error instanceof DroverError) return 'refused';
    throw error;
  }
}

/** All that the port shows of a disk. */
async function show(disk: Disk, at: (path: string) => string): Promise<unknown[]> {
  const seen: unknown[] = [];
  for (const path of ['', ...PLACES, ...LINKS]) {
    const { kind, bytes: size, mode: bits } = await disk.stat(at(path));
    const isFile = kind === 'file';
    const text = isFile ? Buffer.from((await disk.readFile(at(path), 1_000)) ?? []) : null;
    const names = kind === 'folder' ? await disk.list(at(path)) : null;
    const file = isFile ? [size, bits, text?.toString('hex')] : [];
    seen.push([path, kind, ...file, names, await disk.readlink(at(path))]);
  }
  return seen;
}

test('the model disk and the real one do the same, whatever is asked of them', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 25 }), async (operations) => {
      await withTempFolder(async (root) => {
        const model = new ModelDisk(folder({}));
        const onReal = (path: string): string => (path === '' ? root : `${root}/${path}`);
        const onModel = (path: string): string => `/${path}`;
        for (const [name, run] of operations) {
          const really = await outcome(() => run(realDisk, onReal));
          assert.deepEqual(await outcome(() => run(model, onModel)), really, name);
        }
        assert.deepEqual(await show(model, onModel), await show(realDisk, onReal));
      });
    }),
    { numRuns: 200 },
  );
});
