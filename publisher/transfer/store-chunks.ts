/**
 * Stores every piece of a payload at a broker and proves it: uploads what the journal does not know
 * as acknowledged, reads everything back, sends missing pieces again and reads those back. An
 * upload keeps a window of pieces unacknowledged, and continues after a lost link as long as there
 * is progress between losses. Memory is the window, whatever the payload.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { countOf } from '../../shared/base/printable.ts';
import { shortHash, type Sha256Hex } from '../../shared/base/ids.ts';
import { readBack } from '../../shared/io/read-back.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { chunkTopic } from '../../shared/formats/topics.ts';
import type { BrokerLink } from './broker-link.ts';
import { PieceReader, type ChunkedPayload, type Piece } from '../bundle/payload.ts';
import type { UploadJournal } from './journal.ts';

export interface StoreJob {
  readonly link: BrokerLink;
  readonly payload: ChunkedPayload;
  readonly journal: UploadJournal;
  readonly meter: (label: string, bytesTotal: number) => StoreMeter;
}

interface StoreMeter {
  add(bytes: number): void;
  stop(): void;
}

export interface StoredChunks {
  readonly pieces: number;
  /** Sent in this run, repeated ones included. */
  readonly sent: number;
  readonly sentBytes: number;
  /** Acknowledged before, missing when read back, and sent again. */
  readonly healed: number;
}

const WINDOWS_OF_PATIENCE = 4;

/** @throws DroverError UPLOAD_INCOMPLETE, BROKER_UNREACHABLE, and what the broker refused with */
export async function storeChunks(job: StoreJob): Promise<StoredChunks> {
  const reader = await PieceReader.open(job.payload);
  const store = new ChunkStoring(job, reader);
  try {
    return await store.run();
  } finally {
    await job.journal.flush();
    await reader.close();
  }
}

class ChunkStoring {
  readonly #job: StoreJob;
  readonly #reader: PieceReader;
  readonly #at: ReadonlyMap<Sha256Hex, number>;
  #sent = 0;
  #sentBytes = 0;
  #sendingMs = 0;

  constructor(job: StoreJob, reader: PieceReader) {
    this.#job = job;
    this.#reader = reader;
    this.#at = new Map(job.payload.pieces.map((piece, at) => [piece.hash, at]));
  }

  async run(): Promise<StoredChunks> {
    const { payload, journal } = this.#job;
    const { pieces } = payload;
    await this.#upload(
      'upload',
      pieces.filter((_, at) => !journal.has(at)),
    );
    const lost = await this.#readBack('read back', pieces);
    if (lost.length > 0) {
      await this.#upload('send again', lost);
      const stillLost = await this.#readBack('read again', lost);
      if (stillLost.length > 0) throw await this.#incomplete(stillLost);
    }
    return {
      pieces: pieces.length,
      sent: this.#sent,
      sentBytes: this.#sentBytes,
      healed: lost.length,
    };
  }

  async #upload(label: string, pieces: readonly Piece[]): Promise<void> {
    const { link, journal } = this.#job;
    const meter = this.#job.meter(label, sumBytes(pieces));
    const startedAtMs = Date.now();
    try {
      await uploadPieces({
        link,
        pieces,
        read: (piece) => this.#reader.read(piece),
        onAcknowledged: async (piece) => {
          this.#sent += 1;
          this.#sentBytes += piece.bytes;
          meter.add(piece.bytes);
          await journal.mark(this.#at.get(piece.hash) as number, true);
        },
      });
    } finally {
      meter.stop();
      this.#sendingMs += Date.now() - startedAtMs;
    }
  }

  async #readBack(label: string, pieces: readonly Piece[]): Promise<Piece[]> {
    const { link, payload, journal } = this.#job;
    const meter = this.#job.meter(label, sumBytes(pieces));
    let missing: Set<Sha256Hex>;
    try {
      const hashes = await readBack(link, {
        hashes: pieces.map((piece) => piece.hash),
        chunkBytes: payload.chunkBytes,
        patienceMs: this.#patienceMs(),
        onPresent: (_, bytes) => meter.add(bytes.byteLength),
      });
      missing = new Set(hashes);
    } finally {
      meter.stop();
    }
    const lost = pieces.filter((piece) => missing.has(piece.hash));
    for (const piece of lost) await journal.mark(this.#at.get(piece.hash) as number, false);
    return lost;
  }

  /** The time for a window of chunks at the speed of the upload, several times over. */
  #patienceMs(): number {
    if (this.#sent === 0) return LIMITS.readBackPatienceMsUnknown;
    const windowBytes = LIMITS.windowChunksMax * this.#job.payload.chunkBytes;
    const windowMs = (this.#sendingMs / this.#sentBytes) * windowBytes;
    return Math.max(LIMITS.readBackPatienceMsMin, windowMs * WINDOWS_OF_PATIENCE);
  }

  async #incomplete(lost: readonly Piece[]): Promise<DroverError> {
    await this.#job.journal.flush();
    const [first] = lost;
    return new DroverError(
      'UPLOAD_INCOMPLETE',
      `store chunks: acknowledged but not there when read back: ${lost.length} of ${this.#job.payload.pieces.length}, the first is ${shortHash(first?.hash ?? '')}`,
      {
        facts: { missing: lost.length },
        hint: 'check that this user may write and read fleet-chunks/#, that the broker retains messages, and its limits on size and number; then run the same publish again',
      },
    );
  }
}

