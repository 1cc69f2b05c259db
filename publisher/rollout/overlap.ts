/**
 * Decides what a new rollout does to an announced one: end it, stand beside it, or be refused. It
 * ends another only when it targets every robot of the other: a robot that comes later, was off or
 * has another CPU must not be left without an offer. Sans-I/O.
 */

import type { Rollout, RolloutFields } from '../../shared/formats/announcement.ts';
import { ARCH_ANY, canonicalArch, needsController } from '../../shared/rules/rollout-rules.ts';
import { DroverError, nullIfRefused } from '../../shared/base/errors.ts';
import { parseManifest, type Manifest } from '../../shared/formats/manifest.ts';
import type { Progress } from '../../shared/formats/progress.ts';
import { mayGoDown } from '../../shared/rules/release-word.ts';
import { compareVersions } from '../../shared/base/version.ts';

/** The last published status of a rollout. */
export type LedStatus = Pick<Progress, 'status' | 'settled' | 'release'> &
  Partial<Pick<Progress, 'recall' | 'no_effect'>>;

/** The rollout that is about to be announced. */
export interface Newcomer {
  readonly rollout: RolloutFields;
  readonly manifest: Manifest;
  /** Ids of rollouts that the operator wants to end. */
  readonly supersede: readonly string[];
  /** The operator allows it to stand beside a rollout that it overlaps. */
  readonly alongside: boolean;
  /** Status of the rollouts that a controller leads. */
  readonly statuses: ReadonlyMap<string, LedStatus>;
}

/**
 * - `apart`: no robot is in both, or the operator wants both
 * - `beside`: the old one continues for the robots that the new one does not target; robots in both
 *   take the higher version by themselves
 * - `ends`: the new one replaces it
 */
export type Fate = 'apart' | 'beside' | 'ends';

/** @throws DroverError ROLLOUT_OVERLAP when the two must not stand beside each other */
export function fateOf(old: Rollout, next: Newcomer): Fate {
  if (next.supersede.includes(old.id)) return 'ends';
  const manifest = manifestOf(old);
  if (next.alongside || !canMeet(old, manifest, next)) return 'apart';
  const led = next.statuses.get(old.id);
  const isCovered = covers(next, old, manifest);
  const isStopped = led?.status === 'halted' || led?.status === 'rolling_back';
  // No robot joins a stopped rollout. It stays announced until all of its robots went back.
  const ending = isCovered || isStopped ? 'ends' : 'beside';
  if (next.rollout.emergency === true) {
    // A replacement is meant for a rollout that goes wrong, whatever its state.
    if (ending === 'ends' || manifest === null) return ending;
    if (compareVersions(next.manifest.version, manifest.version) >= 0) return ending;
    throw drawnUp(old, manifest, next);
  }
  if (manifest === null) {
    throw overlap(old, next, 'its manifest cannot be read', waysOut(old, isCovered));
  }
  const isUp = compareVersions(next.manifest.version, manifest.version) > 0;
  if (!isUp && !mayGoDown(next.manifest, manifest.version)) {
    throw notAbove(old, manifest, next, led);
  }
  const why = whyUnfinished(old, led);
  if (why !== null) throw overlap(old, next, why, waysOut(old, isCovered));
  if (!isUp && ending === 'beside') throw drawnUp(old, manifest, next);
  return ending;
}

/** Null for a manifest that no robot could parse either; such a rollout is judged with caution. */
export const manifestOf = (rollout: Rollout): Manifest | null =>
  nullIfRefused(() => parseManifest(rollout.manifest));

/**
 * True when both may target one robot. A robot may have any tags, so tags never keep them apart.
 */
function canMeet(old: Rollout, oldManifest: Manifest | null, next: Newcomer): boolean {
  const robots = next.rollout.target?.robots ?? [];
  if (robots.length > 0 && old.target.robots.length > 0) {
    if (!old.target.robots.some((robot) => robots.includes(robot))) return false;
  }
  if (oldManifest === null) return true;
  if (oldManifest.name !== next.manifest.name) return false;
  return new Set([...archesOf(next), ...archesAsked(old, oldManifest)]).size <= 1;
}

