/** Adopts the content of the slots of each root, or prints what it would do. */

import { access, constants } from 'node:fs/promises';
import { DroverError } from '../../shared/base/errors.ts';
import type { Disk } from '../install/disk-port.ts';
import { ADOPTED_VERSION_DEFAULT } from '../recover/adoption.ts';
import { diskError } from '../install/disk-error.ts';
import { layoutOf } from '../install/layout.ts';
import { foreignRoot } from '../install/root-name.ts';
import { adoptRoot } from '../recover/adopt-root.ts';
import { closedState } from '../update/state-file.ts';
import { prepareLayout } from '../install/make-root.ts';
import type { ComponentRoot } from './given-roots.ts';

interface AdoptInput {
  readonly disk: Disk;
  readonly roots: readonly ComponentRoot[];
  readonly version: string;
  readonly isDryRun: boolean;
}

/** @throws DroverError when a step fails; earlier steps stay done */
export async function adoptRoots(
  input: AdoptInput,
): Promise<{ components: object[]; lines: string[] }> {
  const { disk, version, isDryRun } = input;
  const components: object[] = [];
  const lines: string[] = [];
  for (const { component, root } of input.roots) {
    const siblings = input.roots.map((one) => one.root);
    const layout = layoutOf(root, siblings);
    if (isDryRun) await assertWritable(root);
    const other = await foreignRoot(disk, layout, component);
    if (other) throw other;
    const closed = await closedState(disk, layout);
    if (closed) {
      const { code, message, hint } = closed;
      throw new DroverError(code, `take over ${component}: ${message}`, { hint });
    }
    if (!isDryRun) await prepareLayout(disk, layout);
    const { actions, active, rollback, problem } = await adoptRoot(disk, layout, {
      version,
      isDryRun,
    });
    components.push({ component, version: active, previous_version: rollback, actions, problem });
    lines.push(`${component}: ${headOf(actions, isDryRun, active)}`);
    lines.push(...actions.map((action) => `  ${action}`));
    const isUnnamed = version === ADOPTED_VERSION_DEFAULT;
    if (isUnnamed && actions.some((action) => action.includes(`releases/${version}`))) {
      lines.push(`  ${version} stands for a version that is not known: --adopt-version names it`);
    }
    if (problem && !isDryRun)
      lines.push(`  still in the way: ${problem.message} (${problem.code}): ${problem.hint}`);
  }
  return { components, lines };
}

function headOf(actions: readonly string[], isDryRun: boolean, active: string | null): string {
  if (actions.length === 0) return 'nothing to take over';
  return isDryRun ? 'this would be done' : `runs ${active ?? 'nothing that Drover can name'}`;
}

/** A dry run writes nothing, and must not promise what a read-only disk would refuse. */
async function assertWritable(root: string): Promise<void> {
  await access(root, constants.W_OK).catch((cause: unknown) => {
    throw diskError('take over', root, cause);
  });
}
