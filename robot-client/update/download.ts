/**
 * The stage download: a payload or a delta, chunk by chunk, into its staging file. The file itself
 * is hashed to find which chunks are there, never a note about it: after a power cut the bytes are
 * reliable and a note may not be. So a verified chunk that survived is never fetched again.
 */

import {
  chunkLength,
  parseChunkIndex,
  type ChunkIndex,
} from '../../shared/transfer/chunk-index.ts';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { type Sha256Hex, shortHash } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { ChunkPull, type PullEffect, type SlowChunk } from '../../shared/transfer/pull.ts';
import type { Disk, DiskFile } from '../install/disk-port.ts';
import type { Job } from './state.ts';
import { readFitting } from '../install/small-file.ts';
import { transferOf, type Transfer } from './delta.ts';

/** The part of the agent's link that a download uses. */
export interface PullLink {
  readonly isUp: boolean;
  /** When a part of a message last came; left out by a carrier that sees whole messages only. */
  readonly bodyAtMs?: number;
  subscribeChunks(hashes: readonly Sha256Hex[]): void;
  unsubscribeChunks(hashes: readonly Sha256Hex[]): void;
  wantChunks(hashes: readonly Sha256Hex[]): void;
  /** Registers the one pull in progress; returns the way to take it off. */
  attach(listener: PullListener): () => void;
}

export interface PullListener {
  onChunk(hash: Sha256Hex, bytes: Uint8Array): Promise<void>;
  onUp(): void;
  onDown(): void;
}

export interface DownloadInput {
  readonly job: Job;
  readonly folder: string;
  readonly disk: Disk;
  readonly link: PullLink;
  readonly bytesPerSecondMax: number | null;
  readonly signal: AbortSignal;
  /** Called before anything of the payload is fetched, its file being there; may refuse. */
  reserve?(): Promise<void>;
  /** Number of chunks that were requested more than once without an answer; 0 after an answer. */
  onMissing?(chunks: number): void;
  /** A chunk that is on its way for long; null when chunks come in time again. */
  onSlow?(problem: Problem | null): void;
  onProgress(progress: { bytesDone: number; bytesTotal: number; chunksFetched: number }): void;
}

/** Resolves when every byte of the payload or delta is in the staging file and fsynced.
 * @throws DroverError CHUNK_UNAVAILABLE, CHUNK_INDEX_INVALID, DISK_FULL, DISK_WRITE_FAILED */
