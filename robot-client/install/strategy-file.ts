/**
 * Stores the strategy of each release beside the release in the root: it has to be known when the
 * state of the robot is lost. A release without such a file needs only the link `active`.
 */

import { ATOMIC_SWAP, strategySchema } from '../../shared/formats/apply-strategy.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { Disk } from './disk-port.ts';
import { readSlots } from './read-slots.ts';
import { versionOf } from './slots.ts';
import { strategyFile, type Layout } from './layout.ts';
import { removeStrategy } from './prune.ts';
import { writeWhole } from './small-file.ts';

/** Bound in bytes: no strategy is longer, so a longer file is invalid. */
const BYTES_MAX = 128;

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
  const path = strategyFile(layout, version);
  await disk.mkdir(layout.strategies);
  await disk.syncFolder(layout.root);
  await writeWhole(disk, path, new TextEncoder().encode(`${strategy}\n`));
}

/** @throws DroverError MODULE_UNKNOWN for a file whose strategy this agent does not know */
export async function readStrategy(disk: Disk, layout: Layout, version: string): Promise<string> {
  const path = strategyFile(layout, version);
  const bytes = await disk.readFile(path, BYTES_MAX);
  if (bytes === null) return ATOMIC_SWAP;
  const parsed = strategySchema.safeParse(new TextDecoder().decode(bytes).trim());
  if (parsed.success) return parsed.data;
  const hint = `write "module/NAME" into the file, or remove it where active alone decides`;
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
