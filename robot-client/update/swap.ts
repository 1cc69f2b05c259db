/**
 * Stages swap and rollback: which release boots. The one instant that matters is a rename(2) of a
 * link over `active`; everything before it is prepared and fsynced, everything after it can be
 * repeated. Each method may be cut at any operation and called again.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { shellWord } from '../../shared/base/printable.ts';
import { isOfDelta, recipeFile, releaseFolder, sealFile, type Layout } from '../install/layout.ts';
import { inWords, type Disk } from '../install/disk-port.ts';
import {
  assertOwnActive,
  assertOwnSlots,
  isInUse,
  isUnknown,
  leadsThrough,
  versionOf,
  type Slot,
} from '../install/slots.ts';
import { followPath, readSlots, siblingLeads } from '../install/read-slots.ts';
import { isSameTree } from '../install/seal-file.ts';
import { besideFor, leadBack, leadsOver, pointSlot, removeLink } from '../install/slot-links.ts';
import { isOther, keepsRollback, type WayBack } from './way-back-plan.ts';

/** A release that is unpacked and fsynced, with the recipe of its tar when it has one. */
export interface StagedRelease {
  readonly tree: string;
  readonly version: string;
  readonly recipe?: string | null;
}

/**
 * Turns a fully fsynced tree into a release by one rename. A leftover of the same version (a failed
 * one that is installed again) is removed first, when Drover made it and no slot leads to it. The
 * records are written before the release: after a power cut they mark it as Drover's.
 * @throws DroverError RELEASE_IN_THE_WAY, SLOT_…, SWAP_FAILED
 */
export async function admitRelease(
  disk: Disk,
  layout: Layout,
  staged: StagedRelease,
): Promise<void> {
  const release = releaseFolder(layout, staged.version);
  if ((await disk.kind(staged.tree)) === 'absent') {
    if ((await disk.kind(release)) === 'folder') return; // done before a power cut
    throw new DroverError(
      'SWAP_FAILED',
      `admit release ${staged.version}: the staged tree is gone`,
    );
  }
  await assertAdmissible(disk, layout, staged.version);
  if (staged.recipe) await keepRecipe(disk, staged.recipe, { layout, version: staged.version });
  if ((await disk.kind(release)) !== 'absent') await disk.removeTree(release);
  await disk.rename(staged.tree, release);
  await disk.syncFolder(layout.releases);
}

const UNREAD_SIBLING =
  'may be what a slot of another component leads to, which cannot be looked at now';

/**
 * Checks that nothing occupies the place of the release that must not be removed. A folder without
 * records that holds the same files as the staged tree is taken over.
 * @param staged tree of the release; null before there is one, when such a folder is compared later
 * @throws DroverError RELEASE_IN_THE_WAY, SLOT_…
 */
export async function assertAdmissible(
  disk: Disk,
  layout: Layout,
  version: string,
  staged?: string | null,
): Promise<void> {
  const slots = await readSlots(disk, layout);
  assertOwnSlots(slots);
  const release = releaseFolder(layout, version);
  const kind = await disk.kind(release);
  if (kind === 'absent') return;
  const no = (why: string): DroverError =>
    new DroverError('RELEASE_IN_THE_WAY', `admit release ${version}: ${release} ${why}`);
  if (kind !== 'folder') throw no(`is ${inWords(kind)}, which Drover did not make`);
  const { end } = await followPath(disk, release);
  if (end.kind !== 'there' || isInUse(slots, end.path, end.id)) throw no('is what a slot leads to');
  for (const lead of await siblingLeads(disk, layout)) {
    if (lead && !leadsThrough(lead, end.path, end.id)) continue;
    throw no(lead ? 'is what a slot of another component leads to' : UNREAD_SIBLING);
  }
  const records = [recipeFile(layout, version), sealFile(layout, version)];
  for (const record of records) if ((await disk.kind(record)) === 'file') return;
  if (staged === null) return;
  if (staged !== undefined && (await isSameTree(disk, staged, release))) return;
  const { message } = no(
    'is there already, differs from the bundle, and no record says who made it',
  );
  const aside = shellWord(`${layout.root}/${version}.aside`);
  const hint = `move it away: mv ${shellWord(release)} ${aside}; the update is tried again by itself, at once with drover-robot retry`;
  throw new DroverError('RELEASE_IN_THE_WAY', message, { hint });
}

/** Moves the recipe of a release, complete and synced, to its place. */
async function keepRecipe(
  disk: Disk,
  recipe: string,
  { layout, version }: { layout: Layout; version: string },
): Promise<void> {
  await disk.mkdir(layout.bases); // made at the start; a person may have removed it since
  await disk.rename(recipe, recipeFile(layout, version));
  await disk.syncFolder(layout.bases);
}

/** Everything in a staging folder that belongs to a delta. */
export async function removePatches(disk: Disk, folder: string): Promise<void> {
  const names = await disk.list(folder);
  for (const name of names.filter(isOfDelta)) await disk.unlink(`${folder}/${name}`);
}

/**
 * The swap: `active` leads to `version`, `rollback` to the former active release. When `rollback`
 * is already the way back of the job, it stays. The link of `rollback` is Drover's own then, and
 * durable: going back is one rename of it.
 * @param to.isBooted the boot loader has switched already, so the links follow it on a disk without
 *   inodes as well; any other swap leaves the spare files to the way back
 * @throws DroverError SLOT_… when something that is not Drover's is in a slot, SWAP_FAILED
 */
