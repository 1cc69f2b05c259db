/**
 * The record of one rollout, which outlives the controller process. Every decision about a rollout
 * reads and returns a record; it is written as a whole before anything is published. Sans-I/O.
 */

import { z } from 'zod';
import type { Announcement, Rollout } from '../../shared/formats/announcement.ts';
import { verifyRollout } from '../../shared/formats/bundle-signature.ts';
import type { EpochMs, Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Manifest } from '../../shared/formats/manifest.ts';
import type { Progress, ProgressFields } from '../../shared/formats/progress.ts';
import { canarySoakS, hasCanaries } from '../../shared/rules/rollout-rules.ts';
import { stateWord } from '../../shared/rules/rollout-words.ts';
import { releaseOf } from '../../shared/rules/release-identity.ts';
import type { Offer } from '../../shared/rules/stepping-stones.ts';
import {
  idSchema,
  parseDocument,
  robotIdSchema,
  sha256Schema,
  sizeSchema,
  versionSchema,
} from '../../shared/formats/schema.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { groupSchema, waveEvidenceSchema } from './gate-types.ts';
import { emptyEvidence, emptyGroup } from './evidence.ts';

const waveSchema = z.number().int().min(0).max(LIMITS.wavesMax);

const runSchema = z.object({
  schema: z.literal(1),
  rollout: idSchema,
  component: idSchema,
  version: versionSchema,
  /** Of its manifest; null in a record of 0.1. */
  release: sha256Schema.nullable().default(null),
  status: z.enum(['rolling', 'paused', 'halted', 'rolling_back', 'complete']),
  /** 0 for the explicit canaries, then 1 for the first wave. */
  wave: waveSchema,
  threshold: z.number().min(0).max(1),
  /** Threshold before this wave opened. */
  previous: z.number().min(0).max(1),
  /**
   * Rises whenever evidence starts again: for each wave, and for the robots after the last wave.
   */
  stage: sizeSchema,
  /** How many robots had ended when the stage began: these do not count against it. */
  base: z.object({ installed: sizeSchema, failed: sizeSchema, vanished: sizeSchema }),
  recall: z.boolean(),
  /** `seq` of the last progress; in a higher term of the lease it starts far above. */
  seq: sizeSchema,
  reasons: z.array(z.string().max(500)).max(32),
  beganAtMs: sizeSchema,
  /** As in the audit entry of the opening; of an unopened rollout the moment of its record. */
  waveOpenedAtMs: sizeSchema,
  /** When enough robots of the wave had reported; null while they have not. */
  soakSinceMs: sizeSchema.nullable(),
  waitsFor: z.enum(['robots', 'soak', 'evidence', 'approval', 'recall', 'unable']).nullable(),
  approved: z.array(waveSchema).max(LIMITS.wavesMax + 1),
  /** Users that approved a wave; filled only where it needs several. */
  approvedBy: z
    .array(
      z.object({
        wave: waveSchema,
        users: z.array(z.string().max(LIMITS.idLengthMax)).max(LIMITS.approversMax),
      }),
    )
    .max(LIMITS.wavesMax + 1)
    .default([]),
  /** When the last progress expires, unless it is renewed. */
  expiresAtMs: sizeSchema,
  /** It is no longer announced: no robot may join, and only a recall is still published. */
  withdrawn: z.boolean(),
  /** The rollout that replaced it in the announcement; null for none. */
  supersededBy: idSchema.nullable().default(null),
  evidence: waveEvidenceSchema,
  /** Work of the old version, before and beside the rollout. */
  history: groupSchema,
  /** Number of the last entry in its audit log. */
  auditSeq: sizeSchema,
  /** It is complete, and no robot runs the version. */
  noEffect: z.boolean().default(false),
  /** In its last wave: every online robot runs the version, only the soak is left. */
  settled: z.boolean().default(false),
  /** Waves that an operator ended without a verdict. */
  forced: z
    .array(waveSchema)
    .max(LIMITS.wavesMax + 1)
    .default([]),
  /** A soak stands still while the rollout is paused. */
  pausedAtMs: sizeSchema.nullable().default(null),
  /** Status before the pause; `resume` puts it back. */
  pausedFrom: z.enum(['rolling', 'complete']).default('rolling'),
  /** A command that was signed before may have been obeyed where this record does not say so. */
  signedSinceMs: sizeSchema.default(0),
  /** When a controller reconciled it last and saved that; 0 in a record of 0.1. */
  watchedAtMs: sizeSchema.default(0),
  /** `seq` of the newest announcement that contained it, or ended it: an older one is ignored. */
  announcedSeq: sizeSchema.default(0),
  /** Places of its budget that were granted, and are not known to be used. */
  places: z
    .array(z.object({ robot: robotIdSchema, askedAtMs: sizeSchema, untilMs: sizeSchema }))
    .max(LIMITS.placesMax)
    .default([]),
});

