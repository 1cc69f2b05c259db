/**
 * Reads a chunk file in four calls on a plain descriptor: the objects that `readFile` makes for one
 * cost more than the reading. The two that may wait for a disk go to the pool of threads; those on
 * a descriptor that is open and only read cannot, and are made at once. The stamp says whether a
 * file is the one that was hashed before; what a medium changes unseen it does not tell.
 */

import { closeSync, fstatSync, open, read } from 'node:fs';
import { promisify } from 'node:util';
import { LIMITS } from '../../shared/base/limits.ts';

const opened = promisify(open);

export interface ReadChunk {
  readonly bytes: Uint8Array;
  readonly stamp: string;
}

/**
 * @param allocate memory of at least that many bytes
 * @returns null for a file that is empty or longer than any chunk
 */
export async function readChunk(
  path: string,
  allocate: (bytes: number) => Buffer,
): Promise<ReadChunk | null> {
  const fd = await opened(path, 'r');
  try {
    const { size, mtimeMs, ctimeMs, ino } = fstatSync(fd);
    if (size === 0 || size > LIMITS.chunkBytesMax) return null;
    const buffer = allocate(size).subarray(0, size);
    const bytes = buffer.subarray(0, await fill(fd, buffer));
    return { bytes, stamp: `${ino} ${size} ${mtimeMs} ${ctimeMs}` };
  } finally {
    closeSync(fd);
  }
}

function readAt(fd: number, buffer: Buffer, at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, buffer, at, buffer.byteLength - at, at, (error, bytesRead) =>
      error ? reject(error) : resolve(bytesRead),
    );
  });
}

async function fill(fd: number, buffer: Buffer): Promise<number> {
  let done = 0;
  while (done < buffer.byteLength) {
    const got = await readAt(fd, buffer, done);
    if (got === 0) break;
    done += got;
  }
  return done;
}