/** True when the new rollout targets every robot of the old one. */
const covers = (next: Newcomer, old: Rollout, oldManifest: Manifest | null): boolean =>
  isWithin(aimOf(old, oldManifest), aimOfNext(next));

/** The robots that a rollout is for. */
interface Aim {
  readonly tags: readonly string[];
  /** Empty for any robot. */
  readonly robots: readonly string[];
  /** Empty for any CPU. */
  readonly arches: readonly string[];
}

const aimOf = (old: Rollout, manifest: Manifest | null): Aim => ({
  ...old.target,
  arches: manifest ? archesAsked(old, manifest) : [],
});

function aimOfNext(next: Newcomer): Aim {
  const { tags = [], robots = [] } = next.rollout.target ?? {};
  return { tags, robots, arches: archesOf(next) };
}

/** True when every robot of one aim is one of the other as well. */
function isWithin(inner: Aim, outer: Aim): boolean {
  // A robot with all tags of the inner one must have all tags of the outer one.
  if (!outer.tags.every((tag) => inner.tags.includes(tag))) return false;
  if (outer.robots.length > 0) {
    const named: ReadonlySet<string> = new Set(outer.robots);
    const isNamed = inner.robots.length > 0 && inner.robots.every((robot) => named.has(robot));
    if (!isNamed) return false;
  }
  const asked: ReadonlySet<string> = new Set(inner.arches);
  return outer.arches.every((arch) => asked.has(arch));
}

const archesOf = ({ rollout, manifest }: Newcomer): string[] =>
  named([manifest.target_arch, rollout.target?.arch]);
const archesAsked = ({ target }: Rollout, manifest: Manifest): string[] =>
  named([manifest.target_arch, target.arch]);
const named = (arches: readonly (string | undefined)[]): string[] =>
  arches
    .filter((arch) => arch !== undefined && arch !== ARCH_ANY)
    .map((arch) => canonicalArch(arch ?? ARCH_ANY));

/**
 * Null when the rollout has nothing left to do that a higher version, or its end, would disturb.
 */
function whyUnfinished(old: Rollout, led: LedStatus | undefined): string | null {
  // Every online robot runs it: only the soak of the last wave is left.
  if (led?.status === 'rolling' && led.settled) return null;
  return whyGoingOn(old, led);
}

/** Null when no controller does more for it than watch, or call robots back. */
export function whyGoingOn(old: Rollout, led: LedStatus | undefined): string | null {
  const status = led?.status;
  // Robots that go back get that order as long as it takes, announced or not.
  if (status === 'complete' || status === 'halted' || status === 'rolling_back') return null;
  if (status === undefined) {
    // No controller leads it, so it is as far as it will ever get.
    return needsController(old) ? 'it is staged and no controller has begun it' : null;
  }
  return status === 'rolling' && led?.settled
    ? 'it is rolling: its last wave soaks'
    : `it is ${status}`;
}

const waysOut = ({ id }: Rollout, isCovered: boolean): string =>
  isCovered
    ? `replace the other rollout with --supersede ${id}, or stand beside it with --alongside`
    : `${id} is for robots that this one is not for: keep it for them with --alongside, or end it for all with --supersede ${id}`;

/**
 * Robots take the highest version that they are offered, so a lower one beside it has no robots.
 */
function drawnUp(old: Rollout, { version }: Manifest, next: Newcomer): DroverError {
  const { id } = old;
  const why = `robots that both are for would keep or take the higher ${version}`;
  return overlap(
    old,
    next,
    why,
    `publish this for every robot that ${id} is for, or end ${id} for all of them with --supersede ${id}`,
  );
}

