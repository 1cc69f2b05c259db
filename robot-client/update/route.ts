/**
 * Chooses how a payload comes: by the cheapest route whose base is really there, whole and
 * unchanged, and for which there is room. It runs before anything is downloaded.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { rankRoutes } from './delta.ts';
import {
  keptFolder,
  patchFile,
  payloadFile,
  recipeFile,
  releaseFolder,
  stagingFolder,
  type Layout,
} from '../install/layout.ts';
import type { Disk } from '../install/disk-port.ts';
import type { DeltaOffer } from './job-parts.ts';
import type { Job } from './state.ts';
import { BaseTar } from '../install/base-tar.ts';
import { assertRoom } from './room.ts';

export type Choice =
  | { readonly kind: 'route'; readonly delta: DeltaOffer | null }
  /** The supposed base is damaged: only the full payload is worth trying. */
  | { readonly kind: 'deltaFailed'; readonly problem: Problem };

export interface RouteInput {
  readonly disk: Disk;
  readonly layout: Layout;
  readonly job: Job;
  readonly signal: AbortSignal;
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
  let failure: Problem | null = null;
  for (const { delta } of rankRoutes(job, { full, deltas })) {
    if (delta === null && failure) return { kind: 'deltaFailed', problem: failure };
    const isRoomy = await hasRoom({ ...input, job: { ...job, delta } });
    if (!isRoomy) continue;
    if (delta === null) return { kind: 'route', delta };
    const problem = await whyNoBase(input, delta);
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

/** Only the full payload may end the update for want of room. */
async function hasRoom(input: RouteInput): Promise<boolean> {
  try {
    await assertRoom(input);
    return true;
  } catch (thrown) {
    const isShort = thrown instanceof DroverError && thrown.code === 'DISK_SPACE_SHORT';
    if (input.job.delta === null || !isShort) throw thrown;
    return false;
  }
}

/** Null when the release can be patched from. */
async function whyNoBase(input: RouteInput, delta: DeltaOffer): Promise<Problem | 'absent' | null> {
  const { disk, layout, signal } = input;
  try {
    const base = await openBase(disk, layout, delta);
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

/** Null when there is no recipe of that release. */
export async function openBase(
  disk: Disk,
  layout: Layout,
  { fromVersion }: DeltaOffer,
): Promise<BaseTar | null> {
  return await BaseTar.open(disk, {
    recipe: recipeFile(layout, fromVersion),
    release: releaseFolder(layout, fromVersion),
    kept: keptFolder(layout, fromVersion),
  });
}
