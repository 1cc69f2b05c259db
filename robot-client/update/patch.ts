/**
 * Applies a delta on a robot: from the tar of an installed release and the patch that was
 * downloaded to the tar of the new one; or from the image of a slot to that of the other. The patch
 * is what the release key signed before any of it is used, and the tar is what it signed, whole and
 * synced, or it is removed again.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { unpackBrotli } from '../../shared/io/brotli.ts';
import { Sha256Stream } from '../../shared/crypto/hash.ts';
import { applyPatch, type PatchInput } from '../../shared/transfer/patch-apply.ts';
import { dictionaryFile, patchFile, tarFile } from '../install/layout.ts';
import type { Disk, DiskFile } from '../install/disk-port.ts';
import type { DeltaOffer } from './job-parts.ts';

const READ_BYTES = 256 * 1024;

export interface PatchRun extends Pick<PatchInput, 'base' | 'program' | 'signal'> {
  readonly disk: Disk;
  /** Staging folder of the job: the patch is in it, the tar will be. */
  readonly folder: string;
  readonly delta: DeltaOffer;
}

/**
 * Resolves when the tar is whole, hashed and synced.
 * @throws DroverError as `patchInto`, DISK_FULL, DISK_WRITE_FAILED
 */
export async function patchTar(run: PatchRun): Promise<void> {
  const { disk, folder, delta, signal } = run;
  try {
    await checkPatchFile({ disk, folder, delta, signal });
    const tar = await disk.open(tarFile(folder), 'create', 0o600);
    try {
      await patchInto(run, tar);
      await tar.sync();
    } finally {
      await tar.close();
    }
    await disk.syncFolder(folder);
  } catch (error) {
    await disk.unlink(tarFile(folder));
    throw error;
  }
}

/** @throws DroverError DELTA_INVALID when the patch on the disk is not the signed one */
export async function checkPatchFile(
  on: Pick<PatchRun, 'disk' | 'folder' | 'delta' | 'signal'>,
): Promise<void> {
  const patch = await on.disk.open(patchFile(on.folder, on.delta.sha256), 'read');
  try {
    await assertPatchIs(patch, on.delta, on.signal);
  } finally {
    await patch.close();
  }
}

/**
 * Applies a patch whose file was checked. Resolves when the target has every byte, and they are the
 * signed ones.
 * @throws DroverError DELTA_INVALID, DELTA_RESULT_WRONG, DELTA_BASE_CHANGED, DELTA_BASE_UNUSABLE,
 *   ZSTD_MISSING, ZSTD_FAILED, ZSTD_TIMED_OUT, what the target throws, or the signal's reason
 */
export async function patchInto(run: PatchRun, target: PatchInput['target']): Promise<void> {
  const { disk, folder, delta, base, program, signal } = run;
  const dictionaryPath = dictionaryFile(folder);
  const patch = await disk.open(patchFile(folder, delta.sha256), 'read');
  try {
    await applyPatch({
      patch: { bytes: delta.bytes, read: (into, at) => patch.read(into, at) },
      base,
      target,
      expected: delta,
      // A temporary file, created again for each segment: it is never synced.
      makeDictionary: () => disk.open(dictionaryPath, 'create', 0o600),
      dictionaryPath,
      program,
      unpack: unpackBrotli,
      signal,
    });
  } finally {
    await patch.close();
    await disk.unlink(dictionaryPath);
  }
}

async function assertPatchIs(
  patch: DiskFile,
  delta: DeltaOffer,
  signal: AbortSignal,
): Promise<void> {
  const invalid = (why: string) => new DroverError('DELTA_INVALID', `check delta: ${why}`);
  const size = await patch.size();
  if (size !== delta.bytes) throw invalid(`wrong size (got ${size}, want ${delta.bytes} bytes)`);
  const hash = new Sha256Stream();
  const buffer = new Uint8Array(READ_BYTES);
  while (hash.bytes < size) {
    signal.throwIfAborted();
    const got = await patch.read(buffer, hash.bytes);
    if (got === 0) break;
    hash.update(buffer.subarray(0, got));
  }
  const got = hash.digestHex();
  if (got === delta.sha256) return;
  throw invalid(`hash differs (got ${got.slice(0, 12)}, want ${delta.sha256.slice(0, 12)})`);
}
