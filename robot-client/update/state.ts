/**
 * State of one component, kept across power cuts: the contents of `<root>/state/machine.json`. It
 * is written as a whole before any action that depends on it. Sans-I/O.
 */

import { z } from 'zod';
import { base64ToBytes, bytesToBase64 } from '../../shared/crypto/bytes.ts';
import {
  ATOMIC_SWAP,
  moduleOf,
  SLOT_IMAGE,
  strategySchema,
} from '../../shared/formats/apply-strategy.ts';
import {
  budgetSchema,
  rolloutSetSchema,
  type Artifact,
  type Rollout,
} from '../../shared/formats/announcement.ts';
import type { PublicKeyHex } from '../../shared/crypto/ed25519.ts';
import { STATE_SCHEMA_READ, STATE_SCHEMA_WRITTEN } from '../../shared/rules/agent-bundle.ts';
import { placeOwner } from '../../shared/rules/budget.ts';
import { highestAfter } from '../../shared/rules/release-word.ts';
import type { VerifiedBundle } from '../../shared/formats/bundle-signature.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { EpochMs, Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { ROBOT_PHASES, type RobotPhase } from '../../shared/formats/messages.ts';
import {
  commitIdSchema,
  deltaOfferSchema,
  followsSchema,
  seenBootSchema,
  slotTrialSchema,
  type DeltaOffer,
} from './job-parts.ts';
import {
  idSchema,
  parseDocument,
  sha256Schema,
  sizeSchema,
  versionSchema,
} from '../../shared/formats/schema.ts';

const problemSchema = z.object({ code: z.string(), message: z.string(), hint: z.string() });

const jobSchema = z.object({
  /** Rollout id: distinguishes results of an older job. */
  rollout: idSchema,
  seq: sizeSchema,
  version: versionSchema,
  /** Exact bytes, base64: the signature is checked again over what was received. */
  manifest: z.string().max(LIMITS.manifestBytesMax * 2),
  signatures: z.array(z.string()).max(LIMITS.signaturesMax + 1),
  /** From the manifest; the strategy file stored with the release counts before it. */
  strategy: strategySchema.default(ATOMIC_SWAP),
  payloadSha256: sha256Schema,
  payloadBytes: sizeSchema,
  /** Unpacked size when the manifest has it. */
  tarBytes: sizeSchema.nullable(),
  chunkBytes: sizeSchema,
  chunkIndex: sha256Schema,
  /** Deltas from what is installed here; empty when the full payload is to be taken. */
  offers: z.array(deltaOfferSchema).max(LIMITS.deltasMax).default([]),
  /** The one that was chosen; null for the full payload. */
  delta: deltaOfferSchema.nullable().default(null),
  /** Starts of the agent while the delta was being applied. */
  patchStarts: sizeSchema.default(0),
  /** Why the delta was given up; null when none was. */
  deltaFailed: z.string().nullable().default(null),
  /**
   * From the manifest: robots that confirmed up to this may downgrade; null when it allows none.
   */
  downgradeFrom: versionSchema.nullable().default(null),
  /** Rollout keys that announced it, or recalled it: a block goes when they no longer count. */
  by: z.array(z.string()).max(LIMITS.keysPerRoleMax).default([]),
  emergency: z.boolean(),
  healthTimeoutMs: sizeSchema,
  /** Version to go back to: what `active` leads to before the swap; null for a first install. */
  previousVersion: versionSchema.nullable(),
  /**
   * The release of `active` instead, when that lost files and `previousVersion` did not; else null.
   */
  leftVersion: versionSchema.nullable().default(null),
  /** Of an image for a system slot, from the reboot on; null for another, or unknown. */
  slotTrial: slotTrialSchema.nullable().default(null),
  /**
   * Of a set with a system image, from `ready` on: `active` leads to this version when the image
   * runs, and else to the one before. Null when only this job decides.
   */
  follows: followsSchema.nullable().default(null),
  /** Callers whose ready lease the swap relies on; empty for none. */
  leaseHolders: z.array(z.string()).max(LIMITS.readyHoldersMax).default([]),
  /** Stops of this update that lost their ready lease. */
  leaseLosses: sizeSchema.default(0),
  startedAtMs: sizeSchema,
  /** Boots since the swap without a confirmation. */
  boots: sizeSchema,
  /** True when `recover` has counted this boot already and the agent must not. */
  bootCounted: z.boolean(),
  /** Null before probation, of an older agent, and where the kernel does not name its boots. */
  seenBoot: seenBootSchema.nullable().default(null),
  corruptCount: sizeSchema,
  rollbackAttempts: sizeSchema,
  /** Number of retries out of `stuck`: the waits grow with it. */
  stuckCount: sizeSchema.default(0),
  /** Writes of the state file for this job: a cap turns any loop into an end. */
  persists: sizeSchema,
  /** Why it is being rolled back. */
  cause: problemSchema.nullable(),
  /** The bundles that this robot takes together with this one; null for a bundle by itself. */
  set: rolloutSetSchema.nullable().default(null),
  /**
   * Of a set, while on probation: `well` when health was good, `sure` when it was good again after
   * all of the set were switched. A start asks again.
   */
  health: z.enum(['unasked', 'well', 'sure']).default('unasked'),
  /**
   * Of a set over several computers, from `prepared` on: the decision that binds this component.
   * Null when only this robot's own states decide.
   */
  commitId: commitIdSchema.nullable().default(null),
  /** The budget of its rollout, with the rollout that grants the places; null without one. */
  budget: budgetSchema.extend({ owner: idSchema }).nullable().default(null),
});

