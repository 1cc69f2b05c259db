/**
 * Writes the seal of a release. The tree is walked as a stream: memory does not grow with the
 * number of files. Nothing is followed out of the release. A program that wrote the files itself
 * hands on their hashes: a tree of thousands of files is then listed and not read.
 */

import { performance } from 'node:perf_hooks';
import { isByteCode } from '../../shared/rules/byte-code.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { Sha256Stream } from '../../shared/crypto/hash.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { adoptedSealFile, sealFile, type Layout } from './layout.ts';
import type { Disk, DiskFile, PathStat } from './disk-port.ts';
import { encodeSealEnd, encodeSealEntry, SEAL_MARK, type SealEntry } from './seal.ts';

export interface FileHash {
  readonly bytes: number;
  readonly sha256: string;
}

/** The hash of a file as it was written, by its path in the tree; null when it is not known. */
export type HashOf = (path: string) => FileHash | null;

interface Sealed {
  readonly version: string;
  readonly tree: string;
  /** A file whose hash is not known, or that has another size now, is read. */
  readonly hashOf?: HashOf;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Seals the tree of a release; durable when this resolves. A seal that is there is replaced.
 * @throws DroverError DISK_FULL, DISK_WRITE_FAILED; or the signal's reason
 */
export async function writeSeal(disk: Disk, layout: Layout, sealed: Sealed): Promise<void> {
  const { version, tree, hashOf, signal } = sealed;
  await disk.mkdir(layout.seals);
  await keepSeal(disk, layout, {
    path: sealFile(layout, version),
    entries: walk({ disk, tree, buffer: newBuffer(), ...(hashOf && { hashOf }) }, ''),
    signal,
  });
}

async function keepSeal(
  disk: Disk,
  layout: Layout,
  on: { path: string; entries: AsyncIterable<SealEntry>; signal?: AbortSignal | undefined },
): Promise<void> {
  const beside = besideOf(layout);
  const file = await disk.open(beside, 'create', 0o600);
  try {
    const writer = new SealWriter(file);
    await writer.put(`${SEAL_MARK}\n`);
    for await (const entry of on.entries) {
      on.signal?.throwIfAborted();
      await writer.put(encodeSealEntry(entry));
    }
    await writer.end();
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(beside, on.path);
  await disk.syncFolder(layout.seals);
}

/**
 * Seals an adopted release as it was found: for `adoptSealMs` at most, and without hashes after
 * half of that time. A robot whose release gets no seal runs on as before.
 * @returns false when there is none: the tree is too large, or the disk refused
 */
export async function sealAdopted(
  disk: Disk,
  layout: Layout,
  { version, tree }: { readonly version: string; readonly tree: string },
): Promise<boolean> {
  const path = adoptedSealFile(layout, version);
  const hashUntil = performance.now() + LIMITS.adoptSealHashMs;
  const on = { disk, tree, buffer: newBuffer(), mayHash: () => performance.now() < hashUntil };
  const kept = await orNone(async () => {
    await disk.mkdir(layout.seals);
    await disk.unlink(path); // of a tree that had that name before
    await keepSeal(disk, layout, { path, entries: inTime(walkFound(on, '')) });
    return true;
  });
  if (!kept) await orNone(() => disk.unlink(besideOf(layout)));
  return kept ?? false;
}

async function* inTime(entries: AsyncIterable<SealEntry>): AsyncGenerator<SealEntry> {
  const until = performance.now() + LIMITS.adoptSealMs;
  for await (const entry of entries) {
    if (performance.now() > until) {
      throw new DroverError('ADOPT_IMPOSSIBLE', 'seal what was adopted: the tree is too large');
    }
    yield entry;
  }
}

/** True when both trees would get the same seal: the same files, links and modes. */
export async function isSameTree(disk: Disk, one: string, other: string): Promise<boolean> {
  const hashOf = async (tree: string): Promise<string> => {
    const hash = new Sha256Stream();
    for await (const entry of walk({ disk, tree, buffer: newBuffer() }, '')) {
      hash.update(Buffer.from(encodeSealEntry(entry)));
    }
    return hash.digestHex();
  };
  return (await hashOf(one)) === (await hashOf(other));
}

const newBuffer = (): Uint8Array => new Uint8Array(LIMITS.stageReadBytes);

const besideOf = (layout: Layout): string => `${layout.seals}/.new`;

class SealWriter {
  readonly #file: DiskFile;
  readonly #hash = new Sha256Stream();
  #waiting = '';
  #atByte = 0;

  constructor(file: DiskFile) {
    this.#file = file;
  }

  async put(text: string): Promise<void> {
    this.#waiting += text;
    if (this.#waiting.length > LIMITS.stageInflateBytes) await this.#flush();
  }

  async end(): Promise<void> {
    await this.#flush();
    await this.#file.write(Buffer.from(encodeSealEnd(this.#hash.digestHex())), this.#atByte);
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.from(this.#waiting);
    this.#waiting = '';
    this.#hash.update(bytes);
    await this.#file.write(bytes, this.#atByte);
    this.#atByte += bytes.byteLength;
  }
}

/** How to read a tree for its seal. */
interface Walk {
  readonly disk: Disk;
  readonly tree: string;
  /** For the bytes of one file after the other: one for each file would pile up. */
  readonly buffer: Uint8Array;
  /** False from when on the hash of a file stays empty; a walk that has none takes all hashes. */
  readonly mayHash?: () => boolean;
  readonly hashOf?: HashOf;
}

async function* walk(on: Walk, below: string): AsyncGenerator<SealEntry> {
  const { disk, tree } = on;
  for await (const { path, kind, bytes, mode } of statsIn(on, below)) {
    if (kind === 'folder') {
      yield ['d', path, mode];
      yield* walk(on, path);
    } else if (kind === 'link') {
      yield ['l', path, (await disk.readlink(`${tree}/${path}`)) ?? ''];
    } else if (kind === 'file' && !isByteCode(path)) {
      const hash = await hashIn(on, path, bytes);
      yield ['f', path, mode, hash.bytes, hash.sha256];
    }
  }
}

/** The entries of a folder in the order of their names, with several stats at once. */
async function* statsIn(
  { disk, tree }: Walk,
  below: string,
): AsyncGenerator<PathStat & { readonly path: string }> {
  const names = await disk.list(below === '' ? tree : `${tree}/${below}`);
  for (let at = 0; at < names.length; at += LIMITS.sealLooksMax) {
    const asked = names.slice(at, at + LIMITS.sealLooksMax).map(async (name) => {
      const path = below === '' ? name : `${below}/${name}`;
      return { ...(await disk.stat(`${tree}/${path}`)), path };
    });
    yield* await Promise.all(asked);
  }
}

async function hashIn(on: Walk, path: string, bytes: number): Promise<FileHash> {
  const known = on.hashOf?.(path) ?? null;
  if (known?.bytes === bytes) return known;
  return await hashFile(on.disk, `${on.tree}/${path}`, on.buffer);
}

/** Like `walk`, for a tree that Drover did not make: unreadable parts are left out. */
async function* walkFound(on: Walk, below: string): AsyncGenerator<SealEntry> {
  const { disk, tree } = on;
  const names = await orNone(() => disk.list(below === '' ? tree : `${tree}/${below}`));
  for (const name of names ?? []) {
    const path = below === '' ? name : `${below}/${name}`;
    const found = await orNone(() => disk.stat(`${tree}/${path}`));
    if (found?.kind === 'folder') yield* walkFound(on, path);
    if (found?.kind !== 'file' || isByteCode(path)) continue;
    yield ['f', path, found.mode, found.bytes, await foundHash(on, path)];
  }
}

async function foundHash(on: Walk, path: string): Promise<string> {
  if (on.mayHash?.() === false) return '';
  const hashed = await orNone(() => hashFile(on.disk, `${on.tree}/${path}`, on.buffer));
  return hashed?.sha256 ?? '';
}

/** Null when the disk refused. */
async function orNone<T>(run: () => Promise<T>): Promise<T | null> {
  try {
    return await run();
  } catch (thrown) {
    if (!(thrown instanceof DroverError)) throw thrown;
    return null;
  }
}

/** @throws DroverError DISK_WRITE_FAILED when the disk cannot read it */
export async function hashFile(disk: Disk, path: string, buffer: Uint8Array): Promise<FileHash> {
  const file = await disk.open(path, 'read');
  const hash = new Sha256Stream();
  try {
    for (let got = -1; got !== 0;) {
      got = await file.read(buffer, hash.bytes);
      hash.update(buffer.subarray(0, got));
    }
  } finally {
    await file.close();
  }
  return { bytes: hash.bytes, sha256: hash.digestHex() };
}
