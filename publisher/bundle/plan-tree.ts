/**
 * Decides which entries of an application's folder go into the payload, and in which order. It
 * applies the policy of the robots (shared/formats/archive-entry.ts), so that a payload that no
 * robot would unpack is refused here, where a person can fix it. The result does not depend on
 * owners, dates or the order of the disk. Permission bits are part of the application and are
 * packed unchanged. Sans-I/O.
 */

import { checkArchiveEntry } from '../../shared/formats/archive-entry.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { ByteCodeHead } from '../../shared/rules/byte-code.ts';
import { byteCodeTimes } from './byte-code-times.ts';

/** One entry of a folder as found on disk. `path` is relative, with `/`, never empty. */
export interface TreeEntry {
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'symlink' | 'device' | 'fifo' | 'socket';
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly bytes: number;
  /** Target of a symlink; empty for all others. */
  readonly linkTarget: string;
  /** Whole seconds since the epoch. */
  readonly timeS: number;
  /** Set for a compiled Python file that is bound to the time of its source; else null. */
  readonly byteCode: ByteCodeHead | null;
}

export interface PlanOptions {
  /** 0755 for folders and executables, 0644 for the rest, whatever the umask made. */
  readonly plainModes?: boolean;
}

export interface PlannedEntry {
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'symlink';
  readonly mode: number;
  readonly bytes: number;
  readonly linkTarget: string;
  /** Seconds since the epoch; 0 for all but sources of valid byte code. */
  readonly timeS: number;
}

export interface TreePlan {
  readonly entries: readonly PlannedEntry[];
  readonly files: number;
  /** Sum of the files, unpacked. */
  readonly bytes: number;
  /** Compiled Python files that are not valid for their source. */
  readonly staleByteCode: readonly string[];
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
const FILE_BITS = 0o777;
const FOLDER_BITS = 0o1777;

/** @throws DroverError ARCHIVE_UNSAFE (names the entry), ARCHIVE_TOO_LARGE, USAGE for an empty tree */
export function planTree(
  listing: readonly TreeEntry[],
  { plainModes = false }: PlanOptions = {},
): TreePlan {
  const { times, stale } = byteCodeTimes(listing);
  const keyed = listing.map((entry) => ({ entry, key: Buffer.from(entry.path) }));
  keyed.sort((a, b) => Buffer.compare(a.key, b.key));
  const entries: PlannedEntry[] = [];
  let files = 0;
  let bytes = 0;
  for (const { entry } of keyed) {
    assertRobotsTake(entry, { entries: entries.length, bytes });
    const planned = planEntry(entry, plainModes, times.get(entry.path) ?? 0);
    entries.push(planned);
    bytes += planned.bytes;
    if (planned.kind === 'file') files += 1;
  }
  if (files === 0) throw new DroverError('USAGE', 'build: the folder holds no file');
  return { entries, files, bytes, staleByteCode: stale };
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
    // Nothing is packed yet, so only the absolute bound applies; the ratio is checked afterwards.
    checkArchiveEntry(header, soFar, LIMITS.archiveBytesMax);
  } catch (cause) {
    if (!(cause instanceof DroverError)) throw cause;
    throw new DroverError(cause.code, `build: robots would refuse to ${cause.message}`, {
      cause,
      facts: { entry: entry.path.slice(0, 200) },
    });
  }
}

function planEntry(entry: TreeEntry, plainModes: boolean, timeS: number): PlannedEntry {
  const { path, kind, mode, bytes, linkTarget } = entry;
  const rest = { path, linkTarget: '', bytes: 0, timeS };
  switch (kind) {
    case 'folder':
      return { ...rest, kind, mode: plainModes ? 0o755 : mode & FOLDER_BITS };
    case 'symlink':
      return { ...rest, kind, mode: 0o777, linkTarget };
    case 'file': {
      const plain = (mode & EXECUTE_BITS) !== 0 ? 0o755 : 0o644;
      return { ...rest, kind, mode: plainModes ? plain : mode & FILE_BITS, bytes };
    }
    default:
      throw new TypeError(`planEntry: ${kind} passed the policy`);
  }
}