export async function downloadPayload(input: DownloadInput): Promise<void> {
  const { job, folder, disk } = input;
  const transfer = transferOf(job, folder);
  await disk.mkdir(folder);
  const index = await fetchIndex(input, transfer);
  await removeLonger(disk, transfer);
  const file = await disk.open(transfer.path, 'update', 0o600);
  try {
    const places = await missingPlaces(file, index, input.signal);
    const missingBytes = [...places.values()]
      .flat()
      .reduce((n, at) => n + chunkLength(index, at), 0);
    await input.reserve?.();
    const progress = {
      bytesDone: transfer.bytes - missingBytes,
      bytesTotal: transfer.bytes,
      chunksFetched: 0,
    };
    input.onProgress(progress);
    let unsynced = 0;
    const keep = async (hash: Sha256Hex, bytes: Uint8Array): Promise<void> => {
      for (const at of places.get(hash) ?? []) {
        assertLength(bytes.byteLength, chunkLength(index, at));
        await file.write(bytes, at * index.chunkBytes);
        progress.bytesDone += bytes.byteLength;
        unsynced += bytes.byteLength;
      }
      progress.chunksFetched += 1;
      if (unsynced >= LIMITS.downloadSyncBytes) {
        unsynced = 0;
        await file.sync();
      }
      input.onProgress(progress);
    };
    const { chunkBytes } = transfer;
    await pullAll({ ...input, chunkBytes, missing: [...places.keys()], keep });
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.syncFolder(folder);
  await disk.syncFolder(folder.slice(0, folder.lastIndexOf('/'))); // it may be new itself
}

/**
 * A file that is longer than what is downloaded cannot be what was signed, and no chunk makes it
 * shorter: the version would be blocked for what stands on this disk.
 */
async function removeLonger(disk: Disk, { path, bytes }: Transfer): Promise<void> {
  const found = await disk.stat(path);
  if (found.kind === 'file' && found.bytes > bytes) await disk.unlink(path);
}

/** An index may not make a chunk spill over its neighbour. */
function assertLength(got: number, want: number): void {
  if (got === want) return;
  const why = `a chunk of the wrong length (got ${got}, want ${want} bytes)`;
  throw new DroverError('CHUNK_INDEX_INVALID', `download payload: ${why}`);
}

/** The index is a chunk like any other; its kept copy is checked by its own address. */
async function fetchIndex(input: DownloadInput, transfer: Transfer): Promise<ChunkIndex> {
  const { disk } = input;
  const { chunkBytes, chunkIndex, indexPath: path } = transfer;
  const artifact = { size: transfer.bytes, chunk_size: chunkBytes };
  const kept = await readFitting(disk, path, LIMITS.chunkBytesMax);
  if (kept && sha256Hex(kept) === chunkIndex) return parseChunkIndex(kept, artifact);
  let index: ChunkIndex | null = null;
  const keep = async (_hash: Sha256Hex, bytes: Uint8Array): Promise<void> => {
    index = parseChunkIndex(bytes, artifact);
    await keepIndex(disk, path, bytes);
  };
  await pullAll({ ...input, chunkBytes, missing: [chunkIndex as Sha256Hex], keep });
  if (!index) throw new TypeError('fetchIndex: the pull ended without its chunk');
  return index;
}

/** Without any fsync: a copy that a power cut took or tore shows by its address, and is one chunk. */
async function keepIndex(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const file = await disk.open(path, 'create', 0o600);
  try {
    await file.write(bytes, 0);
  } finally {
    await file.close();
  }
}

/** Places in the file for each chunk that is not there yet (equal chunks share one fetch). */
async function missingPlaces(
  file: DiskFile,
  index: ChunkIndex,
  signal: AbortSignal,
): Promise<Map<Sha256Hex, number[]>> {
  const places = new Map<Sha256Hex, number[]>();
  const bytesThere = await file.size();
  const buffer = new Uint8Array(index.chunkBytes);
  for (const [at, hash] of index.chunks.entries()) {
    signal.throwIfAborted();
    const length = chunkLength(index, at);
    const view = buffer.subarray(0, length);
    const start = at * index.chunkBytes;
    const isThere =
      start + length <= bytesThere &&
      (await file.read(view, start)) === length &&
      sha256Hex(view) === hash;
    if (isThere) continue;
    const known = places.get(hash);
    if (known) known.push(at);
    else places.set(hash, [at]);
  }
  return places;
}

type PullAll = Pick<
  DownloadInput,
  'link' | 'signal' | 'bytesPerSecondMax' | 'onMissing' | 'onSlow'
> & {
  chunkBytes: number;
  missing: readonly Sha256Hex[];
  keep(hash: Sha256Hex, bytes: Uint8Array): Promise<void>;
};

/**
 * Runs the pure pull engine against the link until it is done, gives up, or is aborted. Its times
 * are of the clock that never jumps: a robot's other one is put right by years in mid-download.
 */
function pullAll(input: PullAll): Promise<void> {
  const { link, signal } = input;
  if (input.missing.length === 0) return Promise.resolve();
  const pull = new ChunkPull({
    missing: input.missing,
    chunkBytes: input.chunkBytes,
    bytesPerSecondMax: input.bytesPerSecondMax,
  });
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | null = null;
    let ended = false;
    let detach = (): void => {};
    const finish = (error?: Error): void => {
      ended = true;
      if (timer) clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      detach();
      if (error === undefined) resolve();
      else reject(error);
    };
    const onAbort = (): void => finish(signal.reason as Error);
    const run = (effects: readonly PullEffect[]): void => {
      if (ended) return; // a chunk that was being written when the pull was stopped
      for (const effect of effects) {
        if (effect.kind === 'subscribe') link.subscribeChunks(effect.hashes);
        else if (effect.kind === 'unsubscribe') link.unsubscribeChunks(effect.hashes);
        else if (effect.kind === 'want') {
          link.wantChunks(effect.hashes);
          input.onMissing?.(effect.hashes.length);
        } else return finish(effect.kind === 'done' ? undefined : gaveUp(effect));
      }
      const slow = pull.slowest(clock());
      input.onSlow?.(slow && toProblem(slowError(slow, clock())));
      if (timer) clearTimeout(timer);
      const wakeAtMs = pull.wakeAtMs;
      const onTime = (): void => run(pull.timer(clock(), link.bodyAtMs));
      timer = wakeAtMs === null ? null : setTimeout(onTime, waitMs(wakeAtMs));
    };
    detach = link.attach({
      onChunk: async (hash, bytes) => {
        if (!pull.isMissing(hash)) return;
        try {
          await input.keep(hash, bytes);
          input.onMissing?.(0);
          run(pull.kept(hash, bytes.byteLength, clock()));
        } catch (error) {
          finish(error as Error);
        }
      },
      onUp: () => run(pull.up(clock())),
      onDown: () => {
        pull.down();
        run([]);
      },
    });
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort);
    if (link.isUp) run(pull.up(clock()));
  });
}

const clock = (): number => performance.now();
/** A timer may go off a part of a millisecond early, and then nothing would be late yet. */
const waitMs = (untilMs: number): number => Math.max(0, Math.ceil(untilMs - clock())) + 1;

function slowError({ hash, sinceMs }: SlowChunk, now: number): DroverError {
  const why = `not whole after ${Math.round((now - sinceMs) / 1000)} s, but on its way`;
  return new DroverError('LINK_SLOW', `download chunk ${shortHash(hash)}: ${why}`);
}

function gaveUp(effect: { hash: Sha256Hex; attempts: number }): DroverError {
  return new DroverError(
    'CHUNK_UNAVAILABLE',
    `download chunk ${shortHash(effect.hash)}: no answer after ${effect.attempts} attempts`,
  );
}
