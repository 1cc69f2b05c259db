/**
 * Reads a payload.tar.gz, or the tar that a delta made, as a stream of entries: the whole payload
 * is never in memory. Its user decides what an entry may become; this file only decides whether the
 * bytes are a (gzip-compressed) tar at all.
 * Bytes behind the end mark of the tar are only checked by gzip's own checksum.
 */

import { createGunzip, type Gunzip } from 'node:zlib';
import { extract, type Extract } from 'tar-stream';
import type { ArchiveEntry } from '../../shared/formats/archive-entry.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { TarEnd } from './tar-end.ts';

export interface UntarOptions {
  /** `plain` for a tar that is not compressed. */
  readonly packing: 'gzip' | 'plain';
  /** Fills the buffer from that offset of the payload; returns how many bytes, 0 at the end. */
  readonly read: (into: Uint8Array, atByte: number) => Promise<number>;
  /** Told before each piece is used; throws to stop. */
  readonly onUnpacked: (unpackedBytes: number) => void;
  /** The next bytes of the tar itself, ahead of the entries that are found in them. */
  readonly onTar: (piece: Uint8Array) => void;
  /** Told after each piece of the payload. */
  readonly onPacked: (packedBytes: number) => void;
  /** Takes one entry whole before the next one is read; its body starts at `bodyAt` of the tar. */
  readonly onEntry: (
    entry: ArchiveEntry,
    body: AsyncIterable<Uint8Array>,
    bodyAt: number,
  ) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
}

/** The real headers of tar-stream: its published types have neither the nulls nor the offset. */
interface TarHeader {
  readonly name: string;
  readonly type: string | null;
  readonly linkname: string | null;
  readonly mode: number;
  readonly size: number;
  readonly mtime: Date | null;
  /** Offset of the body in the unpacked stream. */
  readonly byteOffset: number;
  readonly pax: Readonly<Record<string, string>> | null;
}
/** The highest time of an ext4 with 128-byte inodes and of XFS without bigtime. */
const TIME_S_MAX = 2 ** 31 - 1;

type TarBody = AsyncIterable<Uint8Array> & { resume(): unknown };

function corrupt(cause: unknown): DroverError {
  if (cause instanceof DroverError) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new DroverError('ARCHIVE_CORRUPT', `unpack payload: ${why}`, { cause });
}

/** @throws DroverError ARCHIVE_CORRUPT, whatever the callbacks throw, or the signal's reason */
export async function untar(options: UntarOptions): Promise<void> {
  await new Untar(options).run();
}

class Untar {
  readonly #options: UntarOptions;
  readonly #gunzip: Gunzip = createGunzip({ chunkSize: LIMITS.stageInflateBytes });
  readonly #tar: Extract = extract();
  readonly #end = new TarEnd();
  #failure: { readonly error: unknown } | null = null;
  #taking: Promise<void> = Promise.resolve();

  constructor(options: UntarOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { signal } = this.#options;
    const onAbort = () => this.#fail(signal?.reason);
    signal?.throwIfAborted();
    signal?.addEventListener('abort', onAbort);
    const closed = new Promise<void>((resolve) => this.#tar.on('close', () => resolve()));
    this.#tar.on('entry', (header, body, next) => {
      body.on('error', () => {}); // it repeats the reader's own error, which is handled below
      const read = header as unknown as TarHeader;
      this.#taking = this.#take(read, body as unknown as TarBody).then(
        () => next(),
        (error: unknown) => this.#fail(error),
      );
    });
    this.#tar.on('error', (error: Error) => {
      // Anything may follow the end mark: GNU tar does not read it either.
      if (!this.#end.isReached) this.#fail(corrupt(error));
    });
    const isPlain = this.#options.packing === 'plain';
    try {
      const fed = isPlain ? null : this.#feed();
      const taken = this.#takeTar(isPlain ? this.#pieces() : this.#gunzip);
      const parts = [fed, taken].map((part) =>
        part?.catch((error: unknown) => this.#fail(corrupt(error))),
      );
      await Promise.all([...parts, closed]);
      await this.#taking;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
    if (this.#failure) throw this.#failure.error;
    if (this.#end.isMarked) return;
    throw corrupt(new Error('the tar has no end mark: it was cut short'));
  }

  /** The first failure is the one that is thrown; the others follow from it. */
  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#gunzip.destroy();
    this.#tar.destroy(error instanceof Error ? error : new Error('stopped'));
  }

  async #feed(): Promise<void> {
    const buffer = Buffer.allocUnsafe(LIMITS.stageReadBytes);
    for (let atByte = 0; ;) {
      const bytes = await this.#options.read(buffer, atByte);
      if (bytes === 0) break;
      await this.#inflatePiece(buffer.subarray(0, bytes));
      atByte += bytes;
      this.#options.onPacked(atByte);
    }
    this.#gunzip.end();
  }

  /** Resolves when gunzip has used the piece up: only then may its buffer be filled again. */
  #inflatePiece(piece: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      // A stream that fails on a piece never calls back for it; it only closes.
      const onClose = () => reject(new Error('gunzip was stopped'));
      this.#gunzip.once('close', onClose);
      this.#gunzip.write(piece, (error) => {
        this.#gunzip.off('close', onClose);
        if (error) reject(error);
        else resolve();
      });
    });
  }

  /** The tar as it is on the disk; each piece is its own, since the reader keeps some. */
  async *#pieces(): AsyncGenerator<Buffer> {
    for (let atByte = 0; ;) {
      const buffer = Buffer.allocUnsafe(LIMITS.stageInflateBytes);
      const bytes = await this.#options.read(buffer, atByte);
      if (bytes === 0) return;
      atByte += bytes;
      yield buffer.subarray(0, bytes);
      this.#options.onPacked(atByte);
    }
  }

  async #takeTar(pieces: AsyncIterable<Buffer>): Promise<void> {
    let unpackedBytes = 0;
    for await (const piece of pieces) {
      unpackedBytes += piece.byteLength;
      this.#options.onUnpacked(unpackedBytes);
      this.#options.onTar(piece);
      this.#end.feed(piece);
      if (this.#tar.destroyed) continue; // garbage behind the end mark stopped the reader
      if (!this.#tar.write(piece)) await drained(this.#tar);
    }
    if (!this.#tar.destroyed) this.#tar.end(null);
  }

  async #take(header: TarHeader, body: TarBody): Promise<void> {
    if (!this.#end.isReached) {
      this.#end.entry(header.byteOffset, header.size);
      await this.#options.onEntry(entryOf(header), body, header.byteOffset);
    }
    body.resume();
  }
}

function entryOf(header: TarHeader): ArchiveEntry {
  const sparse = Object.keys(header.pax ?? {}).some((key) => key.startsWith('GNU.sparse.'));
  return {
    name: header.name,
    type: sparse ? 'sparse file' : (header.type ?? 'unknown type'),
    linkname: header.linkname,
    mode: header.mode,
    size: header.size,
    timeS: timeOf(header.mtime),
  };
}

/** Whole seconds; 0 for none and for what no file can have. */
function timeOf(time: Date | null): number {
  const seconds = Math.floor((time?.getTime() ?? 0) / 1000);
  return Number.isSafeInteger(seconds) && seconds > 0 && seconds <= TIME_S_MAX ? seconds : 0;
}

function drained(tar: Extract): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      tar.off('drain', done);
      tar.off('close', done);
      resolve();
    };
    tar.on('drain', done);
    tar.on('close', done);
  });
}
