/** Checks the release that boots, and when it is not whole, those that could boot instead. */

import { performance } from 'node:perf_hooks';
import type { Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { MachineState } from '../update/state.ts';
import { findSpare } from './boot-spare.ts';
import type { Disk } from '../install/disk-port.ts';
import type { Layout } from '../install/layout.ts';
import { type BootFacts } from './recovery.ts';
import { knownDamages } from '../update/state.ts';
import { checkRelease } from '../install/seal-check.ts';
import type { ReleaseCheck } from '../install/seal.ts';
import type { Slot, Slots } from '../install/slots.ts';

export interface CheckDepth {
  /** With hashes, as after an unorderly end. */
  readonly isDeep: boolean;
  /** Only missing and empty files count, and programs of another size. */
  readonly isOnlyLost: boolean;
}

export const DEEP: CheckDepth = { isDeep: true, isOnlyLost: false };
export const ONLY_LOST: CheckDepth = { isDeep: false, isOnlyLost: true };

export interface BootChecks extends Pick<BootFacts, 'active' | 'rollback' | 'spare'> {
  /** Facts for the operator about a release that boots all the same. */
  readonly said: { readonly sentences: readonly string[]; readonly unread: Problem | null };
}

export async function checkSlots(
  disk: Disk,
  layout: Layout,
  on: CheckDepth & { readonly state: MachineState; readonly slots: Slots },
): Promise<BootChecks> {
  const { state, slots, isDeep, isOnlyLost } = on;
  const until = performance.now() + LIMITS.recoverHashMs;
  const check = async (slot: Slot, mayHash: boolean): Promise<ReleaseCheck> => {
    if (slot.kind !== 'release') return { kind: 'absent' };
    return await checkRelease(disk, layout, {
      version: slot.version,
      tree: slot.end.path,
      mayHash: () => mayHash && performance.now() < until,
      known: knownDamages(state, slot.version),
      isOnlyLost,
    });
  };
  const active = await check(slots.active, isDeep);
  const isBad = active.kind === 'absent' || active.kind === 'damaged';
  // Only when needed: a robot that boots well does not check the release before.
  const rollback: ReleaseCheck = isBad ? await check(slots.rollback, true) : { kind: 'unknown' };
  const isShort = isBad && rollback.kind !== 'whole';
  const spareOn = { state, slots, mayHash: () => performance.now() < until };
  const spare = isShort ? await findSpare(disk, layout, spareOn) : null;
  const isUnsure = active.kind === 'whole' || active.kind === 'unknown';
  const unread = (isUnsure && active.unread) || null;
  return { active, rollback, spare, said: { sentences: sentencesOf(active, isDeep), unread } };
}

function sentencesOf(active: ReleaseCheck, isDeep: boolean): string[] {
  if (active.kind !== 'whole') return [];
  const sentences: string[] = [];
  if (isDeep && !active.isHashed && !active.isByRecipe) {
    sentences.push('hashing took too long: not all files of the release were looked into');
  }
  if (active.lost) {
    const { count, path } = active.lost;
    const what = `${count} of its files are gone or empty, such as ${path}`;
    sentences.push(`since the release was adopted, ${what}: taken for the application's own`);
  }
  return sentences;
}