export async function swapTo(
  disk: Disk,
  layout: Layout,
  to: { readonly version: string; readonly isBooted?: boolean } & Partial<WayBack>,
): Promise<void> {
  const { version, previousVersion = null, isBooted = false } = to;
  const isForward = !isBooted;
  const missing = await whyNoRelease(disk, layout, version);
  if (missing) throw new DroverError('SWAP_FAILED', `swap to ${version}: ${missing}`);
  const slots = await readSlots(disk, layout);
  const active = versionOf(slots.active);
  if (active === version) return;
  // When nothing runs, `rollback` is not changed, whatever it is.
  if (active === null) assertOwnActive(slots);
  else assertOwnSlots(slots);
  // Before anything is changed: an `active` that cannot be led on must not cost the way back.
  await besideFor(disk, layout, layout.active);
  const stays = keepsRollback(slots, previousVersion);
  const isReady = stays && slots.rollback.kind === 'release' && slots.rollback.isOurs;
  if (active !== null && !isReady) {
    const back = stays && previousVersion !== null ? previousVersion : active;
    await pointSlot(disk, layout, { slot: 'rollback', version: back, isForward });
    await disk.syncFolder(layout.root);
  }
  await pointSlot(disk, layout, { slot: 'active', version, isForward });
  await disk.syncFolder(layout.root);
}

interface Undone {
  readonly version: string;
  readonly leftVersion?: string | null;
  readonly previous: string | null;
}

/** Null when the release is there. */
async function whyNoRelease(disk: Disk, layout: Layout, version: string): Promise<string | null> {
  const { end } = await followPath(disk, releaseFolder(layout, version));
  if (end.kind === 'unreadable') return end.why;
  return end.kind === 'there' && end.what === 'folder' ? null : 'no such release';
}

/**
 * Leads `active` from `version` back to `previous`; with none, to nothing, as before a first
 * install. When `active` leads to neither `version` nor the release left for it, it stays as it is:
 * the version to undo does not run.
 * @returns why `rollback` stays although it leads to the active release; null when it does not
 * @throws DroverError ROLLBACK_FAILED, SLOT_SHARED
 */
export async function swapBack(disk: Disk, layout: Layout, job: Undone): Promise<Problem | null> {
  const { version, previous } = job;
  const slots = await readSlots(disk, layout);
  const { active } = slots;
  if (active.kind === 'foreign' && isUnknown(active)) {
    throw new DroverError('ROLLBACK_FAILED', active.problem.message);
  }
  if (previous === null) {
    await removeActive(disk, layout, { active, version });
  } else if (active.kind !== 'foreign' && !isOther(versionOf(active), job)) {
    const missing = await whyNoRelease(disk, layout, previous);
    if (missing) throw new DroverError('ROLLBACK_FAILED', `roll back to ${previous}: ${missing}`);
    await leadBack(disk, layout, previous);
  }
  const kept = await removeSameRollback(disk, layout);
  await disk.syncFolder(layout.root);
  return kept;
}

/**
 * `active` leads to `previous`, which is whole while what `active` led to is not.
 * @returns as `swapBack`
 * @throws DroverError SLOT_… when `active` is not Drover's, ROLLBACK_FAILED
 */
export async function goBack(
  disk: Disk,
  layout: Layout,
  previous: string,
): Promise<Problem | null> {
  assertOwnActive(await readSlots(disk, layout));
  const missing = await whyNoRelease(disk, layout, previous);
  if (missing) throw new DroverError('ROLLBACK_FAILED', `go back to ${previous}: ${missing}`);
  await leadBack(disk, layout, previous);
  const kept = await removeSameRollback(disk, layout);
  await disk.syncFolder(layout.root);
  return kept;
}

/** A way back to what runs is none: without it a report does not promise one. */
export async function removeSameRollback(disk: Disk, layout: Layout): Promise<Problem | null> {
  const { active, rollback } = await readSlots(disk, layout);
  const isSame = versionOf(active) !== null && versionOf(active) === versionOf(rollback);
  if (!isSame || rollback.kind !== 'release' || !rollback.isOurs) return null;
  try {
    await removeLink(disk, layout, layout.rollback);
    return null;
  } catch (thrown) {
    if (!(thrown instanceof DroverError) || thrown.code !== 'SLOT_SHARED') throw thrown;
    return toProblem(thrown);
  }
}

/** A rollback to nothing removes the link that Drover made to that version, and no other. */
async function removeActive(
  disk: Disk,
  layout: Layout,
  { active, version }: { active: Slot; version: string },
): Promise<void> {
  if (active.kind === 'lost' && active.version === version) await disk.unlink(layout.active);
  if (active.kind !== 'release' || active.version !== version) return;
  const no = (why: string): DroverError =>
    new DroverError('ROLLBACK_FAILED', `roll back from ${version} to nothing: ${why}`);
  if (!active.isOurs) throw no('active is a link that Drover did not make');
  const [lead] = await leadsOver(disk, layout, layout.active);
  if (lead) throw no(`${lead.path} leads through active`);
  await disk.unlink(layout.active);
}
