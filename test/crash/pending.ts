/**
 * The operations of a model disk that are not durable yet, and the parts that may be left of them.
 *
 * The rules are those that fsync(2) promises and no more (the fsync and rename manual pages of
 * Linux; the persistence properties of Pillai et al., OSDI 2014, "ALICE", and of CrashMonkey, OSDI
 * 2018, which tests real file systems for theirs). ext4, XFS and btrfs promise more than these:
 *  - bytes, length and mode of a file are durable after fsync of the file. Before, any part of
 *    what was written may be there: none, some writes without others, half of one, other bytes;
 *  - a name is durable after fsync of the folder that holds it; fsync of the file does not do that;
 *  - names made, moved and removed since then may be there or not, each for itself and in any
 *    order, save that operations on one name, or on one inode, happen in the order in which they
 *    were asked for (no file system has one folder in two places);
 *  - a rename is all or nothing, also between folders. But fsync of only the folder that something
 *    was moved out of makes the removal durable, and nothing says that the new name is.
 */

import { LIMITS } from '../../shared/base/limits.ts';

export type SyncName = 'fsync' | 'fsync folder' | 'syncfs';

export interface Content {
  readonly bytes: Uint8Array;
  readonly mode: number;
}

export type Change =
  | { readonly kind: 'write'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'truncate' }
  | { readonly kind: 'mode'; readonly mode: number };

export interface FileInode {
  readonly kind: 'file';
  durable: Content;
  now: Content;
  /** Replaced, never changed in place. */
  pending: readonly Change[];
  /** Bytes for which there is room, whatever the disk has. */
  reserved: number;
}

export interface FolderInode {
  readonly kind: 'folder';
  durable: Map<string, number>;
  now: Map<string, number>;
  durableMode: number;
  mode: number;
}

export interface LinkInode {
  readonly kind: 'link';
  readonly target: string;
}

export type Inode = FileInode | FolderInode | LinkInode;

export interface EntryChange {
  readonly folder: number;
  readonly name: string;
  /** Inode that the name leads to from now on; null when the name is gone. */
  readonly to: number | null;
}

/** One operation on names: persists whole or not at all. */
export interface EntryOperation {
  readonly changes: readonly EntryChange[];
  /** The file, folder or link that was made, moved or removed. */
  readonly inode: number;
}

export function applyChange(content: Content, change: Change): Content {
  switch (change.kind) {
    case 'truncate':
      return { ...content, bytes: new Uint8Array(0) };
    case 'mode':
      return { ...content, mode: change.mode };
    case 'write': {
      const end = change.at + change.bytes.byteLength;
      const bytes = new Uint8Array(Math.max(content.bytes.byteLength, end));
      bytes.set(content.bytes);
      bytes.set(change.bytes, change.at);
      return { ...content, bytes };
    }
  }
}

/** True when the later operation can only be there if the earlier one is. */
export function dependsOn(later: EntryOperation, earlier: EntryOperation): boolean {
  if (later.inode === earlier.inode) return true;
  return later.changes.some((a) =>
    earlier.changes.some((b) => a.folder === b.folder && a.name === b.name),
  );
}

/** Those operations with all that they depend on, as ascending places in `operations`. */
export function withCauses(
  operations: readonly EntryOperation[],
  wanted: ReadonlySet<number>,
): Set<number> {
  const closed = new Set(wanted);
  for (let at = operations.length - 1; at >= 0; at -= 1) {
    if (!closed.has(at)) continue;
    for (let before = 0; before < at; before += 1) {
      if (dependsOn(operations[at]!, operations[before]!)) closed.add(before);
    }
  }
  return closed;
}

/** All operations but one and those that depend on it. */
export function without(operations: readonly EntryOperation[], missing: number): Set<number> {
  const gone = new Set([missing]);
  for (let at = missing + 1; at < operations.length; at += 1) {
    if ([...gone].some((one) => dependsOn(operations[at]!, operations[one]!))) gone.add(at);
  }
  return new Set([...operations.keys()].filter((at) => !gone.has(at)));
}

