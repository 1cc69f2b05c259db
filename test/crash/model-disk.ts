/**
 * A disk in memory that remembers, for each thing done to it, whether it is durable yet. Its
 * methods show the disk as a running program sees it; `pending` is what a power cut may take away
 * (pending.ts says by which rules, crash-states.ts picks the states). Every change calls
 * `onOperation`.
 *
 * `skipSync` leaves out a sync without telling the caller: the mutants of the test.
 */

import { DroverError } from '../../shared/base/errors.ts';
import type {
  Disk,
  DiskFile,
  OpenUse,
  PathKind,
  PathStat,
} from '../../robot-client/install/disk-port.ts';
import type { FolderImage, Image } from './disk-image.ts';
import {
  applyChange,
  bytesOf,
  inodesOf,
  isDurable,
  makeDurable,
  newFile,
  newFolder,
  reachable,
  settled,
  takenBy,
  type Change,
  type EntryChange,
  type EntryOperation,
  type FileInode,
  type FolderInode,
  type Inode,
  type SyncName,
} from './pending.ts';

export interface ModelHooks {
  /** After each operation that changes something, a skipped sync included. */
  readonly onOperation?: (name: string, path: string) => void;
  /** True when this sync is to be left out. An `idle` one has nothing to make durable. */
  readonly skipSync?: (name: SyncName, path: string, idle: boolean) => boolean;
}

const ROOT = 0;

const full = (path: string, what: string): DroverError =>
  new DroverError('DISK_FULL', `change ${path}: no ${what} is left`);

const failed = (what: string, path: string, why: string): DroverError =>
  new DroverError('DISK_WRITE_FAILED', `${what} ${path}: ${why}`);

export class ModelDisk implements Disk {
  readonly inodes = new Map<number, Inode>();
  operations: readonly EntryOperation[] = [];
  hooks: ModelHooks;
  /** Files, folders and links that there may be at once, as on a file system with few inodes. */
  inodesMax = Infinity;
  /** Bytes of all files, with what is set aside for them. */
  bytesMax = Infinity;
  syncAllFromFiles = Infinity;
  readonly syncAllFrom = async (): Promise<number> => this.syncAllFromFiles;
  #nextInode = ROOT;

  constructor(image: FolderImage, hooks: ModelHooks = {}) {
    this.hooks = hooks;
    this.#load(image);
  }

  /** The same disk with the same pending changes, for a process that dies while power stays on. */
  clone(hooks: ModelHooks): ModelDisk {
    const copy = new ModelDisk({ kind: 'folder', entries: new Map(), mode: 0o755 }, hooks);
    for (const [at, inode] of this.inodes) {
      const own =
        inode.kind === 'folder'
          ? { ...inode, durable: new Map(inode.durable), now: new Map(inode.now) }
          : { ...inode };
      copy.inodes.set(at, own);
    }
    copy.operations = this.operations;
    copy.inodesMax = this.inodesMax;
    copy.bytesMax = this.bytesMax;
    copy.syncAllFromFiles = this.syncAllFromFiles;
    copy.#nextInode = this.#nextInode;
    return copy;
  }

