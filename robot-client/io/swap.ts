/**
 * Stages swap and rollback: which release boots. The one instant that matters is a rename(2) of a
 * link over `active`; everything before it is prepared and fsynced, everything after it can be
 * repeated. Each method may be cut at any operation and called again.
 */

import { DroverError } from '../../shared/errors.ts';
import {
  isOfDelta,
  linkTarget,
  recipeFile,
  releaseFolder,
  versionOfLink,
  type Layout,
} from '../core/layout.ts';
import type { Disk } from '../core/ports.ts';

export interface Slots {
  readonly active: string | null;
  readonly rollback: string | null;
}

export async function readSlots(disk: Disk, layout: Layout): Promise<Slots> {
  const read = async (link: string): Promise<string | null> => {
    const version = versionOfLink(await disk.readlink(link));
    if (version === null) return null;
    return (await disk.kind(releaseFolder(layout, version))) === 'folder' ? version : null;
  };
  return { active: await read(layout.active), rollback: await read(layout.rollback) };
}

/** Makes what is missing of a root, durably: a release in a root that is lost is lost as well. */
export async function prepareLayout(disk: Disk, layout: Layout): Promise<void> {
  await makeRoot(disk, layout);
  const { root, releases, staging, bases, state } = layout;
  for (const folder of [root, releases, staging, bases, state]) await disk.mkdir(folder);
  // A process that was killed leaves names that are seen and not durable yet: before anything is
  // built on them they are made so. The folders below come first: what is about to leave the root
  // must have arrived there.
  for (const folder of [layout.releases, layout.state, layout.root]) await disk.syncFolder(folder);
}

/** `state` is made only in a durable root, so where it is there is nothing to do. */
export async function makeRoot(disk: Disk, layout: Layout): Promise<void> {
  if ((await disk.kind(layout.state)) === 'folder') return;
  const made = [layout.root];
  for (let above = folderAbove(layout.root); (await disk.kind(above)) === 'absent';) {
    made.push(above);
    above = folderAbove(above);
  }
  await disk.mkdir(layout.root);
  for (const folder of made) {
    try {
      await disk.syncFolder(folderAbove(folder));
    } catch (thrown) {
      // A folder that may not be opened (/home is often 0711) belongs to whoever made the root in
      // it.
      if (!(thrown instanceof DroverError)) throw thrown;
    }
  }
}

function folderAbove(path: string): string {
  const cut = path.lastIndexOf('/');
  if (cut < 0) return '.';
  return cut === 0 ? '/' : path.slice(0, cut);
}

/**
 * A fully fsynced tree becomes a release by one rename. A leftover of the same version (a failed
 * one that is installed again) moves aside first; the running one is never touched.
 */
export async function admitRelease(
  disk: Disk,
  layout: Layout,
  staged: { tree: string; version: string },
): Promise<void> {
  const release = releaseFolder(layout, staged.version);
  if ((await disk.kind(staged.tree)) === 'absent') {
    if ((await disk.kind(release)) === 'folder') return; // done before a power cut
    throw new DroverError(
      'SWAP_FAILED',
      `admit release ${staged.version}: the staged tree is gone`,
    );
  }
  const { active } = await readSlots(disk, layout);
  if (active === staged.version) {
    throw new DroverError('SWAP_FAILED', `admit release ${staged.version}: it is the active one`);
  }
  if ((await disk.kind(release)) !== 'absent') await disk.removeTree(release);
  await disk.rename(staged.tree, release);
  await disk.syncFolder(layout.releases);
}

/** The recipe of an admitted release, whole and synced, goes to its place. */
export async function keepRecipe(
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

/** `active` leads to `version`, `rollback` to what was active. The swap. */
export async function swapTo(disk: Disk, layout: Layout, version: string): Promise<void> {
  const release = releaseFolder(layout, version);
  if ((await disk.kind(release)) !== 'folder') {
    throw new DroverError('SWAP_FAILED', `swap to ${version}: no such release`);
  }
  const { active } = await readSlots(disk, layout);
  if (active === version) return;
  if (active !== null) {
    await pointLink(disk, layout.rollback, linkTarget(active));
    await disk.syncFolder(layout.root);
  }
  await pointLink(disk, layout.active, linkTarget(version));
  await disk.syncFolder(layout.root);
}

/** Back to `previous`; with none, back to nothing active, as before a first install. */
export async function swapBack(disk: Disk, layout: Layout, previous: string | null): Promise<void> {
  if (previous === null) {
    await disk.unlink(layout.active);
  } else {
    if ((await disk.kind(releaseFolder(layout, previous))) !== 'folder') {
      throw new DroverError('ROLLBACK_FAILED', `roll back to ${previous}: no such release`);
    }
    if (versionOfLink(await disk.readlink(layout.active)) !== previous) {
      await pointLink(disk, layout.active, linkTarget(previous));
    }
  }
  if (versionOfLink(await disk.readlink(layout.rollback)) === previous) {
    await disk.unlink(layout.rollback);
  }
  await disk.syncFolder(layout.root);
}

/** A link appears whole or not at all: made beside, then renamed over. */
async function pointLink(disk: Disk, link: string, target: string): Promise<void> {
  const beside = `${link}.new`;
  await disk.unlink(beside);
  await disk.symlink(target, beside);
  await disk.rename(beside, link);
}

/** Removes every release but those two links lead to, with its recipe, and all of staging but
 * `keepStaging`. */
export async function pruneReleases(
  disk: Disk,
  layout: Layout,
  keepStaging: string | null,
): Promise<void> {
  const slots = await readSlots(disk, layout);
  for (const version of await disk.list(layout.releases)) {
    if (version !== slots.active && version !== slots.rollback) {
      await disk.removeTree(releaseFolder(layout, version));
    }
  }
  for (const version of await disk.list(layout.bases)) {
    if (version !== slots.active && version !== slots.rollback) {
      await disk.unlink(recipeFile(layout, version));
    }
  }
  for (const name of await disk.list(layout.staging)) {
    const path = `${layout.staging}/${name}`;
    if (path !== keepStaging) await disk.removeTree(path);
  }
}
