/**
 * Reads a chunk file in four system calls on a plain descriptor: the objects that `readFile`
 * creates cost more than the read. The two calls that may wait for a disk run on the thread pool;
 * those on an open descriptor that is only read cannot wait and are made synchronously. The stamp
 * says whether the file is the one that was hashed before; it does not show what the medium itself
 * lost.
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
 * @param allocate returns a buffer of at least that many bytes
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
