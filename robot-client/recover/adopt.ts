/**
 * Makes releases of plain folders at `active` and `rollback`, as robots have before Drover. Every
 * step is tried out first, and before that succeeded nothing moves: on a file system without links,
 * or a full one, or with a folder that cannot be moved, `active` stays as it is.
 * Moving the folder and setting the link are two steps; the intent is written first, so that
 * `recover` can finish the second after a power cut between them.
 */

import { z } from 'zod';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { shellWord } from '../../shared/base/printable.ts';
import { parseDocument, versionSchema } from '../../shared/formats/schema.ts';
import { planFirstStart } from './adoption.ts';
import { linkTarget, recipeFile, releaseFolder, sealFile, type Layout } from '../install/layout.ts';
import type { Disk } from '../install/disk-port.ts';
import type { SlotName } from '../install/slots.ts';
import { freshState } from '../update/state.ts';
import { copyDurably, isCrossDevice, removeCopied } from '../install/copy-tree.ts';
import { readSlots } from '../install/read-slots.ts';
import { sealAdopted } from '../install/seal-file.ts';
import { removeLink, takeLink } from '../install/slot-links.ts';
import { writeMachineState } from '../update/state-file.ts';
import { readOrSetAside, writeWhole } from '../install/small-file.ts';

const intentSchema = z.object({
  /** Version for the folder at `active`; null when only `rollback` is one. */
  version: versionSchema.nullable(),
  rollbackVersion: versionSchema.nullable().default(null),
  /** Slots whose folder was copied to releases/: the rest of the original may be removed. */
  copied: z.array(z.enum(['active', 'rollback'])).default([]),
});
type Intent = z.output<typeof intentSchema>;

const KIND = {
  what: 'adopting.json',
  schema: intentSchema,
  bytesMax: LIMITS.reportBytesMax,
  code: 'STATE_CORRUPT',
} as const;

export interface Adoption {
  /** New version of the folder at `active`; null when nothing was adopted. */
  readonly adopted: string | null;
  /** Why a folder was left as it is, or what was wrong with an intent. */
  readonly problem: Problem | null;
}

/**
 * Finishes an interrupted adoption, or begins one on a root from before Drover. A problem is
 * returned and not thrown: the robot keeps running.
 */
export async function adoptActiveFolder(
  disk: Disk,
  layout: Layout,
  version: string,
): Promise<Adoption> {
  const parse = (bytes: Uint8Array): Intent => parseDocument(KIND, bytes);
  const { value: begun, problem } = await readOrSetAside(disk, layout.adoptFile, parse);
  const stranger = begun && (await strangerIn(disk, layout, begun));
  if (begun && stranger) return await dropIntent(disk, layout, { intent: begun, stranger });
  if (begun) return orProblem(() => finish(disk, layout, begun));
  if (problem) await takeReadyLink(disk, layout);
  const plan = planFirstStart(
    await readSlots(disk, layout),
    await disk.list(layout.releases),
    version,
  );
  if (plan === null) return { adopted: null, problem };
  return orProblem(() => adoptFolders(disk, layout, plan));
}

/**
 * An intent from another root, or from a backup, may name a release that Drover installed: then it
 * is not from an adoption of this root. Null when there is none.
 */
async function strangerIn(disk: Disk, layout: Layout, intent: Intent): Promise<string | null> {
  for (const { version } of targetsOf(intent)) {
    for (const record of [recipeFile(layout, version), sealFile(layout, version)]) {
      if ((await disk.kind(record)) !== 'absent') return version;
    }
  }
  return null;
}

async function dropIntent(
  disk: Disk,
  layout: Layout,
  { intent, stranger }: { intent: Intent; stranger: string },
): Promise<Adoption> {
  for (const { slot, version } of targetsOf(intent)) {
    const ready = `${layout[slot]}.new`;
    if ((await disk.readlink(ready)) === linkTarget(version)) {
      await removeLink(disk, layout, ready);
    }
  }
  await disk.unlink(layout.adoptFile);
  const message = `read adopting.json: release ${stranger} was installed, not adopted: it is of another root or time`;
  return { adopted: null, problem: toProblem(new DroverError('STATE_CORRUPT', message)) };
}

async function orProblem(run: () => Promise<string | null>): Promise<Adoption> {
  try {
    return { adopted: await run(), problem: null };
  } catch (thrown) {
    if (!(thrown instanceof DroverError)) throw thrown;
    const code = thrown.code === 'DISK_FULL' ? 'DISK_FULL' : 'ADOPT_IMPOSSIBLE';
    const hint = thrown.code === code ? { hint: thrown.hint } : {};
    return { adopted: null, problem: toProblem(new DroverError(code, thrown.message, hint)) };
  }
}

