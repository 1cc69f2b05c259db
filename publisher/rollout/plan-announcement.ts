/**
 * Decides the next announcement: which active rollouts stay (byte for byte), which ones the new one
 * replaces, and its `seq`. It never drops a rollout silently, and never lets two rollouts of one
 * component target one robot unless the operator allows it. Sans-I/O.
 */

import type {
  AnnouncementFields,
  Rollout,
  RolloutFields,
} from '../../shared/formats/announcement.ts';
import { ARCH_ANY, canonicalArch } from '../../shared/rules/rollout-rules.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Manifest } from '../../shared/formats/manifest.ts';
import type { RobotState } from '../../shared/formats/messages.ts';
import { stonesFor, type Offer } from '../../shared/rules/stepping-stones.ts';
import { compareVersions } from '../../shared/base/version.ts';
import { nextSeq } from './next-seq.ts';
import { fullTarget, outlookOf } from './forecast.ts';
import { fateOf, manifestOf, whyGoingOn, type Fate, type Newcomer } from './overlap.ts';
import { endingSets, membersWith } from './set-rules.ts';
import { assertIdIsFree, idStays } from './used-id.ts';

/** One rollout of the current announcement: parsed, and as it was written. */
export interface ActiveRollout {
  readonly rollout: Rollout;
  readonly written: RolloutFields;
}

export interface AnnouncementPlanInput extends Newcomer {
  readonly now: EpochMs;
  readonly fleet: string;
  readonly lifeMs: number;
  /** The retained announcement; null when there is none. */
  readonly previous: {
    readonly seq: number;
    readonly imported?: { readonly seq: number };
    readonly rollouts: readonly ActiveRollout[];
  } | null;
  /** The last reports of robots; null when they cannot be read. */
  readonly robots: readonly RobotState[] | null;
  /** The highest `seq` that robots report to have accepted. */
  readonly reportedSeq?: number;
  /** The air-gap file that the bundle came in. */
  readonly imported?: { readonly seq: number };
}

export interface AnnouncementPlan {
  readonly fields: AnnouncementFields;
  readonly kept: readonly string[];
  readonly superseded: readonly string[];
  /** Of those kept: rollouts for robots that the new rollout does not target. */
  readonly beside: readonly string[];
  /** Of those kept: rollouts that robots too old for the new one take first. */
  readonly stones: readonly string[];
  /** A rollout of this id was announced before: this replaces it and continues. */
  readonly isAgain: boolean;
}

/** @throws DroverError ROLLOUT_OVERLAP, NOT_FOUND, DOCUMENT_TOO_LARGE, VERSION_REUSED */
export function planAnnouncement(given: AnnouncementPlanInput): AnnouncementPlan {
  const active = given.previous?.rollouts ?? [];
  const supersede = given.supersede.flatMap((id) => idsNamed('supersede', id, active));
  const input = { ...given, supersede };
  for (const { rollout } of active) assertSameBytes(rollout, input);
  assertIdIsFree(active, input);
  const leading = leadingUp(active, input);
  const fates = active.map(({ rollout }) => ({ id: rollout.id, fate: fateOf(rollout, input) }));
  const ids = (of: Fate): string[] => fates.filter((one) => one.fate === of).map(({ id }) => id);
  const isStone = (id: string): boolean => leading.has(id) && !input.supersede.includes(id);
  const alone = new Set(ids('ends'));
  const own = new Set([...alone].filter(isStone));
  const sets = endingSets(
    active.map(({ rollout }) => rollout),
    new Set([...alone].filter((id) => !own.has(id))),
    own,
  );
  const stones = [...sets.stones];
  const kept = active.filter(({ rollout }) => !sets.ending.has(rollout.id));
  const beside = ids('beside').filter((id) => !sets.ending.has(id));
  const gone = active.filter((one) => !kept.includes(one)).map(({ rollout }) => rollout.id);
  const superseded = gone.filter((id) => id !== input.rollout.id);
  if (kept.some(({ rollout }) => rollout.id === input.rollout.id)) throw idStays(input);
  assertRoom(kept.length + 1);
  return {
    fields: {
      fleet: input.fleet,
      seq: nextSeq(input.previous?.seq ?? 0, input.now, input.reportedSeq),
      issued_at: new Date(input.now).toISOString(),
      expires_at: new Date(input.now + input.lifeMs).toISOString(),
      ...importedOf(input),
      rollouts: [...kept.map(({ written }) => written), naming(input.rollout, superseded)],
    },
    kept: kept.map(({ rollout }) => rollout.id),
    superseded,
    beside,
    stones,
    isAgain: gone.length > superseded.length,
  };
}

/** The plans of all rollouts of a set as one: the last of them contains all. */
export function mergePlans(
  plans: readonly AnnouncementPlan[],
  ours: readonly string[],
): AnnouncementPlan {
  const last = plans.at(-1);
  if (!last) throw new TypeError('mergePlans: a set has rollouts');
  const superseded = unique(plans.flatMap((one) => one.superseded));
  const left = (ids: readonly string[]): string[] =>
    unique(ids).filter((id) => !ours.includes(id) && !superseded.includes(id));
  return {
    fields: last.fields,
    kept: left(last.kept),
    superseded,
    beside: left(plans.flatMap((one) => one.beside)),
    stones: left(plans.flatMap((one) => one.stones)),
    isAgain: plans.some((one) => one.isAgain),
  };
}

const unique = (ids: readonly string[]): string[] => [...new Set(ids)];

/**
 * A version names one payload wherever both rollouts could reach one robot. A rollout that the new
 * one replaces counts as well: robots run it already.
 * @throws DroverError VERSION_REUSED
 */
