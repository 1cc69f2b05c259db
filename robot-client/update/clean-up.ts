/** Clean-up of a root while nothing is going on: removes what is not needed, and seals what is. */

import type { Disk } from '../install/disk-port.ts';
import { stagingFolder, type Layout } from '../install/layout.ts';
import { pruneReleases } from '../install/prune.ts';
import type { Left } from '../install/prune-plan.ts';
import { sealOldReleases, type Unsealed } from './seal-old.ts';
import { failedOf, type MachineState } from './state.ts';

export interface Cleaned extends Unsealed {
  /** Entries of releases/ to which no slot leads. */
  readonly left: readonly Left[];
}

export async function cleanUp(on: {
  readonly disk: Disk;
  readonly layout: Layout;
  readonly signal: AbortSignal;
  state(): MachineState;
  onCleaned?(found: Cleaned): void;
}): Promise<void> {
  const { disk, layout, signal } = on;
  const state = on.state();
  const { retry } = state;
  // The download of a bundle that will be tried again is worth keeping.
  const keep = retry === null ? null : stagingFolder(layout, retry.payloadSha256);
  const left = await pruneReleases(disk, layout, keep, failedOf(state));
  const unsealed = await sealOldReleases(disk, layout, { state, signal });
  on.onCleaned?.({ left, ...unsealed });
}
