/**
 * The name of the component that a root belongs to, in `state/component`. Two roots that were given
 * with each other's names would take each other's releases: a start with another name is refused.
 */

import { DroverError, nullIfFailed } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { writeWhole } from './small-file.ts';
import type { Disk } from './disk-port.ts';
import type { Layout } from './layout.ts';

const nameFile = ({ state }: Layout): string => `${state}/component`;

/** Decides whether a root may be used under a name. @param found null for a root without one */
export function otherComponent(
  root: string,
  component: string,
  found: string | null,
): DroverError | null {
  if (found === null || found === component) return null;
  return new DroverError(
    'ROOT_OTHER_COMPONENT',
    `use ${root} as ${component}: it is a root of ${found}`,
    { facts: { got: component, want: found } },
  );
}

/**
 * Why the root belongs to another component; null when it does not, or when unknown. Changes
 * nothing.
 */
export async function foreignRoot(
  disk: Disk,
  layout: Layout,
  component: string,
): Promise<DroverError | null> {
  return otherComponent(layout.root, component, await readName(disk, layout));
}

/** Notes the name in a root that has none, as one of 0.1. @throws DroverError of the disk */
export async function nameRoot(disk: Disk, layout: Layout, component: string): Promise<void> {
  if ((await readName(disk, layout)) !== null) return;
  await writeWhole(disk, nameFile(layout), new TextEncoder().encode(`${component}\n`));
}

/** Null when there is none, or it cannot be read: other checks report the disk. */
export async function readName(disk: Disk, layout: Layout): Promise<string | null> {
  const bytes = await nullIfFailed(disk.readFile(nameFile(layout), LIMITS.rootNameBytesMax));
  const name = bytes === null ? '' : new TextDecoder().decode(bytes).trim();
  return name === '' ? null : name;
}
