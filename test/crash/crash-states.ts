/**
 * The states that a power cut can leave of a model disk. With few names pending, every set of them
 * that the rules allow; with many: each prefix, each one missing, each one alone. Each set is taken
 * with none and with all of the unsynced file contents, and beside that each unsynced file is torn
 * in each way, so that the number of states stays linear in what is pending.
 */

import type { FolderImage, Image } from './disk-image.ts';
import type { ModelDisk } from './model-disk.ts';
import {
  applyChange,
  withCauses,
  without,
  type Change,
  type Content,
  type FileInode,
} from './pending.ts';

/** Up to so many pending operations on names, all sets of them are tried. */
const ALL_SETS_MAX = 5;

type Contents = (at: number, inode: FileInode) => Content;

export function* crashStates(disk: ModelDisk): Generator<FolderImage> {
  const all = new Set(disk.operations.keys());
  for (const names of nameSets(disk)) {
    yield imageOf(disk, names, { contents: (_, { now }) => now, modes: 'now' });
    yield imageOf(disk, names, { contents: (_, { durable }) => durable, modes: 'durable' });
  }
  for (const [torn, inode] of disk.inodes) {
    if (inode.kind !== 'file' || inode.pending.length === 0) continue;
    for (const content of tornContents(inode)) {
      const contents: Contents = (at, { now }) => (at === torn ? content : now);
      yield imageOf(disk, all, { contents, modes: 'now' });
    }
  }
}

/** The tree that a running program sees now. */
export function visibleImage(disk: ModelDisk): FolderImage {
  const all = new Set(disk.operations.keys());
  return imageOf(disk, all, { contents: (_, { now }) => now, modes: 'now' });
}

function nameSets({ operations }: ModelDisk): ReadonlySet<number>[] {
  const count = operations.length;
  if (count <= ALL_SETS_MAX) {
    return Array.from({ length: 2 ** count }, (_, bits) => {
      const wanted = [...operations.keys()].filter((at) => (bits >> at) & 1);
      return withCauses(operations, new Set(wanted));
    });
  }
  const places = [...operations.keys()];
  return [
    ...[...places, count].map((length) => new Set(places.slice(0, length))),
    ...places.map((at) => without(operations, at)),
    ...places.map((at) => withCauses(operations, new Set([at]))),
  ];
}

/** The ways are kept with the list of changes: it is asked for after each operation. */
const known = new WeakMap<readonly Change[], Content[]>();

function tornContents({ durable, pending }: FileInode): Content[] {
  const found = known.get(pending);
  if (found) return found;
  const after = (changes: readonly Change[]): Content => changes.reduce(applyChange, durable);
  const ways = pending.flatMap((change, at) => {
    const others = pending.filter((one) => one !== change);
    const instead = (other: Change): Content =>
      after(pending.map((one) => (one === change ? other : one)));
    const plain = [after(pending.slice(0, at)), after(others), after([change])];
    if (change.kind !== 'write') return plain;
    const { bytes } = change;
    const half = bytes.subarray(0, bytes.byteLength >> 1);
    const junk = Uint8Array.from(bytes, (byte, i) => (i < half.byteLength ? byte : byte ^ 0xa5));
    return [
      ...plain,
      instead({ ...change, bytes: half }),
      instead({ ...change, bytes: new Uint8Array(bytes.byteLength) }),
      instead({ ...change, bytes: junk }),
    ];
  });
  known.set(pending, ways);
  return ways;
}

function imageOf(
  disk: ModelDisk,
  names: ReadonlySet<number>,
  take: { contents: Contents; modes: 'now' | 'durable' },
): FolderImage {
  const changed = new Map<number, Map<string, number | null>>();
  for (const [at, { changes }] of disk.operations.entries()) {
    if (!names.has(at)) continue;
    for (const { folder, name, to } of changes) {
      const inside = changed.get(folder) ?? new Map<string, number | null>();
      changed.set(folder, inside.set(name, to));
    }
  }
  const build = (at: number): Image => {
    const inode = disk.inodes.get(at);
    if (!inode) throw new TypeError(`crash state: inode ${at} is gone`);
    if (inode.kind === 'link') return inode;
    if (inode.kind === 'file') return { kind: 'file', ...take.contents(at, inode) };
    const entries = new Map<string, Image>();
    for (const [name, to] of new Map([...inode.durable, ...(changed.get(at) ?? [])])) {
      if (to !== null) entries.set(name, build(to));
    }
    const mode = take.modes === 'now' ? inode.mode : inode.durableMode;
    return { kind: 'folder', entries, mode };
  };
  return build(0) as FolderImage;
}
