/**
 * Finds out which other users may change a program, or a file that names keys or a broker: a user
 * who can replace it chooses the code or the keys of its owner. As in OpenSSH and sudo, the file,
 * each link to it and each folder above them have to belong to root or to the user of this process,
 * and no other user may write them. A folder with the sticky bit (`/tmp`) passes for what is there and
 * belongs to root or this user: others may add to it, and not replace its files. Any user may have
 * added what is there under another name, and may add what is absent.
 */

import { lstatSync, readlinkSync } from 'node:fs';
import { lstat, readlink } from 'node:fs/promises';
import { resolve } from 'node:path';
import { shellWord } from '../base/printable.ts';

export interface Unsafe {
  /** Without a full stop: `FOLDER may be written by others (mode 777)`. */
  readonly why: string;
  /** The command that repairs it. */
  readonly mend: string;
}

/** Users who may change a path. All are null when only root and this user may. */
export interface Judged {
  /** Every user of the machine. */
  readonly others: Unsafe | null;
  /** A user who owns a part of the path, and is neither root nor the one of this process. */
  readonly owner: Unsafe | null;
  /** The members of a group. */
  readonly group: Unsafe | null;
}

const NOBODY: Judged = { others: null, owner: null, group: null };

/** One name on the way to a file; `target` is null for what is no link. */
interface Place {
  readonly uid: number;
  readonly mode: number;
  readonly isFolder: boolean;
  readonly target: string | null;
}

const OTHERS_MAY_WRITE = 0o002;
const GROUP_MAY_WRITE = 0o020;
const STICKY = 0o1000;
/** As the kernel: a path with more links is a loop, which its reader reports. */
const LINKS_MAX = 40;

/** As `judgePath`, for a command. */
function judgePathNow(path: string): Judged {
  const walk = walkTo(path);
  for (let step = walk.next(); ;) {
    if (step.done === true) return step.value;
    step = walk.next(placeNow(step.value));
  }
}

/**
 * @param path may be absent: then it counts who may make it
 * @returns who may change it; nobody on a system without owners
 */
export async function judgePath(path: string): Promise<Judged> {
  const walk = walkTo(path);
  for (let step = walk.next(); ;) {
    if (step.done === true) return step.value;
    step = walk.next(await placeAt(step.value));
  }
}

/** Asks for each name on the way in turn; the answer is null for one that is absent. Sans-I/O. */
function* walkTo(path: string): Generator<string, Judged, Place | null> {
  const own = process.geteuid?.();
  let judged = NOBODY;
  if (own === undefined) return judged;
  const passed = new Map<string, Place>();
  let [folder, links] = ['', 0];
  let left = ['', ...namesIn(resolve(path))];
  for (let name = left.shift(); name !== undefined; name = left.shift()) {
    if (name === '..') {
      folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/')));
      continue;
    }
    const at = name === '' ? '' : `${folder}/${name}`;
    const place = yield at === '' ? '/' : at;
    const added =
      at === '' ? null : whyAdded(at, place, { folder, around: passed.get(folder), own });
    judged = joined(judged, { ...NOBODY, others: added });
    if (place === null) break;
    judged = joined(judged, judgePlace(at === '' ? '/' : at, place, own));
    if (place.target === null) {
      folder = at;
      passed.set(at, place);
      continue;
    }
    links += 1;
    if (links > LINKS_MAX) break;
    if (place.target.startsWith('/')) folder = '';
    left = [...namesIn(place.target), ...left];
  }
  return judged;
}

const namesIn = (path: string): string[] =>
  path.split('/').filter((name) => name !== '' && name !== '.');

const joined = (one: Judged, more: Judged): Judged => ({
  others: one.others ?? more.others,
  owner: one.owner ?? more.owner,
  group: one.group ?? more.group,
});

interface Around {
  readonly folder: string;
  /** That folder; undefined where it is no part of the way. */
  readonly around: Place | undefined;
  readonly own: number;
}

/** Null unless any user can have made it, or can make it, in a folder that all may add to. */
function whyAdded(at: string, place: Place | null, { folder, around, own }: Around): Unsafe | null {
  const mode = around?.mode ?? 0;
  const isOpen = (mode & OTHERS_MAY_WRITE) !== 0 && (mode & STICKY) !== 0;
  if (!isOpen || place?.uid === 0 || place?.uid === own) return null;
  const what = place === null ? 'is not there' : `belongs to another user (uid ${place.uid})`;
  const why = `${at} ${what}, and others may add to ${folder} (mode ${(mode & 0o7777).toString(8)})`;
  return { why, mend: 'name another folder' };
}

function judgePlace(at: string, { uid, mode, isFolder, target }: Place, own: number): Judged {
  const word = shellWord(at);
  if (uid !== own && uid !== 0) {
    const why = `${at} belongs to another user (uid ${uid})`;
    const mend = `chown ${target === null ? '' : '-h '}${own} ${word}`;
    return { ...NOBODY, owner: { why, mend } };
  }
  const isKept = target !== null || (isFolder && (mode & STICKY) !== 0);
  if (isKept) return NOBODY;
  const mend = `chmod go-w ${word}`;
  const bits = `(mode ${(mode & 0o777).toString(8)})`;
  if ((mode & OTHERS_MAY_WRITE) !== 0) {
    return { ...NOBODY, others: { why: `${at} may be written by others ${bits}`, mend } };
  }
  if ((mode & GROUP_MAY_WRITE) === 0) return NOBODY;
  return { ...NOBODY, group: { why: `${at} may be written by its group ${bits}`, mend } };
}

/** Null for a path that cannot be read: its reader reports why. */
function placeNow(at: string): Place | null {
  try {
    const found = lstatSync(at);
    return placeOf(found, found.isSymbolicLink() ? readlinkSync(at) : null);
  } catch {
    return null;
  }
}

async function placeAt(at: string): Promise<Place | null> {
  try {
    const found = await lstat(at);
    return placeOf(found, found.isSymbolicLink() ? await readlink(at) : null);
  } catch {
    return null;
  }
}

const placeOf = (
  found: { readonly uid: number; readonly mode: number; isDirectory(): boolean },
  target: string | null,
): Place => ({ uid: found.uid, mode: found.mode, isFolder: found.isDirectory(), target });

/** @returns null when nobody else may change it, no group either; also when it is not there */
export function whyUnsafe(path: string): Unsafe | null {
  if (placeNow(path) === null) return null; // the reader says what is wrong with it
  const { others, owner, group } = judgePathNow(path);
  return others ?? owner ?? group;
}

/** One line about such a file, for a command that goes on; null for a safe one. */
export function unsafeLine(path: string, what: string): string | null {
  const found = whyUnsafe(path);
  return found && `${what}: ${found.why}: ${found.mend}`;
}
