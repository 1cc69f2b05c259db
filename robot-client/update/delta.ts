/**
 * Decides how a payload comes to a robot: in full, or as a delta from an installed release. Only a
 * delta in the manifest, which a release key signed, counts; the rollout's artifacts only give the
 * place of its chunks. A bundle whose delta failed here once is always downloaded in full.
 * Sans-I/O.
 */

import { countOf } from '../../shared/base/printable.ts';
import { SLOT_IMAGE } from '../../shared/formats/apply-strategy.ts';
import type { Rollout } from '../../shared/formats/announcement.ts';
import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import type { Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { deltaResultOf, type Manifest } from '../../shared/formats/manifest.ts';
import type { DeltaOffer } from './job-parts.ts';
import type { Job, MachineState } from './state.ts';
import { indexFile, patchFile, patchIndexFile, payloadFile } from '../install/layout.ts';

/** Values of `caps` in the state of a robot: the deltas that it can take. [P-12.5] */
export const PATCH_CAPABILITIES = {
  zstd: 'zstd-patch',
  add: 'add-patch',
  slot: 'slot-patch',
} as const;

/** Of a robot that has such a program, or none. */
export function patchCapabilities(robot: {
  readonly patchProgram?: object | null | undefined;
  readonly takesDeltas?: boolean | undefined;
  readonly system?: object | undefined;
}): string[] {
  if (robot.takesDeltas === false) return [];
  const { zstd, add, slot } = PATCH_CAPABILITIES;
  return [...(robot.patchProgram ? [zstd] : []), add, ...(robot.system ? [slot] : [])];
}

export interface PatchFacts {
  /** False for a robot without zstd. */
  readonly hasZstd: boolean;
  /** Versions of which a whole release is installed. */
  readonly bases: readonly string[];
  /** Version that runs: the only base of a system image. */
  readonly running: string | null;
  readonly failures: MachineState['deltaFailures'];
}

/**
 * Both releases that links lead to can be patched from. Of system images only the one that runs
 * can: the new one is written over the other.
 */
export function patchFacts(
  { deltaFailures: failures }: MachineState,
  slots: { active: string | null; rollback: string | null },
  hasZstd: boolean,
): PatchFacts {
  const bases = [slots.active, slots.rollback].filter((version) => version !== null);
  return { hasZstd, bases, running: slots.active, failures };
}

/**
 * The deltas of a rollout that this robot could try, in the order of the manifest. [P-12.3]
 * @param facts null for a robot that takes no deltas
 */
export function offersOf(
  manifest: Manifest,
  artifacts: Rollout['artifacts'],
  facts: PatchFacts | null,
): DeltaOffer[] {
  const result = deltaResultOf(manifest);
  if (facts === null || result === null) return [];
  const { sha256: tarSha256, bytes: tarBytes } = result;
  const isImage = manifest.apply_strategy === SLOT_IMAGE;
  const bases = isImage ? [facts.running] : facts.bases;
  const failed = facts.failures.some((one) => one.payloadSha256 === manifest.payload_sha256);
  if (failed) return [];
  const readable = manifest.deltas.filter(({ coding }) => coding === 'add' || facts.hasZstd);
  return readable.flatMap((delta) => {
    const artifact = artifacts.find(
      ({ kind, sha256, size }) =>
        kind === 'zstd-patch' && sha256 === delta.sha256 && size === delta.size,
    );
    if (!artifact || !bases.includes(delta.from_version)) return [];
    const from = { fromVersion: delta.from_version, fromTarSha256: delta.from_tar_sha256 };
    const { coding, sha256, size: bytes } = delta;
    const { chunk_size: chunkBytes, chunk_index: chunkIndex } = artifact;
    return [{ ...from, coding, tarSha256, tarBytes, sha256, bytes, chunkBytes, chunkIndex }];
  });
}

/** Null for the full payload. */
export interface Route {
  readonly delta: DeltaOffer | null;
  /** Still to come over the wire. */
  readonly missingBytes: number;
}

/**
 * The routes worth trying, the cheapest first. The last one is the full payload, which every robot
 * can take; deltas that would cost as much are left out.
 * @param thereBytes what is on the disk already of each delta, by its hash, and of the full payload
 */
export function rankRoutes(
  job: Pick<Job, 'offers' | 'payloadBytes'>,
  thereBytes: { full: number; deltas: ReadonlyMap<string, number> },
): Route[] {
  const missing = (bytes: number, there: number): number => Math.max(0, bytes - there);
  const full = { delta: null, missingBytes: missing(job.payloadBytes, thereBytes.full) };
  const deltas = job.offers
    .map((delta): Route => {
      const there = thereBytes.deltas.get(delta.sha256) ?? 0;
      return { delta, missingBytes: missing(delta.bytes, there) };
    })
    .filter((route) => route.missingBytes < full.missingBytes)
    .sort((a, b) => a.missingBytes - b.missingBytes);
  return [...deltas, full];
}

/**
 * Additional disk that a delta needs while it is applied, compared with the full payload. A system
 * image is patched straight into the slot.
 */
export function scratchBytesOf({ delta, strategy }: Pick<Job, 'delta' | 'strategy'>): number {
  if (delta === null) return 0;
  const dictionaryBytes = delta.coding === 'zstd' ? LIMITS.deltaDictionaryBytesMax : 0;
  return dictionaryBytes + (strategy === SLOT_IMAGE ? 0 : delta.tarBytes);
}

/**
 * True while the delta is applied: a tree is made of a tar that is complete, and an image is made
 * in its slot.
 */
export function isPatching({ phase, job }: Pick<MachineState, 'phase' | 'job'>): boolean {
  if (!job?.delta) return false;
  return phase === (job.strategy === SLOT_IMAGE ? 'staging' : 'verifying');
}

/**
 * The job continues with the full payload, and deltas of this bundle are not tried here again.
 * [P-12.4]
 */
export function withoutDelta(state: MachineState, problem: Problem): MachineState {
  const { job } = state;
  if (!job) return state;
  const { version, payloadSha256 } = job;
  const others = state.deltaFailures.filter((one) => one.payloadSha256 !== payloadSha256);
  const failures = [...others, { version, payloadSha256, ...problem }];
  return {
    ...state,
    job: { ...job, offers: [], delta: null, patchStarts: 0, deltaFailed: problem.code },
    deltaFailures: failures.slice(-LIMITS.deltaFailuresMax),
  };
}

/** A robot that dies again and again while patching must not do so for ever. */
export function patchLoop(state: MachineState): Problem | null {
  const { job } = state;
  if (!isPatching(state) || !job?.delta || job.patchStarts < LIMITS.patchStartsMax) return null;
  const message = `patch ${job.delta.fromVersion} to ${job.version}: cut short ${countOf(job.patchStarts ?? 0, 'time')}`;
  return { code: 'DELTA_INTERRUPTED', message, hint: CATALOGUE.DELTA_INTERRUPTED.hint };
}

/** The files of a download: of the full payload, or of the delta that was chosen. */
export interface Transfer {
  readonly bytes: number;
  readonly chunkBytes: number;
  readonly chunkIndex: string;
  readonly path: string;
  readonly indexPath: string;
}

/** @param folder the staging folder of the job */
export function transferOf(
  job: Pick<Job, 'delta' | 'payloadBytes' | 'chunkBytes' | 'chunkIndex'>,
  folder: string,
): Transfer {
  const { delta } = job;
  if (delta) {
    const { bytes, chunkBytes, chunkIndex } = delta;
    const path = patchFile(folder, delta.sha256);
    const indexPath = patchIndexFile(folder, delta.sha256);
    return { bytes, chunkBytes, chunkIndex, path, indexPath };
  }
  const { payloadBytes: bytes, chunkBytes, chunkIndex } = job;
  const [path, indexPath] = [payloadFile(folder), indexFile(folder)];
  return { bytes, chunkBytes, chunkIndex, path, indexPath };
}
