/**
 * `drover-robot adopt`: makes releases of what stands at `active` and `rollback`, where that is
 * possible. It removes nothing: folders move to releases/, and anything outside is copied.
 */

import { DroverError, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { describeAdoption, planAdoption, type AdoptionStep } from './adoption.ts';
import { releaseFolder, type Layout } from '../install/layout.ts';
import type { Disk } from '../install/disk-port.ts';
import { isWithin, slotProblem, versionOf, type SlotName, type Slots } from '../install/slots.ts';
import { expectedOf, freshState, parseMachineState } from '../update/state.ts';
import { adoptFolders, assertMovable, assertNothingMounted } from './adopt.ts';
import { copyDurably } from '../install/copy-tree.ts';
import { followPath, readSlots } from '../install/read-slots.ts';
import { sealAdopted } from '../install/seal-file.ts';
import { pointSlot } from '../install/slot-links.ts';
import { peekMachineState, writeMachineState } from '../update/state-file.ts';
import { readOrSetAside } from '../install/small-file.ts';
import { leadNowhere, slotsWith } from '../update/unlinked.ts';
import { ourReleases } from '../install/whole-releases.ts';

export interface AdoptedRoot {
  /** Actions that were done, or with `isDryRun` would be, as sentences; empty for none. */
  readonly actions: readonly string[];
  readonly active: string | null;
  readonly rollback: string | null;
  /** The problem that is left. */
  readonly problem: Problem | null;
}

/** @throws DroverError when a step fails; earlier steps stay done */
export async function adoptRoot(
  disk: Disk,
  layout: Layout,
  { version, isDryRun }: { readonly version: string; readonly isDryRun: boolean },
): Promise<AdoptedRoot> {
  const before = await readSlots(disk, layout);
  const plan = planAdoption(before, await disk.list(layout.releases), version);
  const moves = plan.filter(({ how }) => how === 'move').map(({ slot }) => slot);
  if (moves.length > 0) await assertMovable(disk, layout, moves);
  for (const one of plan) if (one.how === 'copy') await assertApart(disk, layout, one);
  if (!isDryRun) {
    await carryOut(disk, layout, plan);
    if (plan.some(({ slot }) => slot === 'active')) await endJob(disk, layout);
  }
  const slots = isDryRun ? before : await slotsAfter(disk, layout);
  return {
    actions: plan.map((one) => describeAdoption(one, !isDryRun)),
    active: versionOf(slots.active),
    rollback: versionOf(slots.rollback),
    problem: slotProblem(slots),
  };
}

async function carryOut(disk: Disk, layout: Layout, plan: readonly AdoptionStep[]): Promise<void> {
  for (const step of plan) {
    if (step.how === 'copy') await copyRelease(disk, layout, step);
    if (step.how === 'link') await linkRelease(disk, layout, step);
    if (step.how === 'aside') await putAside(disk, layout, step);
  }
  const moves = plan.filter((one) => one.how === 'move');
  const rollback = moves.find(({ slot }) => slot === 'rollback');
  const active = moves.find(({ slot }) => slot === 'active');
  if (!active && !rollback) return;
  await adoptFolders(disk, layout, {
    version: active?.version ?? null,
    rollbackVersion: rollback?.version ?? null,
  });
}

/** A copy of a folder that contains the root would copy itself. */
async function assertApart(
  disk: Disk,
  layout: Layout,
  { slot, from }: AdoptionStep & { how: 'copy' },
): Promise<void> {
  await assertNothingMounted(disk, slot, from);
  const { end } = await followPath(disk, layout.root);
  if (end.kind !== 'there' || !isWithin(from, end.path)) return;
  throw new DroverError('ADOPT_IMPOSSIBLE', `adopt ${slot}: ${from} has ${layout.root} in it`);
}

async function copyRelease(
  disk: Disk,
  layout: Layout,
  { slot, version, from }: AdoptionStep & { how: 'copy' },
): Promise<void> {
  const to = releaseFolder(layout, version);
  await copyDurably(disk, { from, beside: `${layout.staging}/adopt-${slot}`, to });
  await disk.syncFolder(layout.releases);
  await sealAdopted(disk, layout, { version, tree: to });
  await pointSlot(disk, layout, { slot, version, mayFollow: true });
  await disk.syncFolder(layout.root);
}

async function linkRelease(
  disk: Disk,
  layout: Layout,
  { slot, version, to }: AdoptionStep & { how: 'link' },
): Promise<void> {
  await disk.symlink(to, releaseFolder(layout, version));
  await disk.syncFolder(layout.releases);
  await pointSlot(disk, layout, { slot, version, mayFollow: true });
  await disk.syncFolder(layout.root);
  await sealAdopted(disk, layout, { version, tree: to });
}

async function putAside(
  disk: Disk,
  layout: Layout,
  { slot, next }: AdoptionStep & { how: 'aside' },
): Promise<void> {
  await disk.rename(layout[slot], await freeAside(disk, layout, slot));
  if (next !== null) await pointSlot(disk, layout, { slot, version: next });
  await disk.syncFolder(layout.root);
}

async function freeAside(disk: Disk, layout: Layout, slot: SlotName): Promise<string> {
  for (let nth = 1; nth <= LIMITS.setAsideMax; nth += 1) {
    const path = nth === 1 ? `${layout[slot]}.aside` : `${layout[slot]}.aside.${nth}`;
    if ((await disk.kind(path)) === 'absent') return path;
  }
  throw new DroverError('ADOPT_IMPOSSIBLE', `put ${slot} aside: ${slot}.aside is taken`);
}

/** Includes a lost `active`: putting one aside may have left nothing to boot. */
async function slotsAfter(disk: Disk, layout: Layout): Promise<Slots> {
  const { state } = await peekMachineState(disk, layout, Date.now());
  return slotsWith(await readSlots(disk, layout), state);
}

/**
 * An update in progress was about another release than the one that runs now. Where nothing boots
 * any more, the state keeps the version that ran, by which `recover` links a release again.
 */
async function endJob(disk: Disk, layout: Layout): Promise<void> {
  const { value } = await readOrSetAside(disk, layout.machineFile, parseMachineState);
  const state = value ?? freshState();
  const slots = await readSlots(disk, layout);
  const ran = leadNowhere(slots) ? expectedOf(state) : null;
  const unlinked = leadNowhere(slots) && ran === null ? await ourReleases(disk, layout) : [];
  const none = { job: null, installed: null, lastActive: ran, retry: null };
  const idle = { ...state, ...none, unlinked, phase: 'idle' } as const;
  await writeMachineState(disk, layout, idle);
}
