/** Takes over what stands in the slots of each root, or says what it would do. */

import { DroverError } from '../../shared/base/errors.ts';
import type { Disk } from '../install/disk-port.ts';
import { layoutOf } from '../install/layout.ts';
import { takeOver } from '../install/take-over.ts';
import { newerState } from '../update/state-file.ts';
import { prepareLayout } from '../update/swap.ts';
import type { ComponentRoot } from './options.ts';

interface AdoptInput {
  readonly disk: Disk;
  readonly roots: readonly ComponentRoot[];
  readonly version: string;
  readonly isDryRun: boolean;
}

/** @throws DroverError when a step fails; what was done before it holds */
export async function adoptRoots(
  input: AdoptInput,
): Promise<{ components: object[]; lines: string[] }> {
  const { disk, version, isDryRun } = input;
  const components: object[] = [];
  const lines: string[] = [];
  for (const { component, root } of input.roots) {
    const layout = layoutOf(root);
    const newer = await newerState(disk, layout);
    if (newer) throw new DroverError(newer.code, `take over ${component}: ${newer.message}`);
    if (!isDryRun) await prepareLayout(disk, layout);
    const { actions, active, rollback, problem } = await takeOver(disk, layout, {
      version,
      isDryRun,
    });
    components.push({ component, version: active, previous_version: rollback, actions, problem });
    lines.push(`${component}: ${headOf(actions, isDryRun, active)}`);
    lines.push(...actions.map((action) => `  ${action}`));
    if (problem && !isDryRun)
      lines.push(`  still in the way: ${problem.message} (${problem.code})`);
  }
  return { components, lines };
}

function headOf(actions: readonly string[], isDryRun: boolean, active: string | null): string {
  if (actions.length === 0) return 'nothing to take over';
  return isDryRun ? 'this would be done' : `runs ${active ?? 'nothing that Drover can name'}`;
}
