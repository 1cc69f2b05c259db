/** `drover-robot adopt`: takes over what stands in the slots of each root, or says what it would do. */

import type { Disk } from './core/ports.ts';
import { layoutOf } from './core/layout.ts';
import { takeOver } from './io/take-over.ts';
import { prepareLayout } from './io/swap.ts';
import type { ComponentRoot } from './options.ts';

export interface AdoptInput {
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
    if (!isDryRun) await prepareLayout(disk, layout);
    const { actions, active, rollback, problem } = await takeOver(disk, layout, {
      version,
      isDryRun,
    });
    components.push({ component, version: active, previous_version: rollback, actions, problem });
    const would = isDryRun ? 'would ' : '';
    lines.push(`${component}: ${actions.length === 0 ? 'nothing to take over' : `runs ${active}`}`);
    lines.push(...actions.map((action) => `  ${would}${action}`));
    if (problem && !isDryRun)
      lines.push(`  still in the way: ${problem.message} (${problem.code})`);
  }
  return { components, lines };
}