/**
 * Adopts the plain folders at the slots; `rollbackVersion` is null when rollback is none.
 * @returns the version of the folder at `active`
 * @throws DroverError when a precondition fails; then nothing has moved
 */
export async function adoptFolders(
  disk: Disk,
  layout: Layout,
  plan: { readonly version: string | null; readonly rollbackVersion: string | null },
): Promise<string | null> {
  const intent: Intent = { ...plan, copied: [] };
  await tryOut(disk, layout, intent);
  // A robot that never had a state has not lost one: it is written before there are slots.
  if ((await disk.kind(layout.machineFile)) === 'absent') {
    await writeMachineState(disk, layout, freshState());
  }
  await writeIntent(disk, layout, intent);
  return finish(disk, layout, intent);
}

/** A disk without links, such as one with FAT, cannot hold an adopted root. */
async function orImpossible(run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (thrown) {
    if (!(thrown instanceof DroverError)) throw thrown;
    if (!['DISK_WRITE_FAILED', 'PERMISSION_DENIED'].includes(thrown.code)) throw thrown;
    throw new DroverError('ADOPT_IMPOSSIBLE', thrown.message, { cause: thrown });
  }
}

/**
 * A mount moves with its folder: it would move into a release and end with it, and an application
 * that finds its data at `active/data` would find none there after the next update.
 * @throws DroverError ADOPT_IMPOSSIBLE (names the place)
 */
export async function assertNothingMounted(disk: Disk, what: string, folder: string) {
  const [point] = await disk.mountsIn(folder);
  if (point === undefined) return;
  throw new DroverError('ADOPT_IMPOSSIBLE', `adopt ${what}: something is mounted at ${point}`, {
    hint: `unmount it (umount ${shellWord(point)}), or mount it outside of the folder; then: drover-robot adopt`,
  });
}

/**
 * Checks without creating anything.
 * @throws DroverError ADOPT_IMPOSSIBLE, DISK_FULL
 */
export async function assertMovable(
  disk: Disk,
  layout: Layout,
  slots: readonly SlotName[],
): Promise<void> {
  for (const slot of slots) await assertNothingMounted(disk, slot, layout[slot]);
  const { bytes, inodes } = await disk.free(layout.root);
  const isShort = inodes !== null && inodes < LIMITS.adoptInodesMin;
  if (isShort || bytes < LIMITS.adoptBytesMin) {
    const got = isShort ? `${inodes} inodes` : `${bytes} bytes`;
    throw new DroverError('DISK_FULL', `adopt ${layout.root}: no room to do it safely (${got})`);
  }
}

/** Creates the links beside the slots, where they stay: afterwards nothing has to be created. */
async function tryOut(disk: Disk, layout: Layout, intent: Intent): Promise<void> {
  const slots = targetsOf(intent).map(({ slot }) => slot);
  await assertMovable(disk, layout, slots);
  const made: string[] = [];
  try {
    for (const { slot, version } of targetsOf(intent)) {
      if ((await disk.kind(releaseFolder(layout, version))) !== 'absent') {
        const release = `releases/${version}`;
        throw new DroverError('ADOPT_IMPOSSIBLE', `adopt ${slot}: ${release} is there already`);
      }
      const [trial, ready] = [`${layout[slot]}.trial`, `${layout[slot]}.new`];
      for (const path of [trial, ready]) await removeLink(disk, layout, path);
      made.push(trial, ready);
      await orImpossible(async () => {
        await disk.symlink(linkTarget(version), trial);
        await disk.rename(trial, ready);
      });
    }
    await disk.syncFolder(layout.root);
  } catch (thrown) {
    for (const path of made) await disk.unlink(path);
    throw thrown;
  }
}

function targetsOf(intent: Intent): { slot: SlotName; version: string }[] {
  const { version, rollbackVersion } = intent;
  const targets: { slot: SlotName; version: string }[] = [];
  if (rollbackVersion !== null) targets.push({ slot: 'rollback', version: rollbackVersion });
  if (version !== null) targets.push({ slot: 'active', version });
  return targets;
}

async function writeIntent(disk: Disk, layout: Layout, intent: Intent): Promise<void> {
  await writeWhole(disk, layout.adoptFile, new TextEncoder().encode(JSON.stringify(intent)));
}