function notAbove(
  old: Rollout,
  manifest: Manifest,
  next: Newcomer,
  led: LedStatus | undefined,
): DroverError {
  const { version: theirs, payload_sha256: bytes } = manifest;
  const { version, payload_sha256 } = next.manifest;
  if (compareVersions(version, theirs) === 0 && bytes === payload_sha256) {
    const isAlone = next.rollout.set !== undefined && old.set?.id !== next.rollout.set.id;
    const isWider = !isWithin(aimOfNext(next), aimOf(old, manifest));
    const { why, hint } = isAlone
      ? aloneBefore(old.id, theirs, next.rollout.set?.id ?? '')
      : sameAgain(old.id, theirs, { led, isWider });
    return overlap(old, next, why, hint);
  }
  const isSame = compareVersions(version, theirs) === 0;
  const why = isSame
    ? `it has announced ${theirs} already`
    : `this version is older than what that announces (got ${version}, announced ${theirs})`;
  const down = `robots that run ${theirs} refuse an older version; to go down on purpose: drover build --downgrade-from ${theirs} (docs/guide.md)`;
  // Robots that went back from the old one may well take it.
  const back = `${old.id} was stopped: for robots that went back from ${theirs}, replace it with --supersede ${old.id}`;
  const isStopped = led?.status === 'halted' || led?.status === 'rolling_back';
  return overlap(old, next, why, isStopped ? back : down);
}

/** The same release, alone or in another set: robots may wait there for what this set brings. */
const aloneBefore = (id: string, version: string, set: string): { why: string; hint: string } => ({
  why: `it has announced ${version} already, and not in set ${set}`,
  hint: `to give it out in this set, which brings what each bundle requires: add --supersede ${id}, and one for each other bundle of the set that is announced alone`,
});

/**
 * The same release once more: the result depends on how the rollout before it ended.
 * @param more.isWider the new rollout is also for robots that the old one is not for
 */
function sameAgain(
  id: string,
  version: string,
  { led, isWider }: { readonly led: LedStatus | undefined; readonly isWider: boolean },
): { why: string; hint: string } {
  const anew = `--supersede ${id}`;
  const higher = 'build what is mended under a higher version';
  const unblock = `${anew}, and on each robot that has the version blocked: drover-robot unblock ${version}`;
  if (led?.status === 'rolling_back' || (led?.status === 'halted' && led.recall === true)) {
    const state = led.status === 'halted' ? 'was called back' : 'is being called back';
    return {
      why: `it has announced ${version}, and ${state}: who took it has that version blocked`,
      hint: `${higher}; for the same bytes once more: ${unblock}`,
    };
  }
  if (led?.status === 'halted') {
    return {
      why: `it has announced ${version}, and is halted: nobody takes it from there any more`,
      hint: `${higher}; for the same bytes once more: ${unblock}`,
    };
  }
  const why = `it has announced ${version} already`;
  if (led?.status === 'paused') {
    return {
      why: `${why}, and is paused`,
      hint: `to go on: drover rollout resume ${id}; to begin it anew as another rollout: ${anew}`,
    };
  }
  if (led?.status === 'complete' && led.no_effect === true) {
    return {
      why: `${why}, is complete, and no robot runs it`,
      hint: `drover rollout status ${id} says why; to begin it anew as another rollout: ${anew}`,
    };
  }
  const state = led?.status === 'complete' ? ' and is complete' : '';
  if (isWider) {
    return {
      why: `${why}${state}, and is not for all robots that this one is for`,
      hint: `to give it to the others as well, replace ${id}, whose robots keep it: ${anew}`,
    };
  }
  return {
    why: `${why}${state}`,
    hint: `nothing is to be done: drover rollout status ${id}; to begin it anew as another rollout: ${anew}`,
  };
}

function overlap(old: Rollout, { rollout }: Newcomer, why: string, hint: string): DroverError {
  return new DroverError(
    'ROLLOUT_OVERLAP',
    `announce ${rollout.id}: it meets rollout ${old.id} on the same robots: ${why}`,
    { facts: { rollout: rollout.id, other: old.id }, hint },
  );
}
