/**
 * Makes the deltas of a bundle that is being built: for each base one by zstd and one that a robot
 * without zstd can read. Each is applied once as a check, and left out when it would hardly be
 * smaller than the payload.
 */

import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { formatBytes } from '../../../shared/base/byte-sizes.ts';
import { DELTAS_FOLDER, deltaPartName } from '../../../shared/formats/bundle-parts.ts';
import { syncFolder } from '../../../shared/io/atomic-file.ts';
import type { Output } from '../../../shared/io/cli.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import type { PatchCoding } from '../../../shared/transfer/patch-plan.ts';
import { isWorthwhile, keptDeltas } from './plan-deltas.ts';
import { DELTA_WORDS, type Delta } from './delta-parts.ts';
import { checkPatch } from './check-patch.ts';
import type { DeltaBase } from './delta-base.ts';
import { makePatch } from './make-patch.ts';
import { makeMeter } from '../progress-meter.ts';
import type { PackedPayload } from '../pack-payload.ts';
import { unpackTar, type HashedBytes } from './unpack-tar.ts';

export interface DeltasJob {
  readonly zstd: string;
  readonly bases: readonly DeltaBase[];
  readonly payload: PackedPayload;
  readonly payloadPath: string;
  /** The system image that was packed, in its own file; null for a folder. */
  readonly image: Target | null;
  /** The bundle that is being built. */
  readonly bundleFolder: string;
  /** A folder with room for two tars, or for one image; the caller removes it. */
  readonly scratch: string;
  readonly output: Output;
}

export type BuiltDelta = Delta;

/** A tar or an image. */
interface Target extends HashedBytes {
  readonly path: string;
}

/** @throws DroverError of the bases, DELTA_INVALID, DELTA_RESULT_WRONG, ZSTD_* */
export async function makeDeltas(job: DeltasJob): Promise<BuiltDelta[]> {
  if (job.bases.length === 0) return [];
  const folder = join(job.bundleFolder, DELTAS_FOLDER);
  await mkdir(folder);
  const path = join(job.scratch, 'target.tar');
  const target = job.image ?? { path, ...(await unpackTar(job.payloadPath, path)) };
  const made: BuiltDelta[] = [];
  for (const base of job.bases) made.push(...(await deltasFrom(job, base, target)));
  const deltas = keptDeltas(made);
  for (const one of made) {
    if (!deltas.includes(one)) await rm(join(job.bundleFolder, deltaPartName(one)));
  }
  if (deltas.length > 0) await syncFolder(folder);
  else await rm(folder, { recursive: true });
  return deltas;
}

/** One for robots with zstd and one for all robots, without those that save too little. */
async function deltasFrom(job: DeltasJob, base: DeltaBase, target: Target): Promise<BuiltDelta[]> {
  const path = join(job.scratch, 'base');
  try {
    const baseTar = { path, ...(await base.unpack(path)) };
    const made: BuiltDelta[] = [];
    for (const coding of ['zstd', 'add'] as const) {
      const delta = await orTooLittleMemory(job, makeDelta(job, { base, baseTar, target, coding }));
      if (delta) made.push(delta);
    }
    return made;
  } finally {
    await rm(path, { force: true });
  }
}

async function orTooLittleMemory(
  { output }: DeltasJob,
  making: Promise<BuiltDelta | null>,
): Promise<BuiltDelta | null> {
  try {
    return await making;
  } catch (error) {
    if (!(error instanceof DroverError) || error.code !== 'DELTA_MEMORY_SHORT') throw error;
    output.say(`no delta for robots without zstd: ${error.message}`);
    return null;
  }
}

interface DeltaJob {
  readonly base: DeltaBase;
  readonly baseTar: Target;
  readonly target: Target;
  readonly coding: PatchCoding;
}

/** Null when it would hardly be smaller than the payload. */
async function makeDelta(
  job: DeltasJob,
  { base, baseTar, target, coding }: DeltaJob,
): Promise<BuiltDelta | null> {
  const { zstd, output, payload, scratch } = job;
  const named = { from_version: base.version, coding };
  const out = join(job.bundleFolder, deltaPartName(named));
  const workBytes = baseTar.bytes + 2 * target.bytes;
  const meter = makeMeter(output, `delta from ${base.version} ${DELTA_WORDS[coding]}`, workBytes);
  const paths = { basePath: baseTar.path, targetPath: target.path, out, scratch };
  try {
    const made = await makePatch({ coding, zstd, ...paths, onBytes: meter.add }).finally(
      meter.stop,
    );
    if (isWorthwhile(made.bytes, payload.bytes)) {
      const files = { patchPath: out, patchBytes: made.bytes };
      await checkPatch({ zstd, ...files, base: baseTar, target });
      const { sha256, bytes: size } = made;
      return { ...named, from_tar_sha256: baseTar.sha256, sha256, size };
    }
    const [got, want] = [formatBytes(made.bytes), formatBytes(payload.bytes)];
    output.say(
      `no delta from ${base.version} ${DELTA_WORDS[coding]}: too large (${got} for ${want})`,
    );
    await rm(out);
    return null;
  } catch (error) {
    await rm(out, { force: true });
    throw error;
  }
}
