/**
 * Leads `active` to a whole release when the state belongs to a newer drover-robot or to another
 * user. Only the links are read and only `active` is changed: a robot without software is of no
 * use, and the state of its update is left to the program that can read it.
 */

import { performance } from 'node:perf_hooks';
import { LIMITS } from '../../shared/base/limits.ts';
import { freshState } from '../update/state.ts';
import { chooseOlder } from '../update/way-back-plan.ts';
import type { Problem } from '../../shared/base/errors.ts';
import { compareVersions } from '../../shared/base/version.ts';
import { checkSlots } from './boot-checks.ts';
import type { Disk } from '../install/disk-port.ts';
import type { Layout } from '../install/layout.ts';
import { readSlots } from '../install/read-slots.ts';
import type { RecoveryWords } from './recovery-words.ts';
import { planRelink } from './relink.ts';
import { damageProblem, type ReleaseCheck } from '../install/seal.ts';
import { pointSlot, tryBeside } from '../install/slot-links.ts';
import { slotProblem, versionOf, type Slots } from '../install/slots.ts';
import { slotsWith } from '../update/unlinked.ts';
import { ourReleases, wholeReleases } from '../install/whole-releases.ts';

interface ByLinks {
  readonly component: string;
  /** Chosen by a technician; undefined for none. */
  readonly release: string | undefined;
  readonly words: RecoveryWords;
}

/** @throws DroverError when a choice cannot be followed: nothing was changed */
export async function leadByLinks(
  disk: Disk,
  layout: Layout,
  { component, release, words }: ByLinks,
): Promise<void> {
  if (release !== undefined) {
    const on = { component, release, state: freshState(), stateFolders: [] };
    const plan = await planRelink(disk, layout, on);
    if (plan === null || 'ask' in plan) return;
    await lead(disk, layout, release);
    words.actions.push(ledTo(release));
    return;
  }
  const { problem, to, damage } = await findByLinks(disk, layout, words);
  if (problem === null) return;
  const isLed = to !== null && (await words.tried(() => lead(disk, layout, to))) === true;
  if (!isLed) return words.note(problem);
  words.actions.push(`${problem.message} (${problem.code})`, ledTo(to));
  if (damage) words.note(damage);
}

const ledTo = (version: string): string => `led active to ${version}, by the links alone`;

async function lead(disk: Disk, layout: Layout, version: string): Promise<true> {
  await tryBeside(disk, layout, { slot: 'active', version });
  await pointSlot(disk, layout, { slot: 'active', version, mayFollow: true });
  await disk.syncFolder(layout.root);
  return true;
}

interface ByLinksFound {
  /** Why the release that boots is not whole. */
  readonly problem: Problem | null;
  /** The version that `active` is led to instead. */
  readonly to: string | null;
  /** Why that is not whole either: better than nothing, and reported before it boots. */
  readonly damage: Problem | null;
}

async function findByLinks(
  disk: Disk,
  layout: Layout,
  words: RecoveryWords,
): Promise<ByLinksFound> {
  const found = await readSlots(disk, layout);
  const ours = found.active.kind === 'absent' ? await ourReleases(disk, layout) : [];
  const state = { ...freshState(), unlinked: ours };
  const slots = slotsWith(found, state);
  const on = { state, slots: found, isDeep: true, isOnlyLost: false };
  const { active, rollback, said } = await checkSlots(disk, layout, on);
  words.actions.push(...said.sentences);
  if (said.unread) words.say(said.unread);
  const problem = problemOf(slots, active);
  if (problem === null) return { problem, to: null, damage: null };
  const until = performance.now() + LIMITS.recoverHashMs;
  const whole = await wholeReleases(disk, layout, () => performance.now() < until);
  const to = chooseByLinks({ slots, active, rollback, whole });
  const isPoor = to !== null && to === versionOf(slots.rollback) && rollback.kind === 'damaged';
  return { problem, to, damage: isPoor ? damageProblem(to, rollback) : null };
}

function problemOf(slots: Slots, check: ReleaseCheck): Problem | null {
  const { active } = slots;
  if (active.kind === 'foreign') return null; // a person's link, reported by its own code
  if (active.kind !== 'release') return slotProblem(slots);
  return check.kind === 'damaged' ? damageProblem(active.version, check) : null;
}

/**
 * A whole `rollback` first, then the newest whole release, older than the one that ran where that
 * is known. A release that is not known to be whole only when there is no other.
 */
export function chooseByLinks(facts: {
  readonly slots: Slots;
  readonly active: ReleaseCheck;
  readonly rollback: ReleaseCheck;
  readonly whole: readonly string[];
}): string | null {
  const { slots, active, rollback, whole } = facts;
  const back = versionOf(slots.rollback);
  if (back !== null && rollback.kind === 'whole') return back;
  const ran = slots.active.kind === 'lost' ? slots.active.version : versionOf(slots.active);
  const older = ran === null ? null : chooseOlder(whole, { below: ran, failed: [] });
  const [newest] = [...whole].sort((one, other) => compareVersions(other, one));
  const isBetter = rollback.kind === 'unknown' || active.kind === 'absent';
  return older ?? newest ?? (isBetter ? back : null);
}
