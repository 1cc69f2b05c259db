/**
 * The policy for one entry of an application archive: what it may become on disk. Robots apply it
 * to every entry of a payload, although its signature was verified: neither a stolen release key
 * nor a careless build machine may create files outside of the release. Each entry is judged by
 * itself here; ArchiveTree checks it against earlier entries. Sans-I/O.
 */

import { utf8 } from '../crypto/bytes.ts';
import { DroverError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { printable } from '../base/printable.ts';

/** One header of a tar, as read and not yet believed. */
export interface ArchiveEntry {
  readonly name: string;
  /** The type's name as tar-stream has it; anything unknown is refused. */
  readonly type: string;
  readonly linkname: string | null;
  readonly mode: number;
  readonly size: number;
  /** Seconds since the epoch; 0 or left out for a file that has no time of its own. */
  readonly timeS?: number;
}

/** The size of the archive so far: inodes and unpacked bytes. */
export interface ArchiveSoFar {
  readonly entries: number;
  readonly bytes: number;
}

/** `path` is relative, normalised and joined with `/`; `mode` is within 0777, of a folder 01777. */
export type ArchiveAction =
  | { readonly kind: 'ignore' }
  | { readonly kind: 'folder'; readonly path: string; readonly mode: number }
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly mode: number;
      readonly bytes: number;
      readonly timeS?: number;
    }
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  | { readonly kind: 'hardlink'; readonly path: string; readonly target: string };

const PERMISSION_BITS = 0o777;
/** setuid, setgid and sticky. */
const SPECIAL_BITS = 0o7000;
const FOLDER_BITS = 0o1777;
const OWNER_READS = 0o500;

export function unsafeEntry(name: string, why: string): DroverError {
  return new DroverError('ARCHIVE_UNSAFE', `unpack "${printable(name)}": ${why}`);
}

function tooLarge(what: string, why: string): DroverError {
  return new DroverError('ARCHIVE_TOO_LARGE', `unpack ${what}: ${why}`);
}

/**
 * The bound on the unpacked size, checked for files before they are read and for the tar stream
 * itself, since headers and padding can be inflated as well.
 * @throws DroverError ARCHIVE_TOO_LARGE
 */
export function assertUnpackedWithin(bytes: number, packedBytes: number, what: string): void {
  const byRatio = packedBytes * LIMITS.archiveExpansionMax;
  const bytesMax = Math.min(
    LIMITS.archiveBytesMax,
    Math.max(LIMITS.archiveExpansionFloorBytes, byRatio),
  );
  if (bytes <= bytesMax) return;
  throw tooLarge(what, `too many bytes (got ${bytes} from ${packedBytes}, want <= ${bytesMax})`);
}

/**
 * The packed size that bounds the unpacked size of a payload. The manifest of an image has its
 * exact size, which bounds it better: an image may be mostly zeroes, and then it packs to nothing.
 */
export const boundingBytes = (packedBytes: number, imageBytes: number | undefined): number =>
  imageBytes === undefined
    ? packedBytes
    : Math.max(
        packedBytes,
        Math.ceil((imageBytes + LIMITS.imageTarBytesMax) / LIMITS.archiveExpansionMax),
      );

/** @throws DroverError ARCHIVE_TOO_LARGE */
export function assertEntriesWithin(entries: number, name: string): void {
  if (entries <= LIMITS.archiveEntriesMax) return;
  const why = `too many entries (got ${entries}, want <= ${LIMITS.archiveEntriesMax})`;
  throw tooLarge(`"${printable(name)}"`, why);
}

/**
 * @param soFar what the entries before this one came to
 * @param packedBytes size of the compressed payload
 * @throws DroverError ARCHIVE_UNSAFE, ARCHIVE_TOO_LARGE; the message names the entry
 */