/** @returns the version that `active` leads to now; null when there was nothing left to do */
async function finish(disk: Disk, layout: Layout, intent: Intent): Promise<string | null> {
  let isDone = false;
  try {
    for (const target of targetsOf(intent)) {
      const { slot } = target;
      if ((await disk.kind(layout[slot])) === 'folder') {
        await moveFolder(disk, layout, { ...target, intent });
        await disk.syncFolder(layout.releases);
      }
      const isLinked = await setLink(disk, layout, target);
      isDone ||= slot === 'active' && isLinked;
      await disk.syncFolder(layout.root);
    }
  } catch (thrown) {
    if (!(await isHalfRemoved(disk, layout, intent))) await disk.unlink(layout.adoptFile);
    throw thrown;
  }
  for (const { version } of targetsOf(intent)) {
    const tree = releaseFolder(layout, version);
    if ((await disk.kind(tree)) === 'folder') await sealAdopted(disk, layout, { version, tree });
  }
  // Not synced: an intent that comes back finds nothing to do, and the next state file ends it.
  await disk.unlink(layout.adoptFile);
  return isDone ? intent.version : null;
}

/**
 * The copy is complete and the folder may not be: the intent stays, so that the next start
 * continues.
 */
async function isHalfRemoved(disk: Disk, layout: Layout, intent: Intent): Promise<boolean> {
  for (const { slot, version } of targetsOf(intent)) {
    const isCopied = (await disk.kind(releaseFolder(layout, version))) === 'folder';
    if (isCopied && (await disk.kind(layout[slot])) === 'folder') return true;
  }
  return false;
}

interface Move {
  readonly slot: SlotName;
  readonly version: string;
  readonly intent: Intent;
}

/** By a rename; by a copy where the file system cannot rename this folder. */
async function moveFolder(disk: Disk, layout: Layout, move: Move): Promise<void> {
  const { slot, version, intent } = move;
  if (!intent.copied.includes(slot)) {
    try {
      return await disk.rename(layout[slot], releaseFolder(layout, version));
    } catch (thrown) {
      if (!isCrossDevice(thrown)) return abandon(disk, layout, { slot, thrown });
    }
    try {
      await copyFolder(disk, layout, move);
    } catch (thrown) {
      return abandon(disk, layout, { slot, thrown });
    }
  }
  await removeCopied(disk, layout[slot]);
}

async function copyFolder(disk: Disk, layout: Layout, { slot, version, intent }: Move) {
  const beside = `${layout.staging}/adopt-${slot}`;
  const to = releaseFolder(layout, version);
  // There was none when the intent was written: an existing one is the complete copy.
  if ((await disk.kind(to)) !== 'folder') {
    await copyDurably(disk, { from: layout[slot], beside, to });
  }
  await disk.syncFolder(layout.releases);
  const slots = targetsOf(intent).map((one) => one.slot);
  const isRollbackDone = slot === 'active' && slots.includes('rollback');
  const copied: SlotName[] = isRollbackDone ? ['rollback', 'active'] : [slot];
  await writeIntent(disk, layout, { ...intent, copied });
}

/** Nothing has moved: removes the link that was made for it, and leaves the folder where it is. */
async function abandon(
  disk: Disk,
  layout: Layout,
  { slot, thrown }: { slot: SlotName; thrown: unknown },
): Promise<never> {
  await disk.unlink(`${layout[slot]}.new`);
  throw thrown;
}

async function setLink(
  disk: Disk,
  layout: Layout,
  { slot, version }: { slot: SlotName; version: string },
): Promise<boolean> {
  if ((await disk.kind(layout[slot])) !== 'absent') return false;
  if ((await disk.kind(releaseFolder(layout, version))) !== 'folder') return false;
  const ready = `${layout[slot]}.new`;
  if ((await disk.readlink(ready)) !== linkTarget(version)) {
    await removeLink(disk, layout, ready);
    await disk.symlink(linkTarget(version), ready);
  }
  await takeLink(disk, layout, { ready, link: layout[slot] });
  return true;
}

/** The intent was damaged between the two steps: the prepared link gives the rest. */
async function takeReadyLink(disk: Disk, layout: Layout): Promise<void> {
  const ready = `${layout.active}.new`;
  const text = await disk.readlink(ready);
  if (text === null || (await disk.kind(layout.active)) !== 'absent') return;
  if ((await disk.kind(`${layout.root}/${text}`)) !== 'folder') return;
  await takeLink(disk, layout, { ready, link: layout.active });
  await disk.syncFolder(layout.root);
}
