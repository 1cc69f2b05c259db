/**
 * Two releases of 1 GiB: eight files of 128 MiB. From one to the other a file has a byte changed in
 * every 300, one is moved to the other end of the tree, one has a new part, and five stay.
 */

import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';

const MiB = 1024 * 1024;
const FILE_MIB = 128;
const NEW_MIB = 8;
const CHANGE_EVERY = 300;

/** The same words each time, as far from noise as programs are: about a third when packed. */
function block(seed: number): Buffer {
  let state = seed | 1;
  const bytes = Buffer.allocUnsafe(MiB);
  for (let at = 0; at < MiB; at += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    bytes[at] = at % 16 < 10 ? (seed + (at >> 6)) & 0x3f : state >>> 24;
  }
  return bytes;
}

async function writeFile(
  path: string,
  seed: number,
  change: (block: Buffer, at: number) => Buffer,
) {
  const file = await open(path, 'w');
  for (let at = 0; at < FILE_MIB; at += 1) await file.write(change(block(seed * 1_000 + at), at));
  await file.close();
}

export async function writeLargePair(old: string, next: string): Promise<void> {
  await mkdir(old);
  await mkdir(next);
  const same = (bytes: Buffer): Buffer => bytes;
  for (let nth = 0; nth < 8; nth += 1) {
    await writeFile(join(old, `part-${nth}`), nth, same);
    if (nth === 2) await writeFile(join(next, 'a-moved'), nth, same);
    else await writeFile(join(next, `part-${nth}`), nth, CHANGES[nth] ?? same);
  }
}

const CHANGES: Readonly<Record<number, (bytes: Buffer, at: number) => Buffer>> = {
  4: (bytes) => {
    for (let at = 0; at < bytes.byteLength; at += CHANGE_EVERY) bytes[at] = (bytes[at] ?? 0) ^ 0x55;
    return bytes;
  },
  5: (bytes, at) => (at < NEW_MIB ? block(77_000 + at) : bytes),
};
