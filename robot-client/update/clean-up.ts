/** Clean-up of a root while nothing is going on: removes what is not needed, and seals what is. */

import type { Problem } from '../../shared/base/errors.ts';
import { versionsInSlots } from '../boot/slot-records.ts';
import { noteConfirmed } from '../install/marks.ts';
import type { Disk } from '../install/disk-port.ts';
import { stagingFolder, type Layout } from '../install/layout.ts';
import { pruneReleases } from '../install/prune.ts';
import type { Left } from '../install/prune-plan.ts';
import { readSlots } from '../install/read-slots.ts';
import { versionOf } from '../install/slots.ts';
import { sealOldReleases, type Unsealed } from './seal-old.ts';
import { failedOf, type MachineState } from './state.ts';

export interface Cleaned extends Unsealed {
  /** Entries of releases/ to which no slot leads. */
  readonly left: readonly Left[];
  /** Why the version that runs could not be marked as confirmed. */
  readonly unmarked: Problem | null;
}

interface CleanUp {
  readonly disk: Disk;
  readonly layout: Layout;
  readonly signal: AbortSignal;
  state(): MachineState;
  onCleaned?(found: Cleaned): void;
}

export async function cleanUp(on: CleanUp): Promise<void> {
  const { disk, layout, signal } = on;
  const state = on.state();
  const { retry } = state;
  // The download of a bundle that will be tried again is worth keeping.
  const keep = retry === null ? null : stagingFolder(layout, retry.payloadSha256);
  const held = await versionsInSlots(disk, layout);
  const left = await pruneReleases(disk, layout, keep, failedOf(state), held);
  const unsealed = await sealOldReleases(disk, layout, { state, signal });
  const unmarked = await mark(on);
  on.onCleaned?.({ left, unmarked, ...unsealed });
}

/** For a root that has no mark yet, or whose seal was made a moment ago. */
async function mark({ disk, layout, signal, state }: CleanUp): Promise<Problem | null> {
  const version = versionOf((await readSlots(disk, layout)).active);
  // Nothing is on trial while the robot is at rest; an update may have begun meanwhile.
  if (version === null || signal.aborted || state().phase !== 'idle') return null;
  return await noteConfirmed(disk, layout, version);
}
