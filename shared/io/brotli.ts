/**
 * Packs and unpacks Brotli (RFC 7932) with what Node itself has. It refuses windows above 16 MiB,
 * which only another format has.
 */

import { pipeline, Readable } from 'node:stream';
import { brotliCompressSync, constants, createBrotliDecompress } from 'node:zlib';
import { DroverError } from '../base/errors.ts';

/** Unpacked bytes of a stream that wait for their user. */
const READY_BYTES = 64 * 1024;

/** An `Unpacker`. */
export async function* unpackBrotli(packed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const unpacker = createBrotliDecompress({ chunkSize: READY_BYTES });
  const input = Readable.from(packed, { objectMode: true, highWaterMark: 1 });
  // An error of either ends both, and the loop below throws it.
  pipeline(input, unpacker, () => undefined);
  try {
    for await (const piece of unpacker as AsyncIterable<Uint8Array>) yield piece;
    if (!input.readableEnded) throw damaged('bytes behind its end');
  } catch (error) {
    throw isOfBrotli(error) ? damaged((error as Error).message, error) : error;
  } finally {
    unpacker.destroy();
    input.destroy();
  }
}

function isOfBrotli(error: unknown): boolean {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return code !== undefined && /^(?:ERR_+BROTLI|ERR__ERROR|ERR_|Z_BUF_ERROR)/.test(code);
}

function damaged(why: string, cause?: unknown): DroverError {
  return new DroverError('DELTA_INVALID', `unpack delta: ${why}`, { cause });
}

/** The smallest result, in the longest time. */
export const BROTLI_BEST = constants.BROTLI_MAX_QUALITY;

/** Keeps the thread busy. @returns nothing for nothing */
export function packBrotli(
  bytes: Uint8Array,
  { quality, windowBits }: { quality: number; windowBits: number },
): Uint8Array {
  if (bytes.byteLength === 0) return bytes;
  return brotliCompressSync(bytes, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: quality,
      [constants.BROTLI_PARAM_LGWIN]: windowBits,
      [constants.BROTLI_PARAM_SIZE_HINT]: bytes.byteLength,
    },
  });
}
