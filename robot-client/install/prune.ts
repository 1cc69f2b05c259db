/** Removes what is not needed of a root, as prune-plan.ts decides. */

import { failureOf } from '../../shared/base/errors.ts';
import {
  chooseSpare,
  planPrune,
  type FoundEntry,
  type Left,
  type PrunePlan,
  type RootFacts,
} from './prune-plan.ts';
import {
  ADOPTED_SEAL,
  adoptedSealFile,
  keptFolder,
  recipeFile,
  releaseFolder,
  sealFile,
  strategyCopyFile,
  strategyFile,
  type Layout,
} from './layout.ts';
import type { Disk } from './disk-port.ts';
import { followPath, readSlots, siblingLeads } from './read-slots.ts';
import { isSickDisk } from './root-claims.ts';
import type { ReleaseCheck } from './seal.ts';
import { checkRelease } from './seal-check.ts';
import { versionOf, type Slot } from './slots.ts';

/**
 * @param keepStaging path of the staging folder that is needed still
 * @param failed versions that failed here
 * @param held versions in system slots
 * @returns what stays in releases/ although no slot leads to it
 */
export async function pruneReleases(
  disk: Disk,
  layout: Layout,
  keepStaging: string | null,
  failed: readonly string[] = [],
  held: readonly string[] = [],
): Promise<readonly Left[]> {
  const plan = await planWithSpare(disk, layout, { keepStaging, failed, held });
  const stuck: Left[] = [];
  const removed: string[] = [];
  for (const name of plan.releases) {
    const why = await triedToRemove(disk, releaseFolder(layout, name));
    if (why === null) removed.push(name);
    else stuck.push({ name, why });
  }
  // A record must not go before its release: what then came back would count as not Drover's.
  if (removed.length > 0) await disk.syncFolder(layout.releases);
  const isGone = (version: string): boolean => stuck.every(({ name }) => name !== version);
  const gone = new Set([...removed, ...plan.recipes, ...plan.seals].filter(isGone));
  for (const version of gone) await disk.removeTree(keptFolder(layout, version));
  for (const version of gone) await removeStrategy(disk, layout, version);
  for (const one of plan.recipes.filter(isGone)) await disk.unlink(recipeFile(layout, one));
  for (const one of plan.seals.filter(isGone)) await disk.unlink(sealFile(layout, one));
  for (const one of plan.adopted.filter(isGone)) await disk.unlink(adoptedSealFile(layout, one));
  for (const name of plan.staging) await disk.removeTree(`${layout.staging}/${name}`);
  return [...plan.left, ...stuck];
}

/** Says no more how a release of that version was applied. */
export async function removeStrategy(disk: Disk, layout: Layout, version: string): Promise<void> {
  for (const path of [strategyFile(layout, version), strategyCopyFile(layout, version)]) {
    if ((await disk.kind(path)) !== 'absent') await disk.unlink(path);
  }
}

/**
 * A release that cannot be removed (a mount in it, an immutable file) does not stop the others.
 * @returns why it stays; null when it is gone
 * @throws DroverError of a disk that is full, read-only or broken: that concerns all of them
 */
async function triedToRemove(disk: Disk, folder: string): Promise<string | null> {
  const failure = await failureOf(disk.removeTree(folder));
  if (isSickDisk(failure)) throw failure;
  return failure && `it cannot be removed: ${failure.message}`;
}

/**
 * Lists entries of releases/ that are not needed; changes nothing.
 * @param target version that an update is about to swap in: no link leads to it yet
 */
export async function listLeft(
  disk: Disk,
  layout: Layout,
  target: string | null,
  failed: readonly string[] = [],
  held: readonly string[] = [],
): Promise<readonly Left[]> {
  const wanted = { keepStaging: null, failed, held };
  const { left, releases } = await planWithSpare(disk, layout, wanted);
  const unneeded = releases.filter((name) => name !== target);
  return [...left, ...unneeded.map((name) => ({ name, why: 'removed at the next clean-up' }))];
}

interface Wanted {
  readonly keepStaging: string | null;
  readonly failed: readonly string[];
  readonly held: readonly string[];
}

/** Releases are checked only when one of them would be removed. */
async function planWithSpare(
  disk: Disk,
  layout: Layout,
  { keepStaging, failed, held }: Wanted,
): Promise<PrunePlan> {
  const facts = { ...(await readRoot(disk, layout, keepStaging)), held };
  const plan = planPrune(facts);
  if (plan.releases.length === 0) return plan;
  const check = async (version: string, tree: string): Promise<ReleaseCheck['kind']> => {
    const input = { version, tree, mayHash: () => false, known: new Set<string>() };
    return (await checkRelease(disk, layout, input)).kind;
  };
  const lookAt = (slot: Slot): Promise<ReleaseCheck['kind']> =>
    slot.kind === 'release' ? check(slot.version, slot.end.path) : Promise.resolve('absent');
  const { slots } = facts;
  const [active, backThere] = [await lookAt(slots.active), await lookAt(slots.rollback)];
  // A seal of what was adopted says how it was found, and not that it was whole then.
  const isFound = facts.adopted.some((version) => version === versionOf(slots.rollback));
  const rollback = isFound && backThere === 'whole' ? 'unknown' : backThere;
  const whole: string[] = [];
  for (const name of plan.releases) {
    if ((await check(name, releaseFolder(layout, name))) === 'whole') whole.push(name);
  }
  const spare = chooseSpare({ active, rollback, whole, failed });
  return spare === null ? plan : planPrune({ ...facts, spare });
}

/** Makes room at once: removes everything of Drover's in staging/, except what a slot needs. */
export async function clearStaging(disk: Disk, layout: Layout): Promise<void> {
  const { staging } = planPrune(await readRoot(disk, layout, null));
  for (const name of staging) await disk.removeTree(`${layout.staging}/${name}`);
}

async function readRoot(
  disk: Disk,
  layout: Layout,
  keepStaging: string | null,
): Promise<RootFacts> {
  const seals = await disk.list(layout.seals);
  const adopted = seals.filter((name) => name.startsWith(ADOPTED_SEAL));
  return {
    slots: await readSlots(disk, layout),
    siblings: await siblingLeads(disk, layout),
    releases: await entriesOf(disk, layout.releases),
    staging: await entriesOf(disk, layout.staging),
    recipes: await disk.list(layout.bases),
    seals,
    adopted: adopted.map((name) => name.slice(ADOPTED_SEAL.length)),
    keepStaging: keepStaging?.slice(keepStaging.lastIndexOf('/') + 1) ?? null,
  };
}

async function entriesOf(disk: Disk, folder: string): Promise<FoundEntry[]> {
  const { end } = await followPath(disk, folder);
  if (end.kind !== 'there' || end.what !== 'folder') return [];
  const entries: FoundEntry[] = [];
  for (const name of await disk.list(end.path)) {
    const path = `${end.path}/${name}`;
    entries.push({ name, path, kind: await disk.kind(path), id: await disk.identity(path) });
  }
  return entries;
}
