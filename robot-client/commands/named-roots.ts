/**
 * Reads the roots of a command that changes nothing. A root stores the name of its component, so a
 * plain `--root DIR` has the name in DIR; without a stored name it is the component `app`.
 */

import { nullIfRefused } from '../../shared/base/errors.ts';
import { parseComponentName } from '../../shared/base/ids.ts';
import type { Disk } from '../install/disk-port.ts';
import { layoutOf } from '../install/layout.ts';
import { readName } from '../install/root-name.ts';
import type { ComponentRoot } from './given-roots.ts';
import { parseRoots } from './options.ts';

/** @throws DroverError USAGE */
export async function namedRoots(disk: Disk, texts: readonly string[]): Promise<ComponentRoot[]> {
  const roots = parseRoots(texts);
  return await Promise.all(
    roots.map(async (one, at) => {
      if (texts[at]?.includes('=') === true) return one;
      const name = await readName(disk, layoutOf(one.root));
      const component = name === null ? null : nullIfRefused(() => parseComponentName(name));
      return component === null ? one : { ...one, component };
    }),
  );
}
