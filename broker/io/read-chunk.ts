/**
 * Reads a chunk file in four calls on a plain descriptor: the objects that `readFile` makes for one
 * cost more than the reading. The stamp says whether a file is the one that was hashed before; what
 * a medium changes without the file system's knowing it does not tell.
 */

import { close, fstat, open, read } from 'node:fs';
import { promisify } from 'node:util';

const opened = promisify(open);
const closed = promisify(close);

export interface ReadChunk {
  readonly bytes: Uint8Array;
  readonly stamp: string;
}

/** @param bytesMax of a longer file only so much is read, and one byte more */
export async function readChunk(path: string, bytesMax: number): Promise<ReadChunk> {
  const fd = await opened(path, 'r');
  try {
    const { size, mtimeMs, ctimeMs, ino } = await statOf(fd);
    const buffer = Buffer.allocUnsafeSlow(Math.min(size, bytesMax + 1));
    const bytes = buffer.subarray(0, await fill(fd, buffer));
    return { bytes, stamp: `${ino} ${size} ${mtimeMs} ${ctimeMs}` };
  } finally {
    await closed(fd);
  }
}

const statOf = promisify(fstat) as (fd: number) => Promise<{
  readonly size: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly ino: number;
}>;

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
