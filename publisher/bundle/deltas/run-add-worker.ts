/** Encodes one segment on a thread of its own, whose memory is known before it starts. */

import { freemem } from 'node:os';
import { Worker } from 'node:worker_threads';
import { formatBytes } from '../../../shared/base/byte-sizes.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import type { AddWork } from './add-worker.ts';

/** The dictionary and its sorted suffixes of four bytes each, the fresh bytes and the streams. */
const memoryBytesOf = ({ dictionary, fresh }: AddWork): number =>
  dictionary.byteLength * 5 + fresh.byteLength * 2 + LIMITS.deltaAddSpareBytes;

function assertMemory(work: AddWork): void {
  const want = memoryBytesOf(work);
  const free = freemem();
  if (free >= want) return;
  throw short(`got ${formatBytes(free)} free, want ${formatBytes(want)}`);
}

/**
 * The work is the thread's afterwards. The thread lies beside this file, also in bundles.
 * @throws DroverError DELTA_MEMORY_SHORT
 */
export async function encodeOnThread(work: AddWork): Promise<Uint8Array> {
  assertMemory(work);
  const worker = new Worker(new URL('add-worker.js', import.meta.url), {
    workerData: work,
    transferList: [work.dictionary.buffer as ArrayBuffer, work.fresh.buffer as ArrayBuffer],
    execArgv: [],
  });
  return await new Promise<Uint8Array>((resolve, reject) => {
    worker.once('message', resolve);
    worker.on('error', (error: NodeJS.ErrnoException) => {
      const isMemory = error instanceof RangeError || error.code === 'ERR_WORKER_OUT_OF_MEMORY';
      reject(isMemory ? short(error.message) : error);
    });
    worker.once('exit', (code) => reject(new Error(`the thread ended with ${code}`)));
  });
}

function short(why: string): DroverError {
  return new DroverError('DELTA_MEMORY_SHORT', `make delta: not enough memory (${why})`);
}
