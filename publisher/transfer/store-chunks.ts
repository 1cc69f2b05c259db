/**
 * Stores every piece of a payload at a broker and proves it: uploads what the journal does not know
 * as acknowledged, reads everything back, sends missing pieces again and reads those back.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { shortHash, type Sha256Hex } from '../../shared/base/ids.ts';
import { readBack } from '../../shared/io/read-back.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { BrokerLink } from './broker-link.ts';
import { PieceReader, type ChunkedPayload, type Piece } from '../bundle/payload.ts';
import type { UploadJournal } from './journal.ts';
import { uploadPieces } from './upload.ts';

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
