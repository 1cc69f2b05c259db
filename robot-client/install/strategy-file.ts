/**
 * Stores the strategy of each release beside the release in the root: it has to be known when the
 * state of the robot is lost. A second copy stands among the seals: a folder `strategies/` that is
 * gone must not turn a release of a module into one that needs only the link `active`.
 */

import { ATOMIC_SWAP, strategySchema } from '../../shared/formats/apply-strategy.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { Disk } from './disk-port.ts';
import { readSlots } from './read-slots.ts';
import { versionOf } from './slots.ts';
import { strategyCopyFile, strategyFile, type Layout } from './layout.ts';
import { removeStrategy } from './prune.ts';
import { readFitting, writeWhole } from './small-file.ts';

/** Bound in bytes: no strategy is longer, so a longer file is invalid. */
const BYTES_MAX = 128;
const EMPTY = new Uint8Array();

/**
 * Durable when this resolves. Call it before the release gets its name, so that a release always
 * has its strategy.
 */
export async function keepStrategy(
  disk: Disk,
  layout: Layout,
  { version, strategy }: { readonly version: string; readonly strategy: string },
): Promise<void> {
  // A file of an earlier release of the same version.
  if (strategy === ATOMIC_SWAP) return await removeStrategy(disk, layout, version);
  const bytes = new TextEncoder().encode(`${strategy}\n`);
  for (const folder of [layout.seals, layout.strategies]) await disk.mkdir(folder);
  await disk.syncFolder(layout.root);
  for (const path of pathsOf(layout, version)) await writeWhole(disk, path, bytes);
}

/** The first is the one that people read and change. */
const pathsOf = (layout: Layout, version: string): readonly [string, string] => [
  strategyFile(layout, version),
  strategyCopyFile(layout, version),
];

/**
 * The strategy of the first file that can be read; `atomic_swap` when there is none.
 * @throws DroverError MODULE_UNKNOWN when no file names a strategy that this agent knows; or as the
 * disk, when it cannot read them
 */
export async function readStrategy(disk: Disk, layout: Layout, version: string): Promise<string> {
  const paths = pathsOf(layout, version);
  let failure: unknown = null;
  for (const path of paths) {
    try {
      const strategy = await readOne(disk, path);
      if (strategy !== null) return strategy;
    } catch (thrown) {
      failure ??= thrown;
    }
  }
  if (failure !== null) throw failure;
  return ATOMIC_SWAP;
}

/** Null when there is no such file. */
async function readOne(disk: Disk, path: string): Promise<string | null> {
  if ((await disk.kind(path)) === 'absent') return null;
  // Another thing that stands there says no more than a damaged file.
  const bytes = await readFitting(disk, path, BYTES_MAX);
  const parsed = strategySchema.safeParse(new TextDecoder().decode(bytes ?? EMPTY).trim());
  if (parsed.success) return parsed.data;
  const hint = `write "module/NAME" into the file, or "${ATOMIC_SWAP}" where active alone decides`;
  throw new DroverError('MODULE_UNKNOWN', `read ${path}: no strategy that is known`, { hint });
}

/**
 * Asserts that a job keeps the module that applied the active release: another strategy would not
 * stop that release.
 * @throws DroverError STRATEGY_CHANGED
 */
export async function assertSameStrategy(
  disk: Disk,
  layout: Layout,
  job: { readonly version: string; readonly strategy: string },
): Promise<void> {
  const active = versionOf((await readSlots(disk, layout)).active);
  if (active === null) return;
  const runs = await readStrategy(disk, layout, active);
  if (runs === ATOMIC_SWAP || runs === job.strategy) return;
  const counts = `(got ${job.strategy}, want ${runs})`;
  throw new DroverError('STRATEGY_CHANGED', `take ${job.version}: ${active} runs by it ${counts}`);
}
