/**
 * Tells who else may change a file that names what is trusted: whoever writes it chooses the
 * broker, the keys or the login of its owner's next command. As in ssh, the file and its folder
 * have to belong to the user or to root, and nobody else may write them.
 */

import { realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { shellWord } from '../base/printable.ts';

export interface Unsafe {
  /** Without a full stop: `FOLDER may be written by others (mode 777)`. */
  readonly why: string;
  /** The command that repairs it. */
  readonly mend: string;
}

const OTHERS_MAY_WRITE = 0o022;
/** Others may add to such a folder, and not replace what is there: /tmp. */
const STICKY = 0o1000;

/**
 * @param path may be a link: the place of the link and that of the file are both checked
 * @returns null when nobody else may change it; also when it is not there
 */
export function whyUnsafe(path: string): Unsafe | null {
  let places: string[];
  try {
    const real = realpathSync(path);
    places = [real, dirname(real), realpathSync(dirname(path))];
  } catch {
    return null; // the reader says what is wrong with it
  }
  for (const place of new Set(places)) {
    const found = whyUnsafePlace(place, place === places[0]);
    if (found) return found;
  }
  return null;
}

function whyUnsafePlace(place: string, isFile: boolean): Unsafe | null {
  const { uid, mode } = statSync(place);
  const own = process.geteuid?.();
  if (own === undefined) return null; // a system without owners
  const word = shellWord(place);
  if (uid !== own && uid !== 0) {
    return { why: `${place} belongs to another user (uid ${uid})`, mend: `chown ${own} ${word}` };
  }
  const isKept = !isFile && (mode & STICKY) !== 0;
  if ((mode & OTHERS_MAY_WRITE) === 0 || isKept) return null;
  const bits = (mode & 0o777).toString(8);
  return { why: `${place} may be written by others (mode ${bits})`, mend: `chmod go-w ${word}` };
}

/** One line about such a file, for a command that goes on; null for a safe one. */
export function unsafeLine(path: string, what: string): string | null {
  const found = whyUnsafe(path);
  return found && `${what}: ${found.why}: ${found.mend}`;
}