/** The end of the last update: in every report, for people and for the gate. */
const lastUpdateSchema = z.object({
  rollout: idSchema,
  version: versionSchema,
  outcome: z.enum(['installed', 'rolled_back', 'refused', 'recalled']),
  code: z.string().nullable(),
  startedAtMs: sizeSchema,
  endedAtMs: sizeSchema,
  bytes: sizeSchema,
  /** Version that it was patched from; null for a full payload. */
  deltaFrom: versionSchema.nullable().default(null),
  deltaFailed: z.string().nullable().default(null),
});

const stateSchema = z.object({
  /**
   * An older agent must not touch the file: 2 while a module, a set or a system slot is at work, 3
   * while a set with a system image is, 4 while a set over several computers is.
   */
  schema: z.union([z.literal(1), z.literal(2), z.literal(3), z.literal(4)]),
  phase: z.enum(ROBOT_PHASES),
  job: jobSchema.nullable(),
  /** The job that brought the active version: a recall undoes it. */
  installed: jobSchema.nullable().default(null),
  /** Version that `active` led to after the last update; null for nothing. */
  lastActive: versionSchema.nullable().default(null),
  /** Releases of this root when neither a state nor a link showed which of them ran. */
  unlinked: z.array(versionSchema).max(LIMITS.unlinkedMax).default([]),
  lastUpdate: lastUpdateSchema.nullable().default(null),
  blocked: z
    .array(
      z.object({
        version: versionSchema,
        payloadSha256: sha256Schema,
        code: z.string(),
        by: z.array(z.string()).max(LIMITS.keysPerRoleMax).optional(),
        /** Not tried again for this rollout; absent: for none. */
        rollout: idSchema.optional(),
      }),
    )
    .max(LIMITS.blockedBundlesMax),
  /** The highest version that was confirmed, less what a signed downgrade took back. */
  highest: versionSchema.nullable().default(null),
  /** Payloads that ran here and were confirmed, newest last. */
  ran: z.array(sha256Schema).max(LIMITS.ranPayloadsMax).default([]),
  /** A bundle that may be tried again, and not before when. */
  retry: z
    .object({ payloadSha256: sha256Schema, attempts: sizeSchema, notBeforeMs: sizeSchema })
    .nullable(),
  /** Bundles whose delta failed here: it is tried once for each. Newest last. */
  deltaFailures: z
    .array(problemSchema.extend({ version: versionSchema, payloadSha256: sha256Schema }))
    .max(LIMITS.deltaFailuresMax)
    .default([]),
  /** Files of releases that differed from what was installed, for which the robot went back. */
  damages: z
    .array(z.object({ version: versionSchema, path: z.string() }))
    .max(LIMITS.damagesMax)
    .default([]),
  lastProblem: problemSchema
    .extend({ version: versionSchema.nullable(), atMs: sizeSchema })
    .nullable(),
});

