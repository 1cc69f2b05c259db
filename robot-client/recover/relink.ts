/**
 * Links a release again in a root whose links are gone: the one that is whole, the one that other
 * files name, or the one that a technician chose. update/unlinked.ts decides.
 */

import { performance } from 'node:perf_hooks';
import { DroverError, nullIfFailed, toProblem, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { parseUsage, stintsOf } from '../fleet/usage.ts';
import { MENDED_HINT } from '../update/lost-state.ts';
import {
  expectedOf,
  failedOf,
  isLostJob,
  parseMachineState,
  type MachineState,
} from '../update/state.ts';
import { chooseConfirmed, chooseOlder } from '../update/way-back-plan.ts';
import type { Disk } from '../install/disk-port.ts';
import { releaseFolder, type Layout } from '../install/layout.ts';
import { readSlots } from '../install/read-slots.ts';
import { checkRelease } from '../install/seal-check.ts';
import { removeSameRollback } from '../update/swap.ts';
import { pointSlot, removeLink } from '../install/slot-links.ts';
import { assertOwnActive, versionOf, type Slot, type Slots } from '../install/slots.ts';
import { askWhich, chooseUnlinked, isUnlinked, leadsNowhere } from '../update/unlinked.ts';
import { isWholeRelease, wholeReleases } from '../install/whole-releases.ts';

export interface RelinkInput {
  readonly component: string;
  readonly state: MachineState;
  /** Chosen by a technician; undefined for none. */
  readonly release?: string | undefined;
  /** State folders of the robot: `usage.json` in one of them names the version that ran. */
  readonly stateFolders: readonly string[];
}

export interface Relink {
  readonly version: string;
  /** Whole, and confirmed here or older; null when there is none. */
  readonly previous: string | null;
  /** Not whole: `active` led to it until a technician chose another; null when it led to none. */
  readonly left: string | null;
}

/**
 * @returns null when there is nothing to link; a problem when a person has to choose
 * @throws DroverError USAGE, RELEASE_DAMAGED, SLOT_… for a choice that cannot be followed
 */
export async function planRelink(
  disk: Disk,
  layout: Layout,
  input: RelinkInput,
): Promise<Relink | { readonly ask: Problem } | null> {
  const slots = await readSlots(disk, layout);
  const { release, state } = input;
  if (release === undefined && !isUnlinked(slots, state)) return null;
  const until = performance.now() + LIMITS.recoverHashMs;
  const whole = await wholeReleases(disk, layout, () => performance.now() < until);
  if (release !== undefined) {
    if (versionOf(slots.active) === release) return null;
    const mayHash = (): boolean => performance.now() < until;
    await assertMayChoose(disk, layout, { slots, whole, release, mayHash });
  }
  const named = release === undefined ? await namesOf(disk, layout, input) : [];
  const version = release ?? chooseUnlinked({ whole, named });
  if (version === null) return whole.length > 1 ? { ask: askWhich(whole) } : null;
  const back = versionOf(slots.rollback);
  const left = versionOf(slots.active);
  const older = chooseOlder(whole, { below: version, failed: failedOf(state) });
  const other = back !== null && back !== version ? back : older;
  const previous = chooseConfirmed(whole, state, [version, left]) ?? other;
  return { version, previous, left };
}

/**
 * Plans a link for the release that is on probation and has none. A release that `recover` linked
 * is linked again; one that an update installed only when there is no whole one to go back to.
 * @returns null when there is nothing to link
 */
export async function planOnTrial(
  disk: Disk,
  layout: Layout,
  { phase, job }: MachineState,
): Promise<Relink | null> {
  if (phase !== 'probation' || !job) return null;
  const { active, rollback } = await readSlots(disk, layout);
  if (!leadsNowhere(active)) return null;
  const until = performance.now() + LIMITS.recoverHashMs;
  const isWhole = async (version: string | null): Promise<boolean> =>
    version !== null &&
    (await isWholeRelease(disk, layout, version, () => performance.now() < until));
  const { version, previousVersion } = job;
  if (!(await isWhole(version))) return null;
  const hasPrevious = await isWhole(previousVersion);
  const hasWayBack = hasPrevious || (await isWhole(versionOf(rollback)));
  if (hasWayBack && !isLostJob(job)) return null;
  return { version, previous: hasPrevious ? previousVersion : null, left: null };
}

export function linkedAgain(version: string): Problem {
  const message = `read active: the link is gone; it leads to ${version} again, which is on probation`;
  return toProblem(new DroverError('RELEASE_LOST', message, { hint: MENDED_HINT }));
}

async function assertMayChoose(
  disk: Disk,
  layout: Layout,
  on: { slots: Slots; whole: readonly string[]; release: string; mayHash: () => boolean },
): Promise<void> {
  const { slots, whole, release, mayHash } = on;
  assertOwnActive(slots);
  await assertNotTakenAway(disk, layout, { active: slots.active, release, mayHash });
  const tree = releaseFolder(layout, release);
  const look = { version: release, tree, mayHash: () => true, known: new Set<string>() };
  const found = await checkRelease(disk, layout, look);
  if (found.kind === 'absent') {
    const there = whole.length > 0 ? `whole are ${whole.join(', ')}` : 'none is whole';
    const hint = 'name one that is whole; where none is, publish a version';
    const why = `link ${release}: there is no such release (${there})`;
    throw new DroverError('USAGE', why, { hint });
  }
  if (found.kind === 'damaged') {
    throw new DroverError('RELEASE_DAMAGED', `link ${release}: ${found.path}: ${found.why}`);
  }
}

/** Anything that is not known to be damaged stays: it may be a link to another disk, or a copy. */
async function assertNotTakenAway(
  disk: Disk,
  layout: Layout,
  { active, release, mayHash }: { active: Slot; release: string; mayHash: () => boolean },
): Promise<void> {
  if (active.kind !== 'release') return;
  const { version, end } = active;
  const look = { version, tree: end.path, mayHash, known: new Set<string>() };
  const found = await checkRelease(disk, layout, look);
  if (found.kind === 'damaged' || found.kind === 'absent') return;
  const is = found.kind === 'whole' ? 'is whole' : 'is not known to be damaged';
  const hint = `nothing has to be linked; another version runs when it is published`;
  const why = `link ${release}: active leads to ${version}, which ${is}`;
  throw new DroverError('USAGE', why, { hint });
}

/** Versions that other files name as the one that ran here, the most certain first. */
async function namesOf(
  disk: Disk,
  layout: Layout,
  { component, stateFolders, state }: RelinkInput,
): Promise<string[]> {
  const names: (string | null)[] = [state.job?.version ?? null];
  const unfinished = await parsed(disk, `${layout.machineFile}.new`, parseMachineState);
  if (unfinished) names.push(expectedOf(unfinished));
  for (const folder of new Set([layout.state, ...stateFolders])) {
    const usage = await parsed(disk, `${folder}/usage.json`, parseUsage);
    if (usage) names.push(...stintsOf(usage, component).map(({ version }) => version));
  }
  return names.filter((name) => name !== null);
}

async function parsed<T>(
  disk: Disk,
  path: string,
  parse: (bytes: Uint8Array) => T,
): Promise<T | null> {
  return await nullIfFailed(
    (async () => {
      const bytes = await disk.readFile(path, LIMITS.manifestBytesMax * 4);
      return bytes && parse(bytes);
    })(),
  );
}

/** `active` first: a robot that boots comes before one that can go back. */
export async function linkAgain(
  disk: Disk,
  layout: Layout,
  { version, previous }: Relink,
): Promise<void> {
  await pointSlot(disk, layout, { slot: 'active', version, mayFollow: true });
  await removeSameRollback(disk, layout);
  const { rollback } = await readSlots(disk, layout);
  // No clean-up removes the way back while the health of the linked release is unknown.
  if (previous !== null && rollback.kind === 'release' && rollback.version !== previous) {
    await pointSlot(disk, layout, { slot: 'rollback', version: previous });
  }
  await linkBack(disk, layout, previous);
}

/** Leads `rollback` to that release, when it leads to none. */
async function linkBack(disk: Disk, layout: Layout, previous: string | null): Promise<void> {
  const { rollback } = await readSlots(disk, layout);
  if (previous !== null && leadsNowhere(rollback)) {
    await pointSlot(disk, layout, { slot: 'rollback', version: previous });
  }
  await disk.syncFolder(layout.root);
}

/**
 * After `active` was linked again to the installed release: with `rollback` gone as well, the way
 * back is the version in the state, or the newest whole release that is older. No clean-up removes
 * it then.
 */
export async function linkBeside(
  disk: Disk,
  layout: Layout,
  state: MachineState,
  version: string,
): Promise<void> {
  const whole = await wholeReleases(disk, layout);
  const { installed } = state;
  const before = installed?.version === version ? installed.previousVersion : null;
  const isBefore = before !== null && before !== version && whole.includes(before);
  const older = chooseOlder(whole, { below: version, failed: failedOf(state) });
  await linkBack(disk, layout, isBefore ? before : older);
}

/**
 * Leads a `rollback` whose release is gone to an older whole one, or removes it: it promises a way
 * back that does not exist.
 * @returns the action; null when there was nothing to do
 */
export async function mendRollback(
  disk: Disk,
  layout: Layout,
  state: MachineState,
): Promise<string | null> {
  const { active, rollback } = await readSlots(disk, layout);
  if (active.kind !== 'release' || rollback.kind !== 'lost') return null;
  const whole = await wholeReleases(disk, layout);
  const older = chooseOlder(whole, { below: active.version, failed: failedOf(state) });
  if (older === null) await removeLink(disk, layout, layout.rollback);
  await linkBack(disk, layout, older);
  const was = `the release of rollback, ${rollback.version ?? 'of unknown version'}, is gone`;
  return older === null
    ? `${was}: there is no way back until the next version`
    : `${was}: it leads to ${older} now`;
}
