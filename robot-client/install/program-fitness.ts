/**
 * Looks whether a program of the integrator can be run, and says in words why not. The system's own
 * answer misleads: of a script whose interpreter is missing it says that the script does not exist,
 * and of a mount that forbids programs that the right to run it is missing.
 */

import { constants, type Stats } from 'node:fs';
import { access, lstat, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf, wordsOfErrno } from '../../shared/base/errno.ts';
import { printable } from '../../shared/base/printable.ts';

export type Fitness =
  | { readonly kind: 'fit' }
  | { readonly kind: 'absent' }
  /** `why` goes on from the name of the program: `is not a file: PATH`. */
  | { readonly kind: 'unfit'; readonly why: string };

/** As much of the first line of a script as the kernel reads. */
const FIRST_LINE_BYTES_MAX = 256;
const ANY_MAY_RUN = 0o111;

const unfit = (why: string): Fitness => ({ kind: 'unfit', why });

/** `absent` only where no name at all stands: anything else was meant to be run. */
export async function fitnessOf(path: string): Promise<Fitness> {
  let found: Stats | null = null;
  try {
    found = await stat(path);
    if (!found.isFile()) return unfit(`is not a file: ${path}`);
    await access(path, constants.X_OK);
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'EACCES') return unfit(`is not executable: ${mendOf(path, found)}`);
    if (code === 'ENOENT' || code === 'ENOTDIR') return await whyNotThere(path);
    return unfit(`cannot be looked at: ${wordsOfErrno(error)}`);
  }
  const line = await lostInterpreter(path);
  if (line === null) return { kind: 'fit' };
  return unfit(`could not be started: its first line names no program here: ${printable(line)}`);
}

/** True where this user may run, or enter, what stands there. */
export const isRunnable = (path: string): Promise<boolean> =>
  access(path, constants.X_OK).then(
    () => true,
    () => false,
  );

/** A link to nothing was meant to be a hook: a lost interlock must not count as a success. */
async function whyNotThere(path: string): Promise<Fitness> {
  if (await isName(path)) return unfit(`is a link to nothing: ${path}`);
  const folder = dirname(path);
  const found = await stat(folder).catch((error: unknown) => errnoOf(error));
  const isFolder = typeof found !== 'string' && found.isDirectory();
  if (isFolder) return { kind: 'absent' };
  const stands = typeof found !== 'string' || found === 'ENOTDIR' || (await isName(folder));
  return stands
    ? unfit(`cannot be found: ${folder} is a file, or a link to nothing`)
    : { kind: 'absent' };
}

const isName = async (path: string): Promise<boolean> =>
  (await lstat(path).catch(() => null)) !== null;

/** The command to type. A mount may forbid programs whatever their mode is. */
function mendOf(path: string, found: Stats | null): string {
  if (found === null) return `this user may not look at it: ls -ld ${dirname(path)}`;
  if ((found.mode & ANY_MAY_RUN) === 0) return `run chmod +x ${path}`;
  return `ls -l ${path} shows who may run it, findmnt -T ${path} whether its mount is noexec`;
}

/**
 * The first line of a script whose interpreter is not there, as with a carriage return at its end;
 * null for every other program, also for one that cannot be read.
 */
async function lostInterpreter(path: string): Promise<string | null> {
  try {
    const line = await firstLine(path);
    const program = /^#![ \t]*([^ \t]+)/.exec(line)?.[1];
    if (program === undefined) return null;
    // The name may have any bytes, which latin1 keeps one by one.
    const name = Buffer.from(program.startsWith('/') ? program : `/${program}`, 'latin1');
    const why = await stat(name).then(() => '', errnoOf);
    return why === 'ENOENT' ? line : null;
  } catch {
    return null;
  }
}

async function firstLine(path: string): Promise<string> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(FIRST_LINE_BYTES_MAX), 0);
    return buffer.toString('latin1', 0, bytesRead).split('\n', 1)[0] ?? '';
  } finally {
    await file.close();
  }
}
