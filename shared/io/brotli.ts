/** Unpacks Brotli (RFC 7932) with what Node itself has; windows above 16 MiB are refused by it. */

import { Readable } from 'node:stream';
import { createBrotliDecompress } from 'node:zlib';
import { DroverError } from '../base/errors.ts';

/** Unpacked bytes of a stream that wait for their user. */
const READY_BYTES = 64 * 1024;

/** An `Unpacker`. */
export async function* unpackBrotli(packed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const unpacker = createBrotliDecompress({ chunkSize: READY_BYTES });
  const input = Readable.from(packed, { objectMode: true, highWaterMark: 1 });
  // What ends the input ends the output: `for await` then throws it.
  input.once('error', (error) => unpacker.destroy(error));
  input.pipe(unpacker);
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
