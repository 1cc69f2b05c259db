/** A delta with the real zstd: it makes the tar that was asked for, or it is refused. */

import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { unpackBrotli } from '../../../shared/io/brotli.ts';
import { zstdProgram } from '../../../shared/io/zstd.ts';
import { applyPatch, readPatchPlan } from '../../../shared/transfer/patch-apply.ts';
import { parsePatchHead } from '../../../shared/transfer/patch-plan.ts';
import { patchBetween } from '../../helpers/delta.ts';
import type { Scope } from '../../helpers/scope.ts';
import { tarOf } from '../../helpers/tar.ts';
import { BrokenPromise, isTaken, type Door } from '../door.ts';
import { folderInMemory } from '../memory-folder.ts';

const REFUSALS = /^(?:DELTA_[A-Z_]+|ZSTD_FAILED)$/;

/** Bytes in memory as the file that the patcher reads and writes. */
class MemoryFile {
  bytes: Uint8Array;
  readonly #bytesMax: number;

  constructor(bytes: Uint8Array, bytesMax = bytes.byteLength) {
    this.bytes = bytes;
    this.#bytesMax = bytesMax;
  }

  async read(into: Uint8Array, atByte: number): Promise<number> {
    const got = this.bytes.subarray(atByte, atByte + into.byteLength);
    into.set(got);
    return got.byteLength;
  }

  async write(bytes: Uint8Array, atByte: number): Promise<void> {
    const end = atByte + bytes.byteLength;
    if (end > this.#bytesMax)
      throw new BrokenPromise(`it wrote ${end} bytes, more than was signed`);
    const grown = new Uint8Array(Math.max(end, this.bytes.byteLength));
    grown.set(this.bytes);
    grown.set(bytes, atByte);
    this.bytes = grown;
  }
}

export async function patchDoor(scope: Scope): Promise<Door> {
  const folder = await folderInMemory(scope);
  const dictionaryPath = join(folder, 'dictionary');
  const words = Array.from({ length: 400 }, (_, at) => `line ${at * 7919}\n`).join('');
  const base = await tarOf([{ name: 'a', body: words }]);
  const target = await tarOf([{ name: 'a', body: `${words.slice(900)}new words\n${words}` }]);
  const expected = { tarSha256: sha256Hex(target), tarBytes: target.byteLength };
  const program = zstdProgram('zstd');
  const signal = new AbortController().signal;
  const open = async (input: Uint8Array): Promise<void> => {
    isTaken(REFUSALS, () => parsePatchHead(input, input.byteLength));
    const file = new MemoryFile(input);
    const job = { read: file.read.bind(file), bytes: input.byteLength };
    await readPatchPlan(job);
    const made = new MemoryFile(new Uint8Array(), expected.tarBytes);
    const scratch = new MemoryFile(new Uint8Array(), 2 * expected.tarBytes);
    await applyPatch({
      ...{
        patch: job,
        target: made,
        expected,
        dictionaryPath,
        program,
        unpack: unpackBrotli,
        signal,
      },
      base: { bytes: base.byteLength, read: (into, at) => new MemoryFile(base).read(into, at) },
      makeDictionary: async () => ({
        write: (bytes, at) => scratch.write(bytes, at),
        close: () => writeFile(dictionaryPath, scratch.bytes),
      }),
    });
    if (sha256Hex(made.bytes) !== expected.tarSha256) throw new BrokenPromise('another tar');
  };
  return {
    seeds: [
      new Uint8Array(await patchBetween(base, target)),
      new Uint8Array(await patchBetween(base, target, undefined, 'add')),
      utf8('(\u00b5/\u00fd'),
    ],
    words: ['(\u00b5/\u00fd', '\u0050\u002a\u004d\u0018'],
    refusals: REFUSALS,
    batch: 8,
    open,
  };
}