function sumBytes(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, piece) => sum + piece.bytes, 0);
}

interface UploadJob {
  readonly link: BrokerLink;
  readonly pieces: readonly Piece[];
  readonly read: (piece: Piece) => Promise<Uint8Array>;
  /** Called at the PUBACK of each piece. */
  readonly onAcknowledged: (piece: Piece) => Promise<void>;
}

/**
 * Resolves when every piece is acknowledged.
 * @throws DroverError UPLOAD_INCOMPLETE, or the broker's refusal (STORE_FULL, ACCESS_DENIED,
 *   CHUNK_TOO_LARGE, …)
 */
async function uploadPieces(job: UploadJob): Promise<void> {
  const queue = [...job.pieces];
  let failures = 0;
  while (queue.length > 0) {
    const before = queue.length;
    const cut = await sendUntilCut(job, queue);
    if (cut === null) continue;
    failures = queue.length < before ? 1 : failures + 1;
    if (failures < LIMITS.uploadAttemptsMax) continue;
    throw new DroverError(
      'UPLOAD_INCOMPLETE',
      `upload: the link broke ${countOf(failures, 'time')} without progress, ${countOf(queue.length, 'chunk is', 'chunks are')} left: ${cut.message}`,
      { cause: cut, facts: { left: queue.length } },
    );
  }
}

/**
 * Takes pieces off the queue and puts unacknowledged ones back.
 * @returns why it ended early, or null when the queue is empty
 */
async function sendUntilCut(job: UploadJob, queue: Piece[]): Promise<DroverError | null> {
  let cut: DroverError | null = null;
  let isOver = false;
  let giveUp: (error: unknown) => void = () => undefined;
  const refused = new Promise<never>((_, reject) => {
    giveUp = reject;
  });
  const worker = async (): Promise<void> => {
    while (cut === null && !isOver) {
      const piece = queue.shift();
      if (piece === undefined) return;
      try {
        const bytes = await job.read(piece);
        await withinMs(
          LIMITS.uploadAckMsMax,
          job.link.wire.send(chunkTopic(piece.hash), bytes, { retain: true, qos: 1 }),
          piece,
        );
      } catch (error) {
        queue.unshift(piece);
        if (error instanceof DroverError && error.code === 'BROKER_UNREACHABLE') {
          cut = error;
          return;
        }
        isOver = true;
        giveUp(error);
        return;
      }
      await job.onAcknowledged(piece);
    }
  };
  try {
    await job.link.waitUp();
  } catch (error) {
    if (error instanceof DroverError && error.code === 'BROKER_UNREACHABLE') return error;
    throw error;
  }
  const window = Math.min(LIMITS.uploadWindow, queue.length);
  // A refusal ends the upload at once: its neighbours may wait for ever for their PUBACK.
  await Promise.race([Promise.all(Array.from({ length: window }, worker)), refused]);
  return cut;
}

async function withinMs(ms: number, sent: Promise<void>, piece: Piece): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(
        new DroverError(
          'UPLOAD_INCOMPLETE',
          `upload chunk ${shortHash(piece.hash)}: no acknowledgement for ${ms / 1000} s`,
        ),
      );
    }, ms);
  });
  try {
    await Promise.race([sent, late]);
  } finally {
    clearTimeout(timer);
    sent.catch(() => undefined); // when the deadline won, this promise has no other reader
  }
}
