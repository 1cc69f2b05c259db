/**
 * Decides what of an application's folder goes into the payload, and in which order: pure, over a
 * listing. It asks the policy that robots ask (shared/archive-entry.ts), so that what no robot
 * would unpack is refused here, where a person is present to fix it; and its answer must not depend
 * on dates, owners, umask or the order of the disk.
 */

import { checkArchiveEntry } from '../../shared/archive-entry.ts';
import { DroverError } from '../../shared/errors.ts';
import { LIMITS } from '../../shared/limits.ts';

/** One entry of a folder as found on disk. `path` is relative, with `/`, never empty. */
export interface TreeEntry {
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'symlink' | 'device' | 'fifo' | 'socket';
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly bytes: number;
  /** What a symlink says; empty for all others. */
  readonly linkTarget: string;
}

export interface PlannedEntry {
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'symlink';
  readonly mode: number;
  readonly bytes: number;
  readonly linkTarget: string;
}

export interface TreePlan {
  readonly entries: readonly PlannedEntry[];
  readonly files: number;
  /** Sum of the files, unpacked. */
  readonly bytes: number;
}

const TAR_TYPES = {
  file: 'file',
  folder: 'directory',
  symlink: 'symlink',
  device: 'character-device',
  fifo: 'fifo',
  socket: 'socket',
} as const;
const EXECUTE_BITS = 0o111;

/** @throws DroverError ARCHIVE_UNSAFE (names the entry), ARCHIVE_TOO_LARGE, USAGE for an empty tree */
export function planTree(listing: readonly TreeEntry[]): TreePlan {
  const keyed = listing.map((entry) => ({ entry, key: Buffer.from(entry.path) }));
  keyed.sort((a, b) => Buffer.compare(a.key, b.key));
  const entries: PlannedEntry[] = [];
  let files = 0;
  let bytes = 0;
  for (const { entry } of keyed) {
    assertRobotsTake(entry, { entries: entries.length, bytes });
    const planned = planEntry(entry);
    entries.push(planned);
    bytes += planned.bytes;
    if (planned.kind === 'file') files += 1;
  }
  if (files === 0) throw new DroverError('USAGE', 'build: the folder holds no file');
  return { entries, files, bytes };
}

function assertRobotsTake(entry: TreeEntry, soFar: { entries: number; bytes: number }): void {
  const isFile = entry.kind === 'file';
  const header = {
    name: entry.path,
    type: TAR_TYPES[entry.kind],
    linkname: entry.kind === 'symlink' ? entry.linkTarget : null,
    mode: entry.mode,
    size: isFile ? entry.bytes : 0,
  };
  try {
    // Nothing is packed yet, so only the absolute bound counts; the ratio is asked afterwards.
    checkArchiveEntry(header, soFar, LIMITS.archiveBytesMax);
  } catch (cause) {
    if (!(cause instanceof DroverError)) throw cause;
    throw new DroverError(cause.code, `build: robots would refuse to ${cause.message}`, {
      cause,
      facts: { entry: entry.path.slice(0, 200) },
    });
  }
}

function planEntry({ path, kind, mode, bytes, linkTarget }: TreeEntry): PlannedEntry {
  switch (kind) {
    case 'folder':
      return { path, kind, mode: 0o755, bytes: 0, linkTarget: '' };
    case 'symlink':
      return { path, kind, mode: 0o777, bytes: 0, linkTarget };
    case 'file': {
      const runs = (mode & EXECUTE_BITS) !== 0;
      return { path, kind, mode: runs ? 0o755 : 0o644, bytes, linkTarget: '' };
    }
    default:
      throw new TypeError(`planEntry: ${kind} passed the policy`);
  }
}
