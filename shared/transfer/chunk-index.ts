/**
 * The chunk index of an artifact: the raw 32-byte SHA-256 of each chunk in sequence. It is itself a
 * chunk at its own content address, so an announcement names a whole payload in 64 digits.
 * Sans-I/O.
 */

import { bytesToHex, hexToBytes } from '../crypto/bytes.ts';
import { DroverError } from '../base/errors.ts';
import type { Sha256Hex } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';

const HASH_BYTES = 32;

export interface ChunkIndex {
  readonly chunks: readonly Sha256Hex[];
  readonly chunkBytes: number;
  /** Bytes of the whole artifact. */
  readonly bytes: number;
}

/** [P-7.1] */
export function chunkCount(bytes: number, chunkBytes: number): number {
  return Math.ceil(bytes / chunkBytes);
}

/** Length of chunk `at`: all are full but the last. */
export function chunkLength(index: ChunkIndex, at: number): number {
  return Math.min(index.chunkBytes, index.bytes - at * index.chunkBytes);
}

export function encodeChunkIndex(chunks: readonly Sha256Hex[]): Uint8Array {
  const bytes = new Uint8Array(chunks.length * HASH_BYTES);
  chunks.forEach((hash, at) => {
    const raw = hexToBytes(hash);
    if (!raw) throw new TypeError('encodeChunkIndex: not a hash');
    bytes.set(raw, at * HASH_BYTES);
  });
  return bytes;
}

/** [P-7.3] @throws DroverError CHUNK_INDEX_INVALID when the length does not fit the artifact */
export function parseChunkIndex(
  bytes: Uint8Array,
  artifact: { size: number; chunk_size: number },
): ChunkIndex {
  const count = chunkCount(artifact.size, artifact.chunk_size);
  if (count > LIMITS.chunksMax || bytes.byteLength !== count * HASH_BYTES) {
    throw new DroverError(
      'CHUNK_INDEX_INVALID',
      `parse chunk index: wrong length (got ${bytes.byteLength} bytes, want ${count * HASH_BYTES})`,
    );
  }
  const chunks = Array.from(
    { length: count },
    (_, at) => bytesToHex(bytes.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES)) as Sha256Hex,
  );
  return { chunks, chunkBytes: artifact.chunk_size, bytes: artifact.size };
}
