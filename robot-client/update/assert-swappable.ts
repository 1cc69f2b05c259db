/**
 * Checks the preconditions of a swap before an application is stopped for it: a link can be made
 * and removed where the swap makes its own, and the staged release is whole. Days may have passed
 * since it was unpacked, and a `stop` hook may have removed more than it should.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { Disk } from '../install/disk-port.ts';
import { releaseFolder, type Layout } from '../install/layout.ts';
import { checkRelease } from '../install/seal-check.ts';
import { prepareSpares } from '../install/state-spare.ts';
import { readSlots } from '../install/read-slots.ts';
import { assertOwnSlots, versionOf, type SlotName, type Slots } from '../install/slots.ts';
import { assertUnshared, besideProblems, tryBeside } from '../install/slot-links.ts';

/** Their own hints say more than that of a swap. */
const SAID_BETTER: readonly string[] = ['DISK_FULL', 'DISK_READ_ONLY'];

/**
 * With nothing in `active` no application is stopped, so no link is tried. One that is lost beside a
 * whole `rollback` has a way back all the same.
 * @returns the current slots
 * @throws DroverError SLOT_… when something that is not Drover's is in a slot, or a slot of another
 *   component leads through one; SWAP_FAILED, DISK_FULL, DISK_READ_ONLY
 */
export async function assertSwappable(disk: Disk, layout: Layout): Promise<Slots> {
  const slots = await readSlots(disk, layout);
  assertOwnSlots(slots);
  await assertUnshared(disk, layout);
  const active = versionOf(slots.active);
  if (active !== null) {
    // A link that a power cut leaves here leads to what runs, and the next swap replaces it.
    for (const slot of ['rollback', 'active'] as const) await tryLink(disk, layout, slot, active);
  }
  if (active !== null || versionOf(slots.rollback) !== null) await keepSpares(disk, layout);
  return slots;
}

/** The states of the trial, and of the way back from it, are written on whatever disk. */
async function keepSpares(disk: Disk, layout: Layout): Promise<void> {
  try {
    await prepareSpares(disk, layout);
  } catch (thrown) {
    throw refusedWrite(layout.state, thrown);
  }
}

async function tryLink(disk: Disk, layout: Layout, slot: SlotName, version: string): Promise<void> {
  try {
    // A swap would find another place. One that was stopped short of it may not.
    const [stranger] = await besideProblems(disk, layout);
    if (stranger) throw stranger;
    await tryBeside(disk, layout, { slot, version });
  } catch (thrown) {
    const { code, message, hint: said } = toProblem(thrown);
    if (code === 'SLOT_SHARED') throw thrown;
    if (SAID_BETTER.includes(code)) throw refusedWrite(layout.root, thrown);
    const todo =
      code === 'NOT_A_FILE'
        ? said
        : `look with lsattr -d and ls -ld at ${layout.root}: links are made and removed in it`;
    const hint = `${todo}; the update is tried again by itself`;
    throw new DroverError('SWAP_FAILED', `try the swap, nothing was stopped: ${message}`, {
      cause: thrown,
      hint,
    });
  }
}

const NONE: ReadonlySet<string> = new Set();

const STAGED_HINT =
  'the version is not to blame: it is removed and unpacked again by itself; find out who changes files under releases/ (a cleaner, a stop hook), and look at the disk (dmesg)';

/**
 * A damaged release is never swapped in. A release without a seal and a recipe passes: an old agent
 * staged it.
 * @param mayHash false: by presence, size and mode alone
 * @throws DroverError RELEASE_DAMAGED
 */
export async function assertStaged(
  disk: Disk,
  layout: Layout,
  { version, mayHash }: { readonly version: string; readonly mayHash: () => boolean },
): Promise<void> {
  const why = await whyNotWhole(disk, layout, { version, mayHash });
  if (why === null) return;
  throw new DroverError('RELEASE_DAMAGED', `swap to ${version}: ${why}`, { hint: STAGED_HINT });
}

/** Null for a release that is whole, or that has no seal and no recipe to tell. */
export async function whyNotWhole(
  disk: Disk,
  layout: Layout,
  { version, mayHash }: { readonly version: string; readonly mayHash: () => boolean },
): Promise<string | null> {
  const tree = releaseFolder(layout, version);
  const found = await checkRelease(disk, layout, { version, tree, mayHash, known: NONE });
  if (found.kind === 'whole' || found.kind === 'unknown') return null;
  return found.kind === 'absent' ? 'it is gone' : `${found.path}: ${found.why}`;
}

/**
 * Names the folder that takes no change instead of the temporary name that was tried.
 * @param thrown by the attempt; anything but a refusal of the disk is returned unchanged
 */
export function refusedWrite(folder: string, thrown: unknown): unknown {
  if (!(thrown instanceof DroverError)) return thrown;
  const { code, message, hint } = thrown;
  const errno = /\b(E[A-Z0-9]+: [^,]+)/.exec(message)?.[1];
  const why = code === 'DISK_READ_ONLY' ? 'the file system is read-only' : errno;
  if (why === undefined) return thrown;
  return new DroverError(code, `write in ${folder}: ${why}`, { cause: thrown, hint });
}

/**
 * Checks that an update can be moved into place: what is staged becomes a release by one rename,
 * which works within one file system only. Asked at the start, not after a download.
 * @throws DroverError ROOT_SPLIT (names the folder)
 */
export async function assertOneFilesystem(disk: Disk, layout: Layout): Promise<void> {
  const { root, staging, releases, bases, seals } = layout;
  for (const folder of [releases, bases, seals]) {
    if (await disk.canRename(staging, folder)) continue;
    throw new DroverError(
      'ROOT_SPLIT',
      `check ${root}: a staged release cannot be renamed into ${folder}: another file system`,
    );
  }
}

/** Null when an update can be moved into place. */
export async function splitProblem(at: { disk: Disk; layout: Layout }): Promise<Problem | null> {
  try {
    await assertOneFilesystem(at.disk, at.layout);
    return null;
  } catch (thrown) {
    return toProblem(thrown);
  }
}
