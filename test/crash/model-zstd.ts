/**
 * The real zstd for a disk that is only a model: it gets the dictionary as a real file of its own.
 * A crash test applies one delta thousands of times, so what it made of the same bytes is
 * remembered.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Disk } from '../../robot-client/install/disk-port.ts';
import type { PatchProgram } from '../../shared/base/ports.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { zstdProgram } from '../../shared/io/zstd.ts';

const DICTIONARY_BYTES_MAX = 16 * 1024 * 1024;

export class ModelZstd {
  readonly #made = new Map<string, Uint8Array>();

  on(disk: Disk): PatchProgram {
    return {
      unpack: async ({ dictionary, frame, take, signal }) => {
        const read = dictionary ? await disk.readFile(dictionary, DICTIONARY_BYTES_MAX) : null;
        const packed = await joined(frame);
        const key = `${read ? sha256Hex(read) : 'none'} ${sha256Hex(packed)}`;
        const made = this.#made.get(key) ?? (await unpack(read, packed));
        this.#made.set(key, made);
        signal.throwIfAborted();
        await take(made);
      },
    };
  }
}

async function unpack(dictionary: Uint8Array | null, packed: Uint8Array): Promise<Uint8Array> {
  const folder = await mkdtemp(join(tmpdir(), 'drover-crash-'));
  try {
    const path = join(folder, 'dictionary');
    if (dictionary) await writeFile(path, dictionary);
    const pieces: Uint8Array[] = [];
    await zstdProgram('zstd').unpack({
      dictionary: dictionary && path,
      frame: only(packed),
      take: async (piece) => void pieces.push(piece),
      signal: new AbortController().signal,
    });
    return new Uint8Array(Buffer.concat(pieces));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function joined(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return new Uint8Array(Buffer.concat(all));
}