/** @param wasThere before the power came: an empty file then kept what was set aside for it */
export function newFile(bytes: Uint8Array, mode: number, wasThere = false): FileInode {
  const content = { bytes, mode };
  const reserved = wasThere && bytes.byteLength === 0 ? LIMITS.stateSpareBytes : 0;
  return { kind: 'file', durable: content, now: content, pending: [], reserved };
}

export const newFolder = (mode: number): FolderInode => ({
  ...{ kind: 'folder', durable: new Map(), now: new Map() },
  ...{ durableMode: mode, mode },
});

/** Inodes that the names of a disk lead to now. */
function usedOf(inodes: ReadonlyMap<number, Inode>): Inode[] {
  const used = new Map<number, Inode>();
  const waiting = [0];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    const inode = inodes.get(at);
    if (used.has(at) || !inode) continue;
    used.set(at, inode);
    if (inode.kind === 'folder') waiting.push(...inode.now.values());
  }
  return [...used.values()];
}

export const inodesOf = (inodes: ReadonlyMap<number, Inode>): number => usedOf(inodes).length;

/** Bytes of a file, with what is set aside for it. */
export const takenBy = (inode: Inode): number =>
  inode.kind === 'file' ? Math.max(inode.reserved, inode.now.bytes.byteLength) : 0;

export const bytesOf = (inodes: ReadonlyMap<number, Inode>): number =>
  usedOf(inodes).reduce((sum, inode) => sum + takenBy(inode), 0);

/** The changes that fsync of a folder makes durable, and the operations that are left then. */
export function settled(operations: readonly EntryOperation[], folder: number) {
  const isHere = ({ changes }: EntryOperation): boolean =>
    changes.some((one) => one.folder === folder);
  const leads = (operation: EntryOperation): boolean =>
    isHere(operation) && !isMovedAway(operation.changes, folder);
  const wanted = [...operations.keys()].filter((at) => leads(operations[at]!));
  const whole = withCauses(operations, new Set(wanted));
  const left: EntryOperation[] = [];
  const durable: EntryChange[] = [];
  for (const [at, operation] of operations.entries()) {
    const isWhole = whole.has(at) && !(isHere(operation) && !leads(operation));
    const here = isWhole
      ? operation.changes
      : operation.changes.filter((one) => one.folder === folder);
    durable.push(...here);
    const rest = operation.changes.filter((one) => !here.includes(one));
    if (rest.length > 0) left.push({ ...operation, changes: rest });
  }
  return { durable, left };
}

/** Something left this folder for another one. */
function isMovedAway(changes: readonly EntryChange[], folder: number): boolean {
  const target = changes.find((one) => one.to !== null);
  return target !== undefined && target.folder !== folder;
}

/** Nothing of its own content or mode is pending; its names are another matter. */
export const isDurable = (inode: Inode): boolean =>
  inode.kind === 'link' ||
  (inode.kind === 'file' ? inode.pending.length === 0 : inode.mode === inode.durableMode);

export function makeDurable(inode: Inode): void {
  if (inode.kind === 'file') [inode.durable, inode.pending] = [inode.now, []];
  if (inode.kind === 'folder') inode.durableMode = inode.mode;
}

/** The inodes that a program can reach now, or a boot may find. */
export function reachable(
  root: number,
  inodes: ReadonlyMap<number, Inode>,
  operations: readonly EntryOperation[],
): Set<number> {
  const alive = new Set<number>();
  const visit = (at: number): void => {
    const inode = inodes.get(at);
    if (alive.has(at) || !inode) return;
    alive.add(at);
    if (inode.kind !== 'folder') return;
    for (const child of [...inode.durable.values(), ...inode.now.values()]) visit(child);
  };
  visit(root);
  for (const { changes } of operations) for (const { to } of changes) if (to !== null) visit(to);
  return alive;
}
