/**
 * Streams a planned tree into payload.tar.gz and hashes both the tar and the gzip on the way, in
 * one pass and a few hundred KiB of memory whatever the size of the tree.
 *
 * Equal trees give equal bytes: no owners, no users' names and no times but those
 * of sources of valid byte code go into the tar; zlib is fed blocks of
 * one fixed size, so that its output cannot depend on how the disk cut the reads; the gzip header
 * says "unknown OS". (The tar is the same everywhere. The compressed bytes are the same for one
 * version of Node on one kind of CPU: zlib uses other matching on other CPUs.)
 */

import { createWriteStream, constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import tar from 'tar-stream';
import { DroverError } from '../../shared/base/errors.ts';
import { Sha256Stream } from '../../shared/crypto/hash.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { addEntry, openEntry, roomInEntry } from '../../shared/io/tar-entry.ts';
import type { PlannedEntry } from './plan-tree.ts';

export interface PackedPayload {
  readonly sha256: Sha256Hex;
  readonly bytes: number;
  readonly tarSha256: Sha256Hex;
  readonly tarBytes: number;
}

export interface PackPlan {
  /** Folder of the files. */
  readonly root: string;
  readonly entries: readonly PlannedEntry[];
  /** Path of the file for an entry, where it is not its path below `root`. */
  readonly sourceOf?: (entry: PlannedEntry) => string;
  /** Called with each piece of each file. */
  readonly onBody?: (piece: Uint8Array) => void;
}

const BLOCK_BYTES = 64 * 1024;
const GZIP_OS_AT = 9; // RFC 1952: ID1 ID2 CM FLG MTIME(4) XFL OS
const GZIP_OS_UNKNOWN = 255;
/** A file that became a link or a fifo after the listing is neither followed nor waited for. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * @param out path of a new file; it is synced when this resolves
 * @param onBytes called with the size of each piece of the tar
 * @throws DroverError FILE_UNREADABLE when the tree changes or cannot be read meanwhile
 */
export async function packPayload(
  plan: PackPlan,
  out: string,
  onBytes: (bytes: number) => void,
): Promise<PackedPayload> {
  const tarHash = new Sha256Stream();
  const gzipHash = new Sha256Stream();
  await pipeline(
    tarPieces(plan),
    async function* reblocked(pieces: AsyncIterable<Uint8Array>) {
      for await (const block of inBlocks(pieces)) {
        tarHash.update(block);
        onBytes(block.byteLength);
        yield block;
      }
    },
    createGzip({ level: 6, memLevel: 8 }),
    async function* hashed(pieces: AsyncIterable<Buffer>) {
      for await (const piece of pieces) {
        const osAt = GZIP_OS_AT - gzipHash.bytes;
        if (osAt >= 0 && osAt < piece.byteLength) piece[osAt] = GZIP_OS_UNKNOWN;
        gzipHash.update(piece);
        yield piece;
      }
    },
    createWriteStream(out, { flags: 'wx' }),
  );
  await syncFile(out);
  return {
    sha256: gzipHash.digestHex(),
    bytes: gzipHash.bytes,
    tarSha256: tarHash.digestHex(),
    tarBytes: tarHash.bytes,
  };
}

async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The same bytes in blocks of BLOCK_BYTES, the last one shorter. */
async function* inBlocks(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let block = Buffer.allocUnsafe(BLOCK_BYTES);
  let filled = 0;
  for await (const piece of pieces) {
    for (let at = 0; at < piece.byteLength;) {
      const step = Math.min(BLOCK_BYTES - filled, piece.byteLength - at);
      block.set(piece.subarray(at, at + step), filled);
      filled += step;
      at += step;
      if (filled < BLOCK_BYTES) continue;
      yield block;
      block = Buffer.allocUnsafe(BLOCK_BYTES); // the one just yielded is still being read
      filled = 0;
    }
  }
  if (filled > 0) yield block.subarray(0, filled);
}

async function* tarPieces(plan: PackPlan): AsyncGenerator<Uint8Array> {
  const pack = tar.pack();
  const fed = feed(pack, plan).catch((error: unknown) => {
    pack.destroy(error instanceof Error ? error : new Error(String(error)));
  });
  yield* pack as AsyncIterable<Uint8Array>;
  await fed;
}

async function feed(pack: tar.Pack, plan: PackPlan): Promise<void> {
  for (const entry of plan.entries) {
    if (entry.kind === 'file') await feedFile(pack, plan, entry);
    else await addEntry(pack, headerOf(entry), null);
  }
  pack.finalize();
}

function headerOf(entry: PlannedEntry): Partial<tar.Header> & { name: string } {
  const type = entry.kind === 'folder' ? 'directory' : entry.kind;
  return {
    name: entry.path,
    type,
    mode: entry.mode,
    size: entry.bytes,
    mtime: new Date(entry.timeS * 1000),
    uid: 0,
    gid: 0,
    uname: '',
    gname: '',
    ...(entry.kind === 'symlink' ? { linkname: entry.linkTarget } : {}),
  };
}

async function feedFile(pack: tar.Pack, plan: PackPlan, entry: PlannedEntry): Promise<void> {
  const changed = (why: string, cause?: unknown) =>
    new DroverError('FILE_UNREADABLE', `build: read ${entry.path}: ${why}`, { cause });
  let handle;
  try {
    const path = plan.sourceOf?.(entry) ?? `${plan.root}/${entry.path}`;
    handle = await open(path, OPEN_FLAGS);
  } catch (cause) {
    throw changed(cause instanceof Error ? cause.message : String(cause), cause);
  }
  try {
    const before = await handle.stat();
    if (!before.isFile() || before.size !== entry.bytes)
      throw changed('it changed while the bundle was built');
    const opened = openEntry(pack, headerOf(entry));
    const { sink, done } = opened;
    let sent = 0;
    for await (const piece of handle.createReadStream({ autoClose: false })) {
      sent += (piece as Buffer).byteLength;
      if (sent > entry.bytes) break;
      plan.onBody?.(piece as Buffer);
      if (!sink.write(piece)) await roomInEntry(opened, pack);
    }
    if (sent !== entry.bytes) throw changed('it changed while the bundle was built');
    sink.end(null);
    await done;
    const after = await handle.stat();
    if (after.mtimeMs !== before.mtimeMs) throw changed('it changed while the bundle was built');
  } finally {
    await handle.close();
  }
}
