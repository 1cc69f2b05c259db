/**
 * Reads a bundle's payload as a stream: its hash, its chunks, and later any chunk again by its
 * offset. The payload is never held in memory. It may change on the disk: a chunk that is read
 * again is hashed again.
 */

import { createReadStream } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { chunkCount, encodeChunkIndex } from '../../shared/transfer/chunk-index.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { Sha256Stream, sha256Hex } from '../../shared/crypto/hash.ts';
import { shortHash, type Sha256Hex } from '../../shared/base/ids.ts';
import type { Bundle } from '../../shared/io/bundle-folder.ts';
import { LIMITS } from '../../shared/base/limits.ts';

/** One message to publish: a chunk of the payload, or the chunk index. */
export interface Piece {
  readonly hash: Sha256Hex;
  readonly bytes: number;
  /** Offset in the payload in bytes; null for the index. */
  readonly offset: number | null;
}

export interface ChunkedPayload {
  readonly path: string;
  readonly sha256: Sha256Hex;
  readonly bytes: number;
  readonly chunkBytes: number;
  readonly index: Uint8Array;
  readonly indexHash: Sha256Hex;
  readonly chunks: number;
  /** Each distinct chunk once, in order, and the index last. */
  readonly pieces: readonly Piece[];
}

/**
 * The hash of the payload on the disk.
 * @throws DroverError PAYLOAD_HASH_MISMATCH, PAYLOAD_SIZE_MISMATCH, FILE_UNREADABLE
 */
export async function hashPayload(bundle: Bundle): Promise<Sha256Hex> {
  const hash = new Sha256Stream();
  for await (const piece of readPieces(bundle.payloadPath, LIMITS.chunkBytesDefault)) {
    hash.update(piece);
  }
  const sha256 = hash.digestHex();
  assertPayloadIs(bundle, { sha256, bytes: hash.bytes });
  return sha256;
}

/** @throws DroverError PAYLOAD_HASH_MISMATCH, PAYLOAD_SIZE_MISMATCH */
export function assertPayloadIs(
  { manifest }: Bundle,
  got: { sha256: Sha256Hex; bytes: number },
): void {
  const { version, payload_size: size } = manifest;
  if (size !== undefined && size !== got.bytes) {
    throw new DroverError(
      'PAYLOAD_SIZE_MISMATCH',
      `check payload of ${version}: size differs (got ${got.bytes} bytes, want ${size})`,
    );
  }
  if (got.sha256 === manifest.payload_sha256) return;
  throw new DroverError(
    'PAYLOAD_HASH_MISMATCH',
    `check payload of ${version}: hash differs (got ${shortHash(got.sha256)}, want ${shortHash(manifest.payload_sha256)})`,
  );
}

/**
 * Hashes the payload and each chunk of it in one pass.
 * @throws DroverError PAYLOAD_TOO_LARGE when there would be too many chunks, FILE_UNREADABLE
 */
export async function chunkPayload(bundle: Bundle, chunkBytes: number): Promise<ChunkedPayload> {
  return await chunkFile(bundle.payloadPath, bundle.payloadBytes, chunkBytes);
}

/** The same for a delta. @throws DroverError PAYLOAD_TOO_LARGE, FILE_UNREADABLE */
export async function chunkFile(
  path: string,
  bytes: number,
  chunkBytes: number,
): Promise<ChunkedPayload> {
  assertChunkCount(bytes, chunkBytes);
  const whole = new Sha256Stream();
  const hashes: Sha256Hex[] = [];
  const pieces = new Map<Sha256Hex, Piece>();
  for await (const chunk of readPieces(path, chunkBytes)) {
    const hash = sha256Hex(chunk);
    const piece = { hash, bytes: chunk.byteLength, offset: whole.bytes };
    if (!pieces.has(hash)) pieces.set(hash, piece);
    hashes.push(hash);
    whole.update(chunk);
    assertChunkCount(whole.bytes, chunkBytes);
  }
  const index = encodeChunkIndex(hashes);
  const indexHash = sha256Hex(index);
  pieces.set(indexHash, { hash: indexHash, bytes: index.byteLength, offset: null });
  return {
    path,
    sha256: whole.digestHex(),
    bytes: whole.bytes,
    chunkBytes,
    index,
    indexHash,
    chunks: hashes.length,
    pieces: [...pieces.values()],
  };
}

function assertChunkCount(bytes: number, chunkBytes: number): void {
  const count = chunkCount(bytes, chunkBytes);
  if (count <= LIMITS.chunksMax) return;
  throw new DroverError(
    'PAYLOAD_TOO_LARGE',
    `chunk payload: too many chunks of ${chunkBytes} bytes (got ${count}, want at most ${LIMITS.chunksMax})`,
  );
}

/** Pieces of exactly `pieceBytes`, the last one shorter; each is valid until the next is asked for. */
async function* readPieces(path: string, pieceBytes: number): AsyncGenerator<Uint8Array> {
  const piece = Buffer.allocUnsafe(pieceBytes);
  let filled = 0;
  try {
    for await (const read of createReadStream(path) as AsyncIterable<Buffer>) {
      for (let at = 0; at < read.byteLength;) {
        const step = Math.min(pieceBytes - filled, read.byteLength - at);
        piece.set(read.subarray(at, at + step), filled);
        filled += step;
        at += step;
        if (filled < pieceBytes) continue;
        yield piece;
        filled = 0;
      }
    }
  } catch (cause) {
    throw unreadable(path, cause);
  }
  if (filled > 0) yield piece.subarray(0, filled);
}

function unreadable(path: string, cause: unknown): DroverError {
  if (cause instanceof DroverError) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new DroverError('FILE_UNREADABLE', `read payload ${path}: ${why}`, { cause });
}

/** Reads pieces of a payload again, by their offset. */
export class PieceReader {
  readonly #payload: ChunkedPayload;
  readonly #handle: FileHandle;

  private constructor(payload: ChunkedPayload, handle: FileHandle) {
    this.#payload = payload;
    this.#handle = handle;
  }

  static async open(payload: ChunkedPayload): Promise<PieceReader> {
    return new PieceReader(payload, await open(payload.path, 'r'));
  }

  /** @throws DroverError PAYLOAD_HASH_MISMATCH when the file has changed */
  async read(piece: Piece): Promise<Uint8Array> {
    if (piece.offset === null) return this.#payload.index;
    const bytes = new Uint8Array(piece.bytes);
    const { bytesRead } = await this.#handle.read(bytes, 0, piece.bytes, piece.offset);
    if (bytesRead === piece.bytes && sha256Hex(bytes) === piece.hash) return bytes;
    throw new DroverError(
      'PAYLOAD_HASH_MISMATCH',
      `read payload ${this.#payload.path}: it changed while it was published (at byte ${piece.offset})`,
    );
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