export type RolloutRun = z.output<typeof runSchema>;

/** Withdrawn rollouts beyond `endedRunsMax`, oldest first: their records may be deleted. */
export function endedTooLong(runs: readonly RolloutRun[]): string[] {
  const ended = runs.filter(({ withdrawn }) => withdrawn);
  const many = Math.max(0, ended.length - LIMITS.endedRunsMax);
  const byAge = ended.toSorted((a, b) => a.beganAtMs - b.beganAtMs);
  return byAge.slice(0, many).map(({ rollout }) => rollout);
}

/** No wave of it was ever opened: an operator gave a command before the robots had reported. */
export const isUnopened = (run: RolloutRun): boolean => run.stage === 0;

export const sameRun = (a: RolloutRun, b: RolloutRun): boolean =>
  a === b || JSON.stringify(a) === JSON.stringify(b);

/** As people read it: `no_effect` is a rollout that is over and whose version no robot runs. */
export type RunStatus = RolloutRun['status'] | 'no_effect';

/**
 * As people read it after it left the announcement. No robot joins it any more, so it is not
 * rolling. An earlier end stays, and so does a recall that continues.
 */
export type ShownStatus = RunStatus | 'superseded' | 'withdrawn';
export function shownStatusOf(run: RolloutRun): ShownStatus {
  const status = statusOf({ status: run.status, no_effect: run.noEffect });
  if (!run.withdrawn || (status !== 'rolling' && status !== 'paused')) return status;
  return run.supersededBy === null ? 'withdrawn' : 'superseded';
}

/** Old robots do not know this status: on the wire it is `complete` with a field of its own. */
export const statusOf = (of: Pick<Progress, 'status' | 'no_effect'>): RunStatus =>
  of.status === 'complete' && of.no_effect ? 'no_effect' : of.status;

/** The state of a rollout in the one word that each refusal says, with or without an effect. */
export const runWord = (run: RolloutRun): string =>
  stateWord({ status: shownStatusOf(run), recall: run.recall });

const KIND = {
  what: 'rollout record',
  schema: runSchema,
  bytesMax: LIMITS.reportBytesMax * 4,
  code: 'STATE_CORRUPT',
} as const;

/** @throws DroverError STATE_CORRUPT, JSON_INVALID */
export const parseRun = (bytes: Uint8Array): RolloutRun => parseDocument(KIND, bytes);
export const encodeRun = (run: RolloutRun): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(run));

/** An announced rollout with its verified manifest. */
export interface RolloutPlan {
  readonly rollout: Rollout;
  readonly manifest: Manifest;
  /** Hash of the manifest, which progress names. */
  readonly release: Sha256Hex;
  readonly announcement: Pick<Announcement, 'fleet' | 'seq' | 'expires_at'>;
  /** When the announcement was signed in which this rollout first arrived here; absent if unknown. */
  readonly signedAtMs?: EpochMs;
}

/** @throws DroverError when a bundle of it is not signed for this fleet */
export function plansOf(announcement: Announcement, trust: TrustRoot): RolloutPlan[] {
  const { fleet, seq, expires_at, issued_at: signedAtMs } = announcement;
  return announcement.rollouts.map((rollout) => {
    const { manifest } = verifyRollout(rollout, trust);
    const release = releaseOf(rollout.manifest);
    return { rollout, manifest, release, announcement: { fleet, seq, expires_at }, signedAtMs };
  });
}