  #add(inode: Inode): number {
    const at = this.#nextInode;
    this.#nextInode += 1;
    this.inodes.set(at, inode);
    return at;
  }

  #load(image: Image): number {
    if (image.kind === 'link') return this.#add({ kind: 'link', target: image.target });
    if (image.kind === 'file') return this.#add(newFile(image.bytes, image.mode, true));
    const inode = newFolder(image.mode);
    const at = this.#add(inode);
    for (const [name, child] of image.entries) inode.durable.set(name, this.#load(child));
    inode.now = new Map(inode.durable);
    return at;
  }

  #find(path: string): number | null {
    let at = ROOT;
    for (const name of path.split('/').filter((part) => part !== '')) {
      const inode = this.inodes.get(at);
      const next = inode?.kind === 'folder' ? inode.now.get(name) : undefined;
      if (next === undefined) return null;
      at = next;
    }
    return at;
  }

  #inode(path: string): Inode | null {
    const at = this.#find(path);
    return at === null ? null : (this.inodes.get(at) ?? null);
  }

  #place(path: string): { at: number; folder: FolderInode; name: string } {
    const cut = path.lastIndexOf('/');
    const at = this.#find(path.slice(0, cut));
    const folder = at === null ? undefined : this.inodes.get(at);
    if (at === null || folder?.kind !== 'folder') throw failed('find', path, 'no such folder');
    return { at, folder, name: path.slice(cut + 1) };
  }

  /** One operation on names: seen at once, durable later. */
  #enter(inode: number, changes: readonly EntryChange[]): void {
    for (const { folder, name, to } of changes) {
      const inside = this.inodes.get(folder) as FolderInode;
      if (to === null) inside.now.delete(name);
      else inside.now.set(name, to);
    }
    this.operations = [...this.operations, { inode, changes }];
  }

  #make(path: string, inode: Inode): void {
    const { at, folder, name } = this.#place(path);
    if (folder.now.has(name)) throw failed('make', path, 'it is there already');
    if (inodesOf(this.inodes) >= this.inodesMax) throw full(path, 'inode');
    const to = this.#add(inode);
    this.#enter(to, [{ folder: at, name, to }]);
  }

  #did(name: string, path: string): void {
    this.hooks.onOperation?.(name, path);
  }

  async kind(path: string): Promise<PathKind> {
    return this.#inode(path)?.kind ?? 'absent';
  }

  async stat(path: string): Promise<PathStat> {
    const inode = this.#inode(path);
    if (inode === null) return { kind: 'absent', bytes: 0, mode: 0 };
    if (inode.kind === 'file') {
      const { bytes, mode } = inode.now;
      return { kind: 'file', bytes: bytes.byteLength, mode };
    }
    return { kind: inode.kind, bytes: 0, mode: inode.kind === 'folder' ? inode.mode : 0o777 };
  }

  async readlink(path: string): Promise<string | null> {
    const inode = this.#inode(path);
    return inode?.kind === 'link' ? inode.target : null;
  }

  async identity(path: string): Promise<string | null> {
    const at = this.#find(path);
    return at === null ? null : `0:${at}`;
  }

  async list(path: string): Promise<string[]> {
    const inode = this.#inode(path);
    return inode?.kind === 'folder' ? [...inode.now.keys()].sort() : [];
  }

  async readFile(path: string): Promise<Uint8Array | null> {
    const inode = this.#inode(path);
    return inode?.kind === 'file' ? inode.now.bytes.slice() : null;
  }

  async mkdir(path: string): Promise<void> {
    const parts = path.split('/').filter((part) => part !== '');
    for (const depth of parts.keys()) {
      const upTo = `/${parts.slice(0, depth + 1).join('/')}`;
      const inode = this.#inode(upTo);
      if (inode?.kind === 'folder') continue;
      this.#make(upTo, newFolder(0o755));
      this.#did('mkdir', upTo);
    }
  }

  async open(path: string, use: OpenUse, mode = 0o644): Promise<DiskFile> {
    if (use === 'new' && this.#inode(path) !== null) throw failed('open', path, 'it is there');
    if (this.#inode(path) === null) {
      if (use === 'read') throw failed('open', path, 'no such file');
      this.#make(path, newFile(new Uint8Array(0), mode));
      this.#did('create', path);
    }
    const inode = this.#inode(path);
    if (inode?.kind !== 'file') throw failed('open', path, 'not a file');
    if (use === 'create' && inode.now.bytes.byteLength > 0) {
      this.#change(inode, { kind: 'truncate' });
      inode.reserved = 0;
      this.#did('truncate', path);
    }
    return this.#handle(path, inode);
  }

  #handle(path: string, inode: FileInode): DiskFile {
    return {
      write: async (bytes, at) => {
        this.#assertRoom(path, inode, at + bytes.byteLength);
        if (bytes.byteLength > 0) this.#change(inode, { kind: 'write', at, bytes: bytes.slice() });
        this.#did('write', path);
      },
      read: async (into, at) => {
        const piece = inode.now.bytes.subarray(at, at + into.byteLength);
        into.set(piece);
        return piece.byteLength;
      },
      size: async () => inode.now.bytes.byteLength,
      setMode: async (mode) => {
        this.#change(inode, { kind: 'mode', mode });
        this.#did('chmod', path);
      },
      // Times are not modelled: nothing is decided by them.
      setTime: async () => this.#did('set time', path),
      sync: async () => {
        if (this.hooks.skipSync?.('fsync', path, inode.pending.length === 0) !== true) {
          makeDurable(inode);
        }
        this.#did('fsync', path);
      },
      close: async () => {},
    };
  }

  #change(inode: FileInode, change: Change): void {
    inode.now = applyChange(inode.now, change);
    inode.pending = [...inode.pending, change];
  }

  async chmod(path: string, mode: number): Promise<void> {
    const inode = this.#inode(path);
    if (inode?.kind === 'file') this.#change(inode, { kind: 'mode', mode });
    else if (inode?.kind === 'folder') inode.mode = mode;
    else throw failed('chmod', path, 'not a file or folder');
    this.#did('chmod', path);
  }

  async hardLink(existing: string, path: string): Promise<boolean> {
    const inode = this.#find(existing);
    if (inode === null) throw failed('link', existing, 'no such file');
    const { at, folder, name } = this.#place(path);
    if (folder.now.has(name)) throw failed('link', path, 'it is there already');
    if (this.inodes.get(inode)?.kind === 'folder') return false;
    this.#enter(inode, [{ folder: at, name, to: inode }]);
    this.#did('link', path);
    return true;
  }

  async symlink(target: string, path: string): Promise<void> {
    this.#make(path, { kind: 'link', target });
    this.#did('symlink', path);
  }

  async rename(from: string, to: string): Promise<void> {
    const inode = this.#find(from);
    if (inode === null) throw failed('rename', from, 'no such file');
    const [source, target] = [this.#place(from), this.#place(to)];
    if (this.#inode(to)?.kind === 'folder') throw failed('rename', to, 'a folder is in the way');
    this.#enter(inode, [
      { folder: source.at, name: source.name, to: null },
      { folder: target.at, name: target.name, to: inode },
    ]);
    this.#did('rename', to);
  }

  readonly canRename = async (): Promise<boolean> => true;

  async mountsIn(): Promise<string[]> {
    return [];
  }

  async unlink(path: string): Promise<void> {
    const inode = this.#find(path);
    if (inode === null) return;
    if (this.inodes.get(inode)?.kind === 'folder') throw failed('remove', path, 'a folder');
    this.#remove(path, inode);
  }

  #remove(path: string, inode: number): void {
    const { at, name } = this.#place(path);
    this.#enter(inode, [{ folder: at, name, to: null }]);
    this.#did('remove', path);
  }

  async copyTree(from: string, to: string): Promise<void> {
    this.#place(to); // the folder above has to be there
    const inode = this.#inode(from);
    if (inode?.kind === 'link') return this.symlink(inode.target, to);
    if (inode?.kind === 'file') {
      const file = await this.open(to, 'create', inode.now.mode);
      return file.write(inode.now.bytes, 0);
    }
    if (inode?.kind !== 'folder') throw failed('copy', from, 'no such file');
    await this.mkdir(to);
    await this.chmod(to, inode.mode);
    for (const name of await this.list(from))
      await this.copyTree(`${from}/${name}`, `${to}/${name}`);
  }

  /** Name by name, as a real one is removed: the power may go between any two. */
  async removeTree(path: string): Promise<void> {
    const at = this.#find(path);
    if (at === null) return;
    for (const name of await this.list(path)) await this.removeTree(`${path}/${name}`);
    this.#remove(path, at);
  }

  async syncFolder(path: string): Promise<void> {
    const at = this.#find(path);
    const inode = this.#inode(path);
    if (at === null || inode?.kind !== 'folder') throw failed('fsync', path, 'no such folder');
    const touches = ({ changes }: EntryOperation) => changes.some((one) => one.folder === at);
    const idle = inode.mode === inode.durableMode && !this.operations.some(touches);
    if (this.hooks.skipSync?.('fsync folder', path, idle) !== true) {
      inode.durableMode = inode.mode;
      this.#settle(at);
    }
    this.#did('fsync folder', path);
  }

  /** This disk is one file system: all that was done before is durable, whatever comes after. */
  async syncAll(path: string): Promise<boolean> {
    if (this.#inode(path)?.kind !== 'folder') throw failed('sync', path, 'no such folder');
    const inodes = [...this.inodes.values()];
    const idle = this.operations.length === 0 && inodes.every(isDurable);
    if (this.hooks.skipSync?.('syncfs', path, idle) !== true) {
      this.operations.flatMap(({ changes }) => changes).forEach((one) => this.#persist(one));
      this.operations = [];
      inodes.forEach(makeDurable);
      this.#forgetUnreachable();
    }
    this.#did('syncfs', path);
    return true;
  }

  /** Only `allocated` shows it, and a full disk: a power cut leaves an empty file. */
  async reserve(paths: readonly string[], bytes: number): Promise<boolean> {
    for (const path of paths) await (await this.open(path, 'update', 0o644)).close();
    for (const path of paths) {
      const inode = this.#inode(path) as FileInode;
      this.#assertRoom(path, inode, bytes);
      inode.reserved = Math.max(inode.reserved, bytes);
    }
    return true;
  }

  #assertRoom(path: string, inode: FileInode, bytes: number): void {
    const more = this.bytesMax === Infinity ? 0 : bytes - takenBy(inode);
    if (more > 0 && bytesOf(this.inodes) + more > this.bytesMax) throw full(path, 'room');
  }

  async allocated(path: string): Promise<number> {
    const inode = this.#inode(path);
    return inode === null ? 0 : takenBy(inode);
  }

  async free(): Promise<{ bytes: number; inodes: null }> {
    return { bytes: Number.MAX_SAFE_INTEGER, inodes: null };
  }

  #settle(folder: number): void {
    const { durable, left } = settled(this.operations, folder);
    for (const one of durable) this.#persist(one);
    this.operations = left;
    this.#forgetUnreachable();
  }

  #persist({ folder, name, to }: EntryChange): void {
    const inside = this.inodes.get(folder) as FolderInode;
    if (to === null) inside.durable.delete(name);
    else inside.durable.set(name, to);
  }

  /** A change in a folder that can never be seen again makes no state of its own. */
  #forgetUnreachable(): void {
    const alive = reachable(ROOT, this.inodes, this.operations);
    this.operations = this.operations.filter(({ changes }) =>
      changes.some(({ folder }) => alive.has(folder)),
    );
    for (const at of [...this.inodes.keys()]) if (!alive.has(at)) this.inodes.delete(at);
  }
}
