/**
 * Looks for a release to boot when what the links lead to is not whole, or `active` is gone although
 * the state says what ran. recovery.ts decides whether it is taken.
 */

import { expectedOf, failedOf, type MachineState } from '../update/state.ts';
import { chooseOlder } from '../update/way-back-plan.ts';
import { releaseFolder, type Layout } from '../install/layout.ts';
import type { Disk } from '../install/disk-port.ts';
import { type Spare } from './recovery.ts';
import { knownDamages } from '../update/state.ts';
import { checkRelease } from '../install/seal-check.ts';
import { versionOf, type Slots } from '../install/slots.ts';
import { wholeReleases } from '../install/whole-releases.ts';

/**
 * The installed release, when its link is gone; on probation, the one that ran before it. When that
 * is not whole either, the newest whole one that is older.
 */
export async function findSpare(
  disk: Disk,
  layout: Layout,
  on: { readonly state: MachineState; readonly slots: Slots; readonly mayHash: () => boolean },
): Promise<Spare | null> {
  const { state, slots, mayHash } = on;
  const { phase, job } = state;
  const installed = expectedOf(state);
  const version = phase === 'probation' ? job?.previousVersion : installed;
  const inSlots = [slots.active, slots.rollback].map(versionOf);
  if (typeof version === 'string' && !inSlots.includes(version)) {
    const check = await checkRelease(disk, layout, {
      ...{ version, tree: releaseFolder(layout, version) },
      ...{ mayHash, known: knownDamages(state, version) },
    });
    if (check.kind === 'whole') return { version, check };
  }
  const { active } = slots;
  const ran = active.kind === 'lost' ? active.version : versionOf(active);
  // Nothing says what ran, but it was newer than what `rollback` leads to.
  const below = ran ?? installed ?? versionOf(slots.rollback);
  if (below === null) return null;
  const whole = await wholeReleases(disk, layout, mayHash);
  const older = chooseOlder(whole, { below, failed: failedOf(state) });
  return older === null ? null : { version: older, check: { kind: 'whole', isHashed: false } };
}