/** The other announced rollouts. */
export const besidesOf = (plans: ReadonlyMap<string, RolloutPlan>, id: string): Offer[] =>
  [...plans.values()].filter(({ rollout }) => rollout.id !== id).map(offerOf);

export const offerOf = ({
  rollout,
  manifest,
}: Pick<RolloutPlan, 'rollout' | 'manifest'>): Offer => ({
  ...{ id: rollout.id, target: rollout.target, manifest },
  hasLogProof: rollout.log_proof !== undefined,
  set: rollout.set ?? null,
});

/** The waves of a rollout, with what opens each. */
export interface Stage {
  readonly wave: number;
  /** 0 to 1. */
  readonly share: number;
  readonly soakS: number;
}

/** Explicit canaries are wave 0; an emergency has one wave and no soak. */
export function stagesOf({ rollout }: Pick<RolloutPlan, 'rollout'>): Stage[] {
  if (rollout.emergency) return [{ wave: 1, share: 1, soakS: 0 }];
  const waves = rollout.waves.map(({ percent, soak_s }, at) => ({
    wave: at + 1,
    share: percent / 100,
    soakS: soak_s,
  }));
  if (!hasCanaries(rollout)) return waves;
  return [{ wave: 0, share: 0, soakS: canarySoakS(rollout) }, ...waves];
}

export function beginRun(plan: RolloutPlan, now: EpochMs): RolloutRun {
  return {
    schema: 1,
    rollout: plan.rollout.id,
    component: plan.manifest.name,
    version: plan.manifest.version,
    release: plan.release,
    status: 'rolling',
    wave: stagesOf(plan)[0]?.wave ?? 1,
    threshold: 0,
    previous: 0,
    stage: 0,
    base: { installed: 0, failed: 0, vanished: 0 },
    recall: false,
    seq: 0,
    reasons: [],
    beganAtMs: now,
    waveOpenedAtMs: now,
    soakSinceMs: null,
    waitsFor: 'robots',
    approved: [],
    approvedBy: [],
    expiresAtMs: 0,
    withdrawn: false,
    supersededBy: null,
    evidence: emptyEvidence(),
    history: emptyGroup(),
    auditSeq: 0,
    noEffect: false,
    settled: false,
    forced: [],
    signedSinceMs: 0,
    pausedAtMs: null,
    pausedFrom: 'rolling',
    watchedAtMs: now,
    announcedSeq: 0,
    places: [],
  };
}

/** The users that have approved a wave which needs several. */
export const usersOf = ({ approvedBy }: RolloutRun, wave: number): readonly string[] =>
  approvedBy.find((one) => one.wave === wave)?.users ?? [];

/** The progress to publish to robots, unsigned. */
export function progressOf(run: RolloutRun, fleet: string, now: EpochMs): ProgressFields {
  const approvedBy = usersOf(run, run.wave);
  return {
    fleet,
    rollout: run.rollout,
    seq: run.seq,
    ...(run.release !== null && { release: run.release }),
    issued_at: new Date(now).toISOString(),
    expires_at: new Date(run.expiresAtMs).toISOString(),
    wave: run.wave,
    threshold: run.threshold,
    // Explicit canaries begin with wave 0, which is not open yet.
    status: isUnopened(run) && run.status === 'rolling' ? 'paused' : run.status,
    reasons: run.reasons,
    recall: run.recall,
    wave_opened_at: new Date(run.waveOpenedAtMs).toISOString(),
    approved: run.approved,
    ...(approvedBy.length > 0 && { approved_by: [...approvedBy] }),
    ...(run.noEffect && { no_effect: true }),
    ...(run.settled && { settled: true }),
    ...(run.places.length > 0 && { places: run.places.map(toldPlace) }),
  };
}

const toldPlace = ({ robot, askedAtMs, untilMs }: RolloutRun['places'][number]) => ({
  robot,
  asked_at: new Date(askedAtMs).toISOString(),
  until: new Date(untilMs).toISOString(),
});
