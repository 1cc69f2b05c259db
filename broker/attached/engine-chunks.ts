/**
 * Keeps the list of chunks that an external engine is known to hold: those that the check has read
 * there, and those that we published. The engine cannot list them without sending its whole store.
 * Chunks that were uploaded and never announced are not in the list.
 * A chunk is cleared on the engine only when our disk has a copy of it. We keep that copy for one
 * more keep time: an announcement may name the chunk at the moment at which it is cleared, and then
 * robots get it from the copy.
 */

import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { shortHash, type Sha256Hex, type MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log, Wire, WritableChunkStore } from '../../shared/base/ports.ts';
import { chunkTopic } from '../../shared/formats/topics.ts';
import { readBack, type ReadBackLink } from '../../shared/io/read-back.ts';
import type { GarbagePlace } from '../garbage/collector.ts';
import type { GarbageBook } from '../garbage/marks.ts';
import type { EngineProfile } from '../mqtt/engine-profile.ts';

const NOTHING = new Uint8Array();
const GROUP = 1_000; // hashes in one step of a listing: some milliseconds of work

export interface EngineReading {
  readonly copies: WritableChunkStore;
  readonly profile: EngineProfile;
  /** @throws DroverError BROKER_UNREACHABLE before the first connection */
  link(): ReadBackLink;
}

/** The list of chunks that the engine holds, in the data folder. */
export class HeldChunks {
  readonly #book: GarbageBook;
  readonly #log: Log;
  readonly #held: Set<Sha256Hex>;

  private constructor(book: GarbageBook, log: Log, held: Set<Sha256Hex>) {
    this.#book = book;
    this.#log = log;
    this.#held = held;
  }

  /** @param first the chunks that are assumed to be there when nothing was recorded */
  static async open(
    book: GarbageBook,
    log: Log,
    first: AsyncIterable<readonly Sha256Hex[]>,
  ): Promise<HeldChunks> {
    const chunks = new HeldChunks(book, log, await book.held());
    if (book.isNew) for await (const hashes of first) await chunks.#hold(hashes);
    return chunks;
  }

  has(hash: Sha256Hex): boolean {
    return this.#held.has(hash);
  }

  /**
   * Records a chunk that the engine holds. A chunk that is missing from this list is never cleared;
   * it only takes room.
   */
  note(hash: Sha256Hex): void {
    if (this.#held.has(hash)) return;
    this.#hold([hash]).catch((error: unknown) => {
      const problem = toProblem(error);
      this.#log.warn({ problem }, 'could not record that the engine holds a chunk');
    });
  }

  async *list(): AsyncGenerator<readonly Sha256Hex[]> {
    const all = [...this.#held];
    for (let at = 0; at < all.length; at += GROUP) {
      yield all.slice(at, at + GROUP);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Call when the chunk was cleared on the engine. */
  async release(hash: Sha256Hex): Promise<void> {
    this.#held.delete(hash);
    await this.#book.release(hash);
  }

  async #hold(hashes: readonly Sha256Hex[]): Promise<void> {
    const room = Math.max(0, LIMITS.engineChunksMax - this.#held.size);
    const fresh = hashes.filter((hash) => !this.#held.has(hash)).slice(0, room);
    if (fresh.length === 0) return;
    for (const hash of fresh) this.#held.add(hash);
    await this.#book.hold(fresh);
  }
}

/** Returns the engine as a store from which unused chunks are removed. */
export function engineChunks(held: HeldChunks, reading: EngineReading): GarbagePlace {
  return {
    name: 'engine',
    list: () => held.list(),
    remove: async (hash, mayRemove) => {
      const bytes = await copyOf(hash, reading);
      if (!mayRemove()) return 0;
      if (bytes) await publishChunk(reading.link().wire, hash, NOTHING);
      await held.release(hash);
      return bytes?.byteLength ?? 0;
    },
  };
}

/**
 * Returns null when the engine has lost the chunk.
 * @throws DroverError STORE_FULL, DISK_FULL: the chunk is not cleared then
 */
async function copyOf(
  hash: Sha256Hex,
  { copies, profile, link }: EngineReading,
): Promise<Uint8Array | null> {
  const copy = await copies.get(hash);
  if (copy) return copy;
  await readBack(link(), {
    hashes: [hash],
    chunkBytes: LIMITS.chunkBytesMax,
    qos: profile.pullQos,
    patienceMs: LIMITS.storeCheckPatienceMs,
    onPresent: async (_, bytes) => await copies.put(hash, bytes),
  });
  return await copies.get(hash);
}

/** Reads a chunk of an announced bundle from our copy, or from the engine. */
export async function readFromEngine(
  hash: Sha256Hex,
  { copies, profile, link }: EngineReading,
): Promise<Uint8Array | null> {
  const copy = await copies.get(hash);
  if (copy) return copy;
  let found: Uint8Array | null = null;
  await readBack(link(), {
    hashes: [hash],
    chunkBytes: LIMITS.chunkBytesMax,
    qos: profile.pullQos,
    patienceMs: LIMITS.storeCheckPatienceMs,
    onPresent: (_, bytes) => void (found = bytes.slice()),
  });
  return found;
}

/** @throws DroverError BROKER_UNREACHABLE, UPLOAD_INCOMPLETE when the engine does not answer */
export async function publishChunk(wire: Wire, hash: Sha256Hex, bytes: Uint8Array): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const why = `no acknowledgement for ${LIMITS.uploadAckMsMax / 1000} s`;
    const fail = (): void =>
      reject(new DroverError('UPLOAD_INCOMPLETE', `publish chunk ${shortHash(hash)}: ${why}`));
    timer = setTimeout(fail, LIMITS.uploadAckMsMax);
  });
  const sent = wire.send(chunkTopic(hash), bytes, { retain: true, qos: 1 });
  try {
    await Promise.race([sent, late]);
  } finally {
    clearTimeout(timer);
    sent.catch(() => undefined); // when the deadline won, this promise has no other reader
  }
}

/**
 * Decides which requested chunks are published again now. A whole fleet may miss one chunk at once,
 * and the first answer reaches all robots, so the same chunk is published again only after a while.
 * This also bounds the work that a client can cause which requests every chunk.
 */
export class WantLedger {
  /** Oldest answer first. */
  readonly #answeredMs = new Map<Sha256Hex, MonoMs>();

  /** Returns the requested chunks to publish; they count as answered from now on. */
  take(wanted: readonly Sha256Hex[], now: MonoMs): Sha256Hex[] {
    for (const [hash, atMs] of this.#answeredMs) {
      if (now - atMs < LIMITS.wantAnswerMsMin) break;
      this.#answeredMs.delete(hash);
    }
    const due: Sha256Hex[] = [];
    for (const hash of wanted) {
      if (this.#answeredMs.has(hash)) continue;
      // The table is full: that many answers are already being sent.
      if (this.#answeredMs.size >= LIMITS.wantAnswersMax) break;
      this.#answeredMs.set(hash, now);
      due.push(hash);
    }
    return due;
  }
}