function assertSameBytes(old: Rollout, input: AnnouncementPlanInput): void {
  const theirs = manifestOf(old);
  const ours = input.manifest;
  if (!theirs || !sharesRobots(theirs, ours)) return;
  if (compareVersions(theirs.version, ours.version) !== 0) return;
  if (theirs.payload_sha256 === ours.payload_sha256) return;
  const [got, want] = [ours.payload_sha256.slice(0, 12), theirs.payload_sha256.slice(0, 12)];
  throw new DroverError(
    'VERSION_REUSED',
    `announce ${ours.name} ${ours.version}: rollout ${old.id} announces ${theirs.version} with another payload (got ${got}, want ${want})`,
    { facts: { other: old.id } },
  );
}

const sharesRobots = (one: Manifest, other: Manifest): boolean =>
  one.name === other.name &&
  (one.target_arch === ARCH_ANY ||
    other.target_arch === ARCH_ANY ||
    canonicalArch(one.target_arch) === canonicalArch(other.target_arch));

const hasLogProof = ({ log_proof: proof }: Pick<RolloutFields, 'log_proof'>): boolean =>
  proof !== undefined;

/**
 * Ids of rollouts that robots too old for the new one can take first. Without any known robot, all
 * rollouts that start at lower versions than the new one.
 */
function leadingUp(
  active: readonly ActiveRollout[],
  { rollout, manifest, robots }: AnnouncementPlanInput,
): Set<string> {
  const offers = active.flatMap(({ rollout: one }): Offer[] => {
    const theirs = manifestOf(one);
    return theirs?.name === manifest.name
      ? [{ id: one.id, target: one.target, manifest: theirs, hasLogProof: hasLogProof(one) }]
      : [];
  });
  if (robots === null || robots.length === 0) {
    const lower = offers.filter(
      (one) =>
        compareVersions(one.manifest.min_current_version, manifest.min_current_version) < 0 &&
        compareVersions(one.manifest.version, manifest.version) < 0,
    );
    return new Set(lower.map(({ id }) => id));
  }
  const offer = {
    ...{ id: rollout.id, target: fullTarget(rollout.target), manifest },
    hasLogProof: hasLogProof(rollout),
  };
  const needed = robots
    .filter((state) => {
      const outlook = outlookOf(offer, offers, state);
      return outlook === 'TOO_OLD' || outlook === 'steps';
    })
    .flatMap((state) => stonesFor(state, offers));
  return new Set(needed.map(({ id }) => id));
}

export interface WithdrawalInput extends Pick<
  AnnouncementPlanInput,
  'now' | 'fleet' | 'lifeMs' | 'previous' | 'statuses'
> {
  readonly id: string;
}

/**
 * The list without a rollout that has ended. Robots keep what they run; none takes it any more.
 * @throws DroverError NOT_FOUND, ROLLOUT_OVERLAP when it still continues
 */
export function planWithdrawal(input: WithdrawalInput): AnnouncementPlan {
  const { id, previous, now } = input;
  const active = previous?.rollouts ?? [];
  const ours = idsNamed('withdraw', id, active).flatMap((one) => {
    const found = active.find(({ rollout }) => rollout.id === one);
    return found ? membersWith(found.rollout) : [];
  });
  const gone = active.filter((one) => ours.includes(one.rollout.id));
  for (const { rollout: one } of gone) {
    const why = whyGoingOn(one, input.statuses.get(one.id));
    if (why === null) continue;
    throw new DroverError('ROLLOUT_OVERLAP', `withdraw ${one.id}: ${why}`, {
      facts: { rollout: one.id },
      hint: `stop it first: drover rollout abort ${one.id}`,
    });
  }
  const kept = active.filter((one) => !gone.includes(one));
  return {
    fields: {
      fleet: input.fleet,
      seq: nextSeq(previous?.seq ?? 0, now),
      issued_at: new Date(now).toISOString(),
      expires_at: new Date(now + input.lifeMs).toISOString(),
      ...importedOf(input),
      rollouts: kept.map(({ written }) => written),
    },
    kept: kept.map((one) => one.rollout.id),
    superseded: gone.map((one) => one.rollout.id),
    beside: [],
    stones: [],
    isAgain: false,
  };
}

/**
 * The rollout of that id, or all of the set of that name.
 * @throws DroverError NOT_FOUND
 */
function idsNamed(verb: string, id: string, active: readonly ActiveRollout[]): string[] {
  if (active.some(({ rollout }) => rollout.id === id)) return [id];
  const members = active.filter(({ rollout }) => rollout.set?.id === id);
  if (members.length > 0) return members.map(({ rollout }) => rollout.id);
  const ids = active.map(({ rollout }) => rollout.id).join(', ');
  const got = ids === '' ? 'none' : ids;
  throw new DroverError('NOT_FOUND', `${verb} ${id}: no such active rollout (got ${got})`);
}

/** Lets the audit log of the controller name the replacement. */
const naming = (rollout: RolloutFields, supersedes: readonly string[]): RolloutFields =>
  supersedes.length === 0 ? rollout : { ...rollout, supersedes: [...supersedes] };

/** It never falls, or last year's stick could be imported again. */
function importedOf({ previous, imported }: Pick<AnnouncementPlanInput, 'previous' | 'imported'>) {
  const seq = Math.max(previous?.imported?.seq ?? 0, imported?.seq ?? 0);
  return seq === 0 ? {} : { imported: { seq } };
}

function assertRoom(count: number): void {
  if (count <= LIMITS.rolloutsMax) return;
  throw new DroverError(
    'DOCUMENT_TOO_LARGE',
    `plan announcement: too many active rollouts (got ${count}, want at most ${LIMITS.rolloutsMax})`,
    { hint: 'end old ones with --supersede ID, or drover rollout withdraw ID' },
  );
}
