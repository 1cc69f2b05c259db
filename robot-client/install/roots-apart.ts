/**
 * Refuses roots of one robot that share a folder: they would undo each other's work, and a clean-up
 * of the one would remove what the other boots.
 */

import { readFileSync } from 'node:fs';
import { DroverError } from '../../shared/base/errors.ts';
import { layoutOf } from './layout.ts';
import { folderId } from './lock.ts';
import { mountedPlace, overlaps, type MountedPlace, MOUNTS_FILE } from './mounted-place.ts';
import { realPathOf } from './path-lock.ts';

interface FoundFolder {
  readonly path: string;
  readonly real: string;
  readonly id: string | null;
  readonly place: MountedPlace | null;
}

interface FoundRoot {
  readonly component: string;
  readonly root: FoundFolder;
  /** Folders in which Drover makes and removes things; a link or a mount may lead out of the root. */
  readonly owned: readonly FoundFolder[];
}

/**
 * Two roots are apart when they are not one folder in two spellings, none lies in the other, and
 * none of their folders is one of the other or lies in one. They need not exist yet.
 * @throws DroverError ROOTS_OVERLAP
 */
export function assertRootsApart(roots: readonly { component: string; root: string }[]): void {
  if (roots.length < 2) return;
  const mounts = readMounts();
  const found = roots.map(({ component, root }) => lookAt(component, root, mounts));
  for (const [at, one] of found.entries()) {
    for (const other of found.slice(at + 1)) {
      const how = overlapOf(one, other);
      if (how === null) continue;
      const names = `${one.component} and ${other.component}`;
      throw new DroverError('ROOTS_OVERLAP', `read --root: ${names} ${how}`);
    }
  }
}

function lookAt(component: string, root: string, mounts: string): FoundRoot {
  const look = (path: string): FoundFolder => {
    const real = realPathOf(path);
    return { path, real, id: folderId(path), place: mountedPlace(real, mounts) };
  };
  const { releases, staging, bases, seals, kept, state } = layoutOf(root);
  const owned = [releases, staging, bases, seals, kept, state].map(look);
  return { component, root: look(root), owned };
}

/** Null when they are apart. */
function overlapOf(one: FoundRoot, other: FoundRoot): string | null {
  const reals = `(${one.root.real}, ${other.root.real})`;
  if (areSame(one.root, other.root)) return `are the same folder ${reals}`;
  if (lieInEachOther(one.root, other.root)) return `lie in each other ${reals}`;
  for (const mine of [one.root, ...one.owned]) {
    for (const theirs of [other.root, ...other.owned]) {
      const isRoot = mine === one.root || theirs === other.root;
      const isShared = areSame(mine, theirs) || (!isRoot && lieInEachOther(mine, theirs));
      if (isShared) return `share a folder: ${mine.path} and ${theirs.path} lead to ${mine.real}`;
    }
  }
  return null;
}

const areSame = (one: FoundFolder, other: FoundFolder): boolean =>
  one.real === other.real || (one.id !== null && one.id === other.id);

function lieInEachOther(one: FoundFolder, other: FoundFolder): boolean {
  const isMounted = one.place !== null && other.place !== null && overlaps(one.place, other.place);
  return isMounted || isBelow(one.real, other.real) || isBelow(other.real, one.real);
}

const isBelow = (path: string, above: string): boolean =>
  path.startsWith(above === '/' ? '/' : `${above}/`);

/** Empty where the kernel shows no mounts: paths and inodes are compared all the same. */
function readMounts(): string {
  try {
    return readFileSync(MOUNTS_FILE, 'utf8');
  } catch {
    return '';
  }
}
