/**
 * The robot's disk as a narrow port. Everything that touches an install uses it, so that a test can
 * use a model disk instead, record each operation and cut the power after any one. Sans-I/O.
 */

export type PathKind = 'file' | 'folder' | 'link' | 'other' | 'absent';

/** Names the kind of a path in a sentence: `a folder`. */
export const inWords = (kind: PathKind): string =>
  kind === 'other' ? 'something else' : `a ${kind}`;

export interface PathStat {
  readonly kind: PathKind;
  readonly bytes: number;
  /** Permission bits. */
  readonly mode: number;
}

export interface DiskFile {
  /** Writes all bytes at that offset. @throws DroverError DISK_FULL, DISK_WRITE_FAILED */
  write(bytes: Uint8Array, atByte: number): Promise<void>;
  /** Reads up to `into.byteLength` bytes; returns how many, 0 at the end. */
  read(into: Uint8Array, atByte: number): Promise<number>;
  size(): Promise<number>;
  /** Sets permission bits, whatever the umask. */
  setMode(mode: number): Promise<void>;
  /** Sets when the file was last changed, in seconds since the epoch. */
  setTime(timeS: number): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

export type OpenUse = 'new' | 'create' | 'update' | 'read';

export interface Disk {
  kind(path: string): Promise<PathKind>;
  /** Of the path itself, without following links; `bytes` and `mode` are 0 when it is absent. */
  stat(path: string): Promise<PathStat>;
  /** Target text of a symbolic link; null when there is no link at `path`. */
  readlink(path: string): Promise<string | null>;
  /** Device and inode of the path itself, links not followed; null when absent. */
  identity(path: string): Promise<string | null>;
  /** Names in a folder, sorted; empty when it is absent. */
  list(path: string): Promise<string[]>;
  /** Whole small file; null when absent. @throws DroverError DOCUMENT_TOO_LARGE */
  readFile(path: string, bytesMax: number): Promise<Uint8Array | null>;
  /** With parents; no error when it is there. */
  mkdir(path: string): Promise<void>;
  /**
   * `new` must not be there, `create` truncates, `update` keeps what is there (made when absent),
   * `read` must exist.
   */
  open(path: string, use: OpenUse, mode?: number): Promise<DiskFile>;
  /** Sets permission bits, whatever the umask. */
  chmod(path: string, mode: number): Promise<void>;
  /** A second name for a file. False where the file system has none. */
  hardLink(existing: string, path: string): Promise<boolean>;
  symlink(target: string, path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** False when a name cannot move from one of these folders to the other (EXDEV). */
  canRename(fromFolder: string, toFolder: string): Promise<boolean>;
  /** Mount points in a folder, or on it; empty where the kernel shows no mounts. */
  mountsIn(folder: string): Promise<string[]>;
  /** A file or link; no error when absent. */
  unlink(path: string): Promise<void>;
  /** A whole tree with modes, owners and times; `to` must not be there. Nothing is synced. */
  copyTree(from: string, to: string): Promise<void>;
  /** A whole tree, links not followed; no error when absent. */
  removeTree(path: string): Promise<void>;
  /** Makes the entries of a folder durable: names made, renamed or removed in it. */
  syncFolder(path: string): Promise<void>;
  /** From how many small files on `syncAll` costs less than fsync of each; Infinity without it. */
  syncAllFrom(folder: string): Promise<number>;
  /**
   * Makes everything durable that was done before on the file system of a folder: bytes, modes and
   * names, those of other programs too.
   * @returns false when it is not known to be: files and folders have to be synced one by one
   * @throws DroverError DISK_FULL, DISK_READ_ONLY, DISK_WRITE_FAILED; or the signal's reason
   */
  syncAll(folder: string, signal?: AbortSignal): Promise<boolean>;
  /**
   * Reserves room for `bytes` of each file (created when absent) without changing its length, so
   * that no other program can take it. False where the file system or the machine cannot.
   * @throws DroverError DISK_FULL; some of the files may have their room then
   */
  reserve(paths: readonly string[], bytes: number): Promise<boolean>;
  /** Bytes that a file takes up, what is reserved for it included; 0 when absent. */
  allocated(path: string): Promise<number>;
  /** `inodes` is null on file systems that do not count them. */
  free(path: string): Promise<{ readonly bytes: number; readonly inodes: number | null }>;
}
