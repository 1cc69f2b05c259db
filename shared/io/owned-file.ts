/**
 * Finds out which other users may change a program, or a file that names keys or a broker: a user
 * who can replace it chooses the code or the keys of its owner. As in OpenSSH and sudo, the file,
 * each link to it and each folder above them have to belong to root or to the user of this process,
 * and no other user may write them. A folder with the sticky bit (`/tmp`) passes for what is there
 * and belongs to root or this user: others may add to it, and not replace its files. Any user may
 * add what is absent there.
 *
 * A folder of PATH is judged more strictly (`judgeSearched`): others who may add a file may add a
 * program. A path of another user is judged by its rights as well, and counts as everybody's in a
 * sticky folder. For a hook or a root both are one user's, a warning: robots that have them so
 * would refuse the update of their own agent.
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
export const judgePath = (path: string): Promise<Judged> => follow(walkTo(path));

/** As `judgePath`, for a folder in which programs are found by their names. */
export const judgeSearched = (folder: string): Promise<Judged> => follow(walkTo(folder, true));

async function follow(walk: ReturnType<typeof walkTo>): Promise<Judged> {
  for (let step = walk.next(); ;) {
    if (step.done === true) return step.value;
    step = walk.next(await placeAt(step.value));
  }
}

/** Asks for each name on the way in turn; the answer is null for one that is absent. Sans-I/O. */
function* walkTo(path: string, isSearched = false): Generator<string, Judged, Place | null> {
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
    if (at !== '' && (place === null || isSearched)) {
      const added = whyAdded(at, place, { folder, around: passed.get(folder), own });
      judged = joined(judged, { ...NOBODY, others: added });
    }
    if (place === null) return judged;
    judged = joined(judged, judgePlace(at === '' ? '/' : at, place, { own, isSearched }));
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
  const end = passed.get(folder);
  if (!isSearched || !isOpenAndSticky(end)) return judged;
  const why = `others may add to ${folder} (mode ${modeOf(end, 0o7777)})`;
  return joined(judged, { ...NOBODY, others: { why, mend: 'set PATH without it' } });
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
  if (!isOpenAndSticky(around) || place?.uid === 0 || place?.uid === own) return null;
  const what = place === null ? 'is not there' : `belongs to another user (uid ${place.uid})`;
  const why = `${at} ${what}, and others may add to ${folder} (mode ${modeOf(around, 0o7777)})`;
  return { why, mend: 'name another folder' };
}

const isOpenAndSticky = (place: Place | undefined): place is Place =>
  place !== undefined && (place.mode & OTHERS_MAY_WRITE) !== 0 && (place.mode & STICKY) !== 0;

const modeOf = ({ mode }: Place, bits: number): string => (mode & bits).toString(8);

function judgePlace(
  at: string,
  place: Place,
  { own, isSearched }: { readonly own: number; readonly isSearched: boolean },
): Judged {
  const { uid, target } = place;
  if (uid === own || uid === 0) return judgeRights(at, place);
  const why = `${at} belongs to another user (uid ${uid})`;
  const mend = `chown ${target === null ? '' : '-h '}${own} ${shellWord(at)}`;
  const owner = { why, mend };
  return isSearched ? { ...judgeRights(at, place), owner } : { ...NOBODY, owner };
}

function judgeRights(at: string, place: Place): Judged {
  const { mode, isFolder, target } = place;
  const isKept = target !== null || (isFolder && (mode & STICKY) !== 0);
  if (isKept) return NOBODY;
  const mend = `chmod go-w ${shellWord(at)}`;
  const bits = `(mode ${modeOf(place, 0o777)})`;
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

/** Names that are asked for right now. */
const asked = new Map<string, Promise<Place | null>>();

/**
 * Asks once at a time for each name: a mount that is dead never answers, and each question that
 * waits for it takes one of the few threads that serve all files of this process.
 */
async function placeAt(at: string): Promise<Place | null> {
  const before = asked.get(at);
  if (before !== undefined) return await before;
  const found = lookAt(at).finally(() => asked.delete(at));
  asked.set(at, found);
  return await found;
}

async function lookAt(at: string): Promise<Place | null> {
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
