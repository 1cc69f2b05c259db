/**
 * Applies a delta as a robot will, before it is signed. The result is compared with the target
 * piece by piece, so it takes no room beside the dictionary.
 */

import { open, rm, type FileHandle } from 'node:fs/promises';
import { DroverError } from '../../../shared/base/errors.ts';
import { unpackBrotli } from '../../../shared/io/brotli.ts';
import { zstdProgram } from '../../../shared/io/zstd.ts';
import { applyPatch, type Readable } from '../../../shared/transfer/patch-apply.ts';
import type { HashedBytes } from './unpack-tar.ts';

export interface PatchCheck {
  readonly zstd: string;
  readonly patchPath: string;
  readonly patchBytes: number;
  readonly base: { readonly path: string; readonly bytes: number };
  readonly target: { readonly path: string } & HashedBytes;
}

/** @throws DroverError DELTA_INVALID, DELTA_RESULT_WRONG, ZSTD_* */
export async function checkPatch(check: PatchCheck): Promise<void> {
  const { base, target, patchPath } = check;
  const dictionaryPath = `${patchPath}.check`;
  const patchFile = await open(patchPath, 'r');
  const baseFile = await open(base.path, 'r');
  const targetFile = await open(target.path, 'r');
  try {
    await applyPatch({
      patch: { bytes: check.patchBytes, ...readable(patchFile) },
      base: { bytes: base.bytes, ...readable(baseFile) },
      target: { ...readable(targetFile), write: (bytes, at) => assertSame(targetFile, bytes, at) },
      expected: { tarSha256: target.sha256, tarBytes: target.bytes },
      makeDictionary: async () => {
        const file = await open(dictionaryPath, 'w');
        return {
          write: async (bytes, at) => void (await file.write(bytes, 0, bytes.byteLength, at)),
          close: () => file.close(),
        };
      },
      dictionaryPath,
      program: zstdProgram(check.zstd),
      unpack: unpackBrotli,
      signal: new AbortController().signal,
    });
  } finally {
    await Promise.all([patchFile.close(), baseFile.close(), targetFile.close()]);
    await rm(dictionaryPath, { force: true });
  }
}

function readable(file: FileHandle): Readable {
  return {
    read: async (into, at) => (await file.read(into, 0, into.byteLength, at)).bytesRead,
  };
}

async function assertSame(target: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  const there = Buffer.allocUnsafe(bytes.byteLength);
  const { bytesRead } = await target.read(there, 0, there.byteLength, at);
  if (bytesRead === there.byteLength && there.equals(bytes)) return;
  throw new DroverError('DELTA_RESULT_WRONG', `check delta: it differs near byte ${at} of the tar`);
}