export function checkArchiveEntry(
  entry: ArchiveEntry,
  soFar: ArchiveSoFar,
  packedBytes: number,
): ArchiveAction {
  const { name } = entry;
  const segments = safeSegments(name, name, 'name');
  const path = segments.join('/');
  if (!Number.isSafeInteger(entry.size) || entry.size < 0) {
    throw unsafeEntry(name, `size is no number of bytes (got ${entry.size})`);
  }
  if (!Number.isSafeInteger(entry.mode) || entry.mode < 0) {
    throw unsafeEntry(name, `mode is no set of permission bits (got ${entry.mode})`);
  }
  const isFolder = entry.type === 'directory' || (entry.type === 'file' && name.endsWith('/'));
  if (isFolder || entry.type !== 'file') assertNoBody(entry);
  // The top folder exists already and its mode is ours: a tree packed from a `mktemp -d` folder
  // (0700) would otherwise lock the application's user out of its own release.
  if (isFolder && path === '') return { kind: 'ignore' };
  if (path === '') throw unsafeEntry(name, `has no name below the top folder`);
  assertEntriesWithin(soFar.entries + 1, name);
  // setgid is on every folder below a shared one and is about the build machine's group: cleared.
  // The owner can always list a folder, or it could neither be synced nor checked nor removed.
  if (isFolder) return { kind: 'folder', path, mode: (entry.mode & FOLDER_BITS) | OWNER_READS };
  switch (entry.type) {
    case 'file': {
      const special = entry.mode & SPECIAL_BITS;
      if (special !== 0) {
        throw unsafeEntry(
          name,
          `setuid, setgid or sticky file (got mode ${entry.mode.toString(8)})`,
        );
      }
      assertUnpackedWithin(soFar.bytes + entry.size, packedBytes, `"${printable(name)}"`);
      const file = { path, mode: entry.mode & PERMISSION_BITS, bytes: entry.size };
      return { kind: 'file', ...file, ...(entry.timeS && { timeS: entry.timeS }) };
    }
    case 'symlink':
      return { kind: 'link', path, target: safeLinkTarget(entry, segments) };
    case 'link':
      return { kind: 'hardlink', path, target: hardlinkTarget(entry) };
    default:
      throw unsafeEntry(
        name,
        `type not allowed (got ${printable(entry.type)}, want file, folder or link)`,
      );
  }
}

function assertNoBody({ name, type, size }: ArchiveEntry): void {
  // Tar readers disagree on whether such a body is there, so two of them would see two archives.
  if (size !== 0) throw unsafeEntry(name, `a ${printable(type)} with a body of ${size} bytes`);
}

/** The segments of a relative path without `.` and empty ones; empty for the top folder itself. */
function safeSegments(text: string, name: string, what: string): string[] {
  assertText(text, name, what);
  if (text.startsWith('/')) throw unsafeEntry(name, `${what} is absolute`);
  const segments = text.split('/').filter((segment) => segment !== '' && segment !== '.');
  if (segments.includes('..')) throw unsafeEntry(name, `${what} holds ..`);
  if (segments.some((segment) => utf8(segment).byteLength > LIMITS.archiveNameBytesMax)) {
    throw unsafeEntry(name, `${what} has a part above ${LIMITS.archiveNameBytesMax} bytes`);
  }
  return segments;
}

function assertText(text: string, name: string, what: string): void {
  if (text === '') throw unsafeEntry(name, `${what} is empty`);
  if (text.includes('\0')) throw unsafeEntry(name, `${what} holds a NUL`);
  // The reader puts U+FFFD where bytes were no UTF-8: the name on disk would be another one.
  if (text.includes('\uFFFD')) throw unsafeEntry(name, `${what} is not UTF-8`);
  const bytes = utf8(text).byteLength;
  if (bytes > LIMITS.archivePathBytesMax) {
    const why = `(got ${bytes} bytes, want <= ${LIMITS.archivePathBytesMax})`;
    throw unsafeEntry(name, `${what} is too long ${why}`);
  }
}

/**
 * A target may climb only at its start. After a name, `..` would lead to the parent of whatever
 * that name is a link to, so two harmless links together could leave the tree.
 */
function safeLinkTarget({ name, linkname }: ArchiveEntry, segments: readonly string[]): string {
  const target = linkname ?? '';
  assertText(target, name, 'link target');
  if (target.startsWith('/')) throw unsafeEntry(name, 'link target is absolute');
  const steps = target.split('/').filter((segment) => segment !== '' && segment !== '.');
  const climbs = steps.findIndex((step) => step !== '..');
  const up = climbs === -1 ? steps.length : climbs;
  if (steps.slice(up).includes('..')) {
    throw unsafeEntry(name, `link target has .. after a name (got "${printable(target)}")`);
  }
  if (up > segments.length - 1) {
    throw unsafeEntry(name, `link target leaves the tree (got "${printable(target)}")`);
  }
  return target;
}

function hardlinkTarget({ name, linkname }: ArchiveEntry): string {
  const target = safeSegments(linkname ?? '', name, 'link target').join('/');
  if (target === '') throw unsafeEntry(name, 'link target is the top folder');
  return target;
}