export type Job = z.output<typeof jobSchema>;
export type LastUpdate = z.output<typeof lastUpdateSchema>;
export type MachineState = z.output<typeof stateSchema>;

/** Each phase but `idle` is about a job: a file that names none is damaged, and set aside. */
const wholeState = stateSchema.refine(({ phase, job }) => phase === 'idle' || job !== null, {
  message: 'a phase without a job',
});

const KIND = {
  what: 'state file',
  schema: wholeState,
  bytesMax: LIMITS.manifestBytesMax * 4,
  code: 'STATE_CORRUPT',
} as const;

/** @throws DroverError JSON_INVALID, DOCUMENT_TOO_LARGE, STATE_CORRUPT, STATE_NEWER */
export function parseMachineState(bytes: Uint8Array): MachineState {
  assertNotNewer(bytes);
  return parseDocument(KIND, bytes);
}

/** A state of a later version is not damaged: it may hold facts that this version cannot read. */
function assertNotNewer(bytes: Uint8Array): void {
  const schema = schemaOf(bytes);
  if (typeof schema !== 'number' || schema <= STATE_SCHEMA_READ) return;
  const counts = `(got schema ${schema}, want ${STATE_SCHEMA_READ})`;
  throw new DroverError('STATE_NEWER', `read state file: of a newer drover-robot ${counts}`);
}

function schemaOf(bytes: Uint8Array): unknown {
  try {
    const document: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof document !== 'object' || document === null) return null;
    return 'phase' in document && 'schema' in document ? document.schema : null;
  } catch {
    return null; // damaged, which the parser reports
  }
}

const schemaFor = (job: Job | null): MachineState['schema'] => {
  if (job === null) return 1;
  if (job.commitId !== null) return STATE_SCHEMA_WRITTEN;
  if (job.follows !== null || job.set?.image !== undefined) return 3;
  return needsNewAgent(job) ? 2 : 1;
};

/** A job without a strategy of its own in the state (its state was lost) may still have a trial. */
const needsNewAgent = ({ strategy, slotTrial, set }: Job): boolean =>
  set !== null || moduleOf(strategy) !== null || strategy === SLOT_IMAGE || slotTrial !== null;

export function encodeMachineState(state: MachineState): Uint8Array {
  const schema = schemaFor(state.job);
  return new TextEncoder().encode(`${JSON.stringify({ ...state, schema })}\n`);
}

export function freshState(): MachineState {
  return {
    schema: 1,
    phase: 'idle',
    job: null,
    installed: null,
    lastActive: null,
    unlinked: [],
    lastUpdate: null,
    blocked: [],
    deltaFailures: [],
    damages: [],
    highest: null,
    ran: [],
    retry: null,
    lastProblem: null,
  };
}

/**
 * Version that `active` has to lead to; null when it may be absent, or while a swap or a rollback
 * is under way.
 */
export function expectedOf({ phase, job, installed, lastActive }: MachineState): string | null {
  if (phase === 'probation') return job?.version ?? null;
  return isUnderWay(phase) || phase === 'stuck' ? null : (installed?.version ?? lastActive);
}

/** A swap or a rollback itself says where `active` leads. */
export const isUnderWay = (phase: RobotPhase): boolean =>
  ['swapping', 'rebooting', 'rolling_back', 'reverting'].includes(phase);

/**
 * True while a decision of the leader binds a component: it has said that it may be switched, or
 * that it is healthy for good, and does not change its mind.
 */
export function isBound({ phase, job }: MachineState): boolean {
  if (job === null || job.commitId === null) return false;
  return phase === 'waiting' || (phase === 'probation' && job.health === 'sure');
}

export const withCommit = (state: MachineState, commitId: string | null): MachineState =>
  state.job ? { ...state, job: { ...state.job, commitId } } : state;

