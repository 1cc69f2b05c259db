/**
 * Chooses how a payload comes: by the cheapest route whose base is really there, whole and
 * unchanged, and for which there is room. It runs before anything is downloaded.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { SLOT_IMAGE } from '../../shared/formats/apply-strategy.ts';
import type { Readable } from '../../shared/transfer/patch-apply.ts';
import { rankRoutes } from './delta.ts';
import {
  keptFolder,
  patchFile,
  payloadFile,
  recipeFile,
  releaseFolder,
  stagingFolder,
} from '../install/layout.ts';
import type { Disk } from '../install/disk-port.ts';
import type { DeltaOffer } from './job-parts.ts';
import type { Job } from './state.ts';
import { BaseTar } from '../install/base-tar.ts';
import type { ModuleContext } from './module-strategy.ts';
import { openSlotBase } from './slot-delta.ts';
import { systemOf } from './slot-strategy.ts';
import { assertRoom } from './room.ts';

export type Choice =
  | { readonly kind: 'route'; readonly delta: DeltaOffer | null }
  /** The supposed base is damaged: only the full payload is worth trying. */
  | { readonly kind: 'deltaFailed'; readonly problem: Problem };

export interface RouteInput extends ModuleContext {
  readonly job: Job;
  readonly signal: AbortSignal;
}

/** The bytes that a delta is applied to. */
interface DeltaBase extends Readable {
  readonly bytes: number;
  /**
   * @throws DroverError DELTA_BASE_CHANGED, DELTA_BASE_OTHER, DELTA_BASE_UNUSABLE, or the signal's
   *   reason
   */
  assertIs(sha256: Sha256Hex, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/**
 * @throws DroverError DISK_SPACE_SHORT when not even the full payload has room, DISK_WRITE_FAILED
 */
export async function chooseRoute(input: RouteInput): Promise<Choice> {
  const { disk, layout, job } = input;
  const folder = stagingFolder(layout, job.payloadSha256);
  const full = await bytesThere(disk, payloadFile(folder));
  const deltas = new Map<string, number>();
  for (const { sha256 } of job.offers) {
    deltas.set(sha256, await bytesThere(disk, patchFile(folder, sha256)));
  }
  const bases = new Map<string, Problem | 'absent' | null>();
  let failure: Problem | null = null;
  for (const { delta } of rankRoutes(job, { full, deltas })) {
    if (delta === null && failure) return { kind: 'deltaFailed', problem: failure };
    const short = await whyNoRoom({ ...input, job: { ...job, delta } });
    // A robot that could have had a small download of a large image says why it has not.
    if (short !== null && job.strategy === SLOT_IMAGE) failure ??= short;
    if (short !== null) continue;
    if (delta === null) return { kind: 'route', delta };
    // Two deltas may have one base, which may take long to read.
    const known = bases.get(delta.fromTarSha256);
    const problem = known === undefined ? await whyNoBase(input, delta) : known;
    bases.set(delta.fromTarSha256, problem);
    if (problem === null) return { kind: 'route', delta };
    if (problem !== 'absent') failure ??= problem;
  }
  throw new TypeError('chooseRoute: the full payload is always a route');
}

/**
 * Bytes of a download on the disk, by the length of its file: reserved room does not lengthen it.
 * It may have holes, so this can be too many; the download has the exact number once it has hashed
 * the file.
 */
async function bytesThere(disk: Disk, path: string): Promise<number> {
  if ((await disk.kind(path)) !== 'file') return 0;
  const file = await disk.open(path, 'read');
  try {
    return await file.size();
  } finally {
    await file.close();
  }
}

/** Only the full payload may end the update for want of room. Null when there is room. */
async function whyNoRoom(input: RouteInput): Promise<Problem | null> {
  try {
    await assertRoom(input);
    return null;
  } catch (thrown) {
    const isShort = thrown instanceof DroverError && thrown.code === 'DISK_SPACE_SHORT';
    if (input.job.delta === null || !isShort) throw thrown;
    return toProblem(thrown);
  }
}

/** Null when the release can be patched from. */
async function whyNoBase(input: RouteInput, delta: DeltaOffer): Promise<Problem | 'absent' | null> {
  const { job, signal } = input;
  try {
    const base = await openBase(delta, job, input);
    if (!base) return 'absent';
    try {
      await base.assertIs(delta.fromTarSha256, signal);
      return null;
    } finally {
      await base.close();
    }
  } catch (thrown) {
    signal.throwIfAborted();
    return toProblem(thrown);
  }
}

/**
 * The tar of an installed release, or the image in the slot that runs.
 * @returns null when there is no recipe of that release
 * @throws DroverError DELTA_BASE_UNUSABLE, BOOT_…
 */
export async function openBase(
  delta: DeltaOffer,
  { strategy }: Pick<Job, 'strategy'>,
  on: ModuleContext,
): Promise<DeltaBase | null> {
  if (strategy === SLOT_IMAGE) return await openSlotBase(delta, { ...on, system: systemOf(on) });
  const { disk, layout } = on;
  return await BaseTar.open(disk, {
    recipe: recipeFile(layout, delta.fromVersion),
    release: releaseFolder(layout, delta.fromVersion),
    kept: keptFolder(layout, delta.fromVersion),
  });
}
