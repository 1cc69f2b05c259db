/** Chooses the strategy of a release: from the file beside it, else from its manifest. */

import { ATOMIC_SWAP, moduleOf, SLOT_IMAGE } from '../../shared/formats/apply-strategy.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { readStrategy } from '../install/strategy-file.ts';
import { BY_LINK_ALONE, type ApplyStrategy } from './apply-strategy.ts';
import { ModuleStrategy, type ModuleContext } from './module-strategy.ts';
import { SlotStrategy } from './slot-strategy.ts';
import type { Job } from './state.ts';

/** For a strategy of a manifest; `strategyOf` prefers the file beside the release. */
export function strategyNamed(strategy: string, on: ModuleContext): ApplyStrategy {
  if (strategy === SLOT_IMAGE) return new SlotStrategy(on);
  const module = moduleOf(strategy);
  return module === null ? BY_LINK_ALONE : new ModuleStrategy(module, on);
}

/** Returns the strategy of a version in the root, also of one whose state was lost. */
export async function strategyOf(
  { version, strategy }: Pick<Job, 'version' | 'strategy'>,
  on: ModuleContext,
): Promise<ApplyStrategy> {
  const kept = await keptStrategy(version, on);
  return strategyNamed(kept === ATOMIC_SWAP ? strategy : kept, on);
}

/** A disk that cannot read it says nothing against what the state remembers. */
async function keptStrategy(version: string, { disk, layout }: ModuleContext): Promise<string> {
  try {
    return await readStrategy(disk, layout, version);
  } catch (thrown) {
    if (!(thrown instanceof DroverError) || thrown.code === 'MODULE_UNKNOWN') throw thrown;
    return ATOMIC_SWAP;
  }
}