/** Versions that failed here. */
export const failedOf = ({ blocked }: MachineState): string[] =>
  blocked.map(({ version }) => version);

/** With one version more that was confirmed here. */
export function withConfirmed(state: MachineState, job: Job | null): MachineState {
  if (!job) return state;
  const highest = highestAfter(state.highest, job);
  if (isLostJob(job)) return { ...state, highest };
  const others = state.ran.filter((one) => one !== job.payloadSha256);
  return { ...state, highest, ran: [...others, job.payloadSha256].slice(-LIMITS.ranPayloadsMax) };
}

/** Rollout of the job that stands for an update whose state was lost (lost-state.ts). */
export const LOST_ROLLOUT = 'state-lost';

/** Its payload, which is unknown, so that a block of it is one of the version. */
export const LOST_PAYLOAD = '0'.repeat(64) as Sha256Hex;

export const isLostJob = (job: Job): boolean => job.rollout === LOST_ROLLOUT;

/** A job of a bundle whose signatures hold: the only way to make a job that is installed. */
export function makeJob(input: {
  rollout: Rollout;
  artifact: Artifact;
  offers?: readonly DeltaOffer[];
  bundle: VerifiedBundle;
  /** Keys that signed the announcement. */
  by?: readonly PublicKeyHex[];
  seq: number;
  now: EpochMs;
}): Job {
  const { rollout, artifact, bundle } = input;
  const { manifest } = bundle;
  const timeoutS = rollout.health_timeout_s;
  const timeoutMs = timeoutS === undefined ? LIMITS.healthTimeoutMsDefault : timeoutS * 1000;
  const leastMs = (manifest.bounds?.health_timeout_min_s ?? 0) * 1000;
  return {
    rollout: rollout.id,
    seq: input.seq,
    version: manifest.version,
    manifest: bytesToBase64(bundle.manifestBytes),
    signatures: bundle.signatures.map(bytesToBase64),
    strategy: manifest.apply_strategy,
    payloadSha256: manifest.payload_sha256,
    payloadBytes: artifact.size,
    tarBytes: manifest.payload_tar_size ?? null,
    chunkBytes: artifact.chunk_size,
    chunkIndex: artifact.chunk_index,
    offers: [...(input.offers ?? [])],
    delta: null,
    patchStarts: 0,
    deltaFailed: null,
    downgradeFrom: manifest.downgrade_from ?? null,
    by: [...(input.by ?? [])],
    emergency: rollout.emergency,
    healthTimeoutMs: Math.max(timeoutMs, leastMs),
    previousVersion: null,
    leftVersion: null,
    slotTrial: null,
    follows: null,
    leaseHolders: [],
    leaseLosses: 0,
    startedAtMs: input.now,
    boots: 0,
    bootCounted: false,
    seenBoot: null,
    corruptCount: 0,
    rollbackAttempts: 0,
    stuckCount: 0,
    persists: 0,
    cause: null,
    set: rollout.set ?? null,
    health: 'unasked',
    commitId: null,
    budget: rollout.budget ? { ...rollout.budget, owner: placeOwner(rollout) } : null,
  };
}

/** Bytes that the job carries as text. */
export function jobBytes(job: Job): { manifestBytes: Uint8Array; signatures: Uint8Array[] } {
  const decode = (text: string): Uint8Array => {
    const bytes = base64ToBytes(text);
    if (!bytes) throw new TypeError('jobBytes: the job was not made by makeJob');
    return bytes;
  };
  return { manifestBytes: decode(job.manifest), signatures: job.signatures.map(decode) };
}

/**
 * Payload of the release that `active` leads to; null when the state does not know that release.
 */
export function payloadOf({ job, installed }: MachineState, active: string | null): string | null {
  // In probation the new release runs already, and the one before it may be of the same version.
  const found = [job, installed].find((one) => one !== null && one.version === active);
  return found && !isLostJob(found) ? found.payloadSha256 : null;
}

/** Files of that version for which the robot went back once already. */
export const knownDamages = ({ damages }: MachineState, version: string): ReadonlySet<string> =>
  new Set(damages.filter((one) => one.version === version).map((one) => one.path));
