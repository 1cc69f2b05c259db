/**
 * Checks the releases in the slots while there is no update. One that lost files is reported: the
 * next boot would leave it. Those without a readable seal get one: those of an agent that made
 * none, and those whose seal was lost. They are compared with their recipe first, so that a damaged
 * one gets no seal.
 */

import { DroverError, nullIfFailed } from '../../shared/base/errors.ts';
import { recipeFile, sealFile, type Layout } from '../install/layout.ts';
import type { Disk } from '../install/disk-port.ts';
import type { MachineState } from './state.ts';
import { readSlots } from '../install/read-slots.ts';
import { knownDamages } from './state.ts';
import { byRecipe, bySeal } from '../install/seal-check.ts';
import { damageProblem, type Damage, type ReleaseCheck } from '../install/seal.ts';
import { writeSeal } from '../install/seal-file.ts';

const NONE: ReadonlySet<string> = new Set();

export interface Unsealed {
  /** Why a release in a slot is not whole, the active one first. Null when none is damaged. */
  readonly damage: Damage | null;
  /** Sealed as found, without a recipe: nothing proves that it is whole. */
  readonly sealedAsFound: readonly string[];
}

/**
 * Presence and rights of sealed files are checked, not their bytes. The active release is
 * confirmed, so without a recipe its bytes are the ones that work. Only what Drover unpacked is
 * sealed: a seal marks a release as Drover's. A disk that refuses is tried again at the next
 * clean-up.
 */
export async function sealOldReleases(
  disk: Disk,
  layout: Layout,
  { state, signal }: { state: MachineState; signal: AbortSignal },
): Promise<Unsealed> {
  const slots = await readSlots(disk, layout);
  const sealedAsFound: string[] = [];
  let damage: Damage | null = null;
  const told = (version: string, found: ReleaseCheck | null): void => {
    if (found?.kind !== 'damaged') return;
    damage ??= { ...damageProblem(version, found), version };
  };
  for (const slot of [slots.active, slots.rollback]) {
    if (slot.kind !== 'release' || !slot.isOurs) continue;
    const { version, end } = slot;
    try {
      const kind = await disk.kind(sealFile(layout, version));
      if (kind !== 'file' && kind !== 'absent') continue;
      const known = knownDamages(state, version);
      const input = { version, tree: end.path, mayHash: () => false, known };
      const sealed = await nullIfFailed(bySeal(disk, layout, { ...input, isOnlyLost: true }));
      told(version, sealed);
      if (sealed) continue;
      const found = await nullIfFailed(byRecipe(disk, layout, { ...input, known: NONE }));
      told(version, found);
      // A recipe that is there and cannot be read: the disk lost bytes, maybe those of the release.
      const hasRecipe = (await disk.kind(recipeFile(layout, version))) !== 'absent';
      if (found ? found.kind !== 'whole' : hasRecipe || state.installed?.version !== version)
        continue;
      await writeSeal(disk, layout, { version, tree: end.path, signal });
      if (!found) sealedAsFound.push(version);
    } catch (thrown) {
      if (!(thrown instanceof DroverError)) throw thrown;
    }
  }
  return { damage, sealedAsFound };
}
