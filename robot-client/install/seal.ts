/**
 * The seal of a release: one line for each file, folder and link of its tree, with the size, mode
 * and SHA-256 of a file. By it `recover` recognises a release that is not whole. Byte code of
 * Python is left out, because the interpreter writes it in place. Files that are not in the seal
 * belong to the application.
 * The seal of an adopted release has another name and records the files as found. It is unknown
 * which of them the application writes, removes or empties, so only a program that is missing or
 * empty, or a file that the disk can no longer read, is damage. A hash that was not taken is empty.
 * A seal consists of a mark, JSON lines, and the SHA-256 of everything before; a torn one counts as
 * none. Sans-I/O.
 */

import { z } from 'zod';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';

export const SEAL_MARK = 'drover-seal 1';

const entrySchema = z.union([
  z.tuple([z.literal('f'), z.string(), z.number(), z.number(), z.string()]),
  z.tuple([z.literal('d'), z.string(), z.number()]),
  z.tuple([z.literal('l'), z.string(), z.string()]),
]);

/** `['f', path, mode, bytes, sha256]`, `['d', path, mode]` or `['l', path, target]`. */
export type SealEntry = z.output<typeof entrySchema>;

const EXECUTABLE = 0o111;
const READABLE = 0o444;

export const isProgramMode = (mode: number): boolean => (mode & EXECUTABLE) !== 0;

/** True for a file that an application does not remove or empty by itself. */
export const isProgram = (entry: SealEntry): boolean =>
  entry[0] === 'f' && isProgramMode(entry[2]) && entry[3] > 0;

/**
 * Why a file or folder cannot be read, run or entered any more by all that could; null when it can.
 * A right to write that was taken away does not count: people make releases read-only.
 */
export function lostRights(want: number, got: number): string | null {
  if ((want & ~got & (READABLE | EXECUTABLE)) === 0) return null;
  return `got mode ${octal(got)}, want ${octal(want)}`;
}

const octal = (mode: number): string => mode.toString(8).padStart(4, '0');

export const encodeSealEntry = (entry: SealEntry): string => `${JSON.stringify(entry)}\n`;

/** Null for a line that is none. */
export function parseSealEntry(line: string): SealEntry | null {
  try {
    return entrySchema.parse(JSON.parse(line));
  } catch {
    return null;
  }
}

export const encodeSealEnd = (sha256: string): string => `end ${sha256}\n`;

/** The hash that a seal ends with; null for any other line. */
export const parseSealEnd = (line: string): string | null =>
  /^end ([0-9a-f]{64})$/.exec(line)?.[1] ?? null;

/** The disk could not read a part of the release or its seal. A whole one is so by its recipe then. */
interface Unread {
  readonly unread: Problem;
}

/** The result of a check of a release. */
export type ReleaseCheck =
  | { readonly kind: 'absent' }
  /** Without a seal or recipe that can be read, as some releases of 0.1 are: its folder is there. */
  | ({ readonly kind: 'unknown' } & Partial<Unread>)
  | ({
      readonly kind: 'whole';
      readonly isHashed: boolean;
      /** True when there is no seal and the recipe was used, which has no hashes. */
      readonly isByRecipe?: boolean | undefined;
      /** For an adopted release: files that the application may have removed or emptied itself. */
      readonly lost?: { readonly count: number; readonly path: string } | undefined;
    } & Partial<Unread>)
  | ({ readonly kind: 'damaged'; readonly path: string; readonly why: string } & Partial<Unread>);

/** The problem of a release that is not whole. */
/** Why that release in a slot is not whole. */
export type Damage = Problem & { readonly version: string };

export function damageProblem(
  version: string,
  { path, why }: { readonly path: string; readonly why: string },
): Problem {
  const message = `look at release ${version}: ${path}: ${why}`;
  return toProblem(new DroverError('RELEASE_DAMAGED', message));
}
