/**
 * Remembers which pieces of a bundle a broker has acknowledged, so that an upload that was cut or
 * killed continues. It is only a hint: the read-back decides what is stored. So a damaged journal
 * counts as empty, and one that cannot be written costs time, not correctness.
 */

import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { bytesToHex, hexToBytes } from '../../shared/crypto/bytes.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import type { Bundle } from '../../shared/io/bundle-folder.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { SerialQueue } from '../../shared/base/serial-queue.ts';
import { parseDocument, sha256Schema } from '../../shared/formats/schema.ts';

export const JOURNAL_FILE = '.drover-upload.json';

const uploadSchema = z.object({
  broker: z.string().max(1_000),
  /** Names payload and chunk size at once. */
  chunk_index: sha256Schema,
  /** One bit for each distinct piece in order, least significant first. */
  acknowledged: z
    .string()
    .regex(/^(?:[0-9a-f]{2})*$/)
    .max(LIMITS.chunksMax),
});
const journalSchema = z.object({
  uploads: z.array(uploadSchema).max(LIMITS.journalUploadsMax),
});
type Upload = z.output<typeof uploadSchema>;

const KIND = {
  what: 'upload journal',
  schema: journalSchema,
  bytesMax: LIMITS.chunksMax * LIMITS.journalUploadsMax,
  code: 'JSON_INVALID',
} as const;

export interface JournalKey {
  readonly broker: string;
  readonly chunkIndex: Sha256Hex;
  readonly pieces: number;
}

export class UploadJournal {
  readonly #path: string;
  readonly #key: JournalKey;
  readonly #log: Log;
  readonly #bits: Uint8Array;
  #changes = 0;
  readonly #writing = new SerialQueue();
  #broken = false;

  constructor(path: string, key: JournalKey, log: Log) {
    this.#path = path;
    this.#key = key;
    this.#log = log;
    this.#bits = new Uint8Array(Math.ceil(key.pieces / 8));
    const mine = readUploads(path).find((upload) => this.#isMine(upload));
    const bits = mine ? hexToBytes(mine.acknowledged) : null;
    if (bits?.byteLength === this.#bits.byteLength) this.#bits.set(bits);
  }

  #isMine(upload: Upload): boolean {
    return upload.broker === this.#key.broker && upload.chunk_index === this.#key.chunkIndex;
  }

  has(at: number): boolean {
    return ((this.#bits[at >> 3] ?? 0) & (1 << (at & 7))) !== 0;
  }

  /** Records a piece as acknowledged or lost; written at intervals, and by `flush`. */
  async mark(at: number, acknowledged: boolean): Promise<void> {
    const bit = 1 << (at & 7);
    const byte = this.#bits[at >> 3] ?? 0;
    this.#bits[at >> 3] = acknowledged ? byte | bit : byte & ~bit;
    this.#changes += 1;
    if (this.#changes >= LIMITS.journalEveryChunks) await this.flush();
  }

  /** Never throws. Calls run one after another. */
  async flush(): Promise<void> {
    await this.#writing.run(() => this.#write());
  }

  async #write(): Promise<void> {
    if (this.#broken || this.#changes === 0) return;
    this.#changes = 0;
    const { broker, chunkIndex } = this.#key;
    const mine = { broker, chunk_index: chunkIndex, acknowledged: bytesToHex(this.#bits) };
    const others = readUploads(this.#path).filter((upload) => !this.#isMine(upload));
    const uploads = [mine, ...others].slice(0, LIMITS.journalUploadsMax);
    try {
      await writeFileAtomic(this.#path, `${JSON.stringify({ uploads })}\n`);
    } catch (cause) {
      this.#broken = true;
      const reason = cause instanceof Error ? cause.message : String(cause);
      this.#log.warn({ path: this.#path, reason }, 'no upload journal: a cut upload starts over');
    }
  }
}

function readUploads(path: string): Upload[] {
  try {
    return parseDocument(KIND, readFileSync(path)).uploads;
  } catch {
    return []; // absent or damaged: nothing is known, and that is always safe
  }
}

/** Beside the parts in a folder, or beside a `.drover` file. */
export function journalPathOf(path: string, { folder }: Pick<Bundle, 'folder'>): string {
  if (folder === path) return join(path, JOURNAL_FILE);
  return join(dirname(path), `.${basename(path)}${JOURNAL_FILE}`);
}
