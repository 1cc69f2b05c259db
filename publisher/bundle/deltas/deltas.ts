/**
 * Makes the deltas of a bundle that is being built: one for each base, made by zstd, applied once
 * as a check, and left out when it would hardly be smaller than the payload.
 */

import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { formatBytes } from '../../../shared/base/byte-sizes.ts';
import { DELTAS_FOLDER, deltaPartName } from '../../../shared/formats/bundle-parts.ts';
import { syncFolder } from '../../../shared/io/atomic-file.ts';
import type { Output } from '../../../shared/io/cli.ts';
import type { ManifestFields } from '../../../shared/formats/manifest.ts';
import { isWorthwhile } from './plan-deltas.ts';
import { checkPatch } from './check-patch.ts';
import type { DeltaBase } from './delta-base.ts';
import { makePatch } from './make-patch.ts';
import { makeMeter } from '../progress-meter.ts';
import type { PackedPayload } from '../pack-payload.ts';
import { unpackTar, type HashedTar } from './unpack-tar.ts';

export interface DeltasJob {
  readonly zstd: string;
  readonly bases: readonly DeltaBase[];
  readonly payload: PackedPayload;
  readonly payloadPath: string;
  /** The bundle that is being built. */
  readonly bundleFolder: string;
  /** A folder with room for two tars; the caller removes it. */
  readonly scratch: string;
  readonly output: Output;
}

export type BuiltDelta = NonNullable<ManifestFields['deltas']>[number];

/** @throws DroverError of the bases, DELTA_INVALID, DELTA_RESULT_WRONG, ZSTD_* */
export async function makeDeltas(job: DeltasJob): Promise<BuiltDelta[]> {
  if (job.bases.length === 0) return [];
  const folder = join(job.bundleFolder, DELTAS_FOLDER);
  await mkdir(folder);
  const path = join(job.scratch, 'target.tar');
  const target = { path, ...(await unpackTar(job.payloadPath, path)) };
  const deltas: BuiltDelta[] = [];
  for (const base of job.bases) {
    const delta = await makeDelta(job, base, target);
    if (delta) deltas.push(delta);
  }
  if (deltas.length > 0) await syncFolder(folder);
  else await rm(folder, { recursive: true });
  return deltas;
}

/** Null when it would be of no use. */
async function makeDelta(
  job: DeltasJob,
  base: DeltaBase,
  target: { path: string } & HashedTar,
): Promise<BuiltDelta | null> {
  const { zstd, output, payload } = job;
  const basePath = join(job.scratch, 'base.tar');
  const out = join(job.bundleFolder, deltaPartName(base.version));
  try {
    const baseTar = await base.unpack(basePath);
    const workBytes = baseTar.bytes + 2 * target.bytes;
    const meter = makeMeter(output, `delta from ${base.version}`, workBytes);
    const made = await makePatch({
      zstd,
      basePath,
      targetPath: target.path,
      out,
      scratch: job.scratch,
      onBytes: meter.add,
    }).finally(meter.stop);
    if (!isWorthwhile(made.bytes, payload.bytes)) {
      const [got, want] = [formatBytes(made.bytes), formatBytes(payload.bytes)];
      output.say(`no delta from ${base.version}: it would save too little (${got} for ${want})`);
      await rm(out);
      return null;
    }
    const files = { patchPath: out, patchBytes: made.bytes };
    await checkPatch({ zstd, ...files, base: { path: basePath, bytes: baseTar.bytes }, target });
    return {
      from_version: base.version,
      from_tar_sha256: baseTar.sha256,
      sha256: made.sha256,
      size: made.bytes,
    };
  } finally {
    await rm(basePath, { force: true });
  }
}
