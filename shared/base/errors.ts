/** Errors for refusals and failures; `error-catalogue.ts` has every code. Sans-I/O. */

import { errnoOf, SICK_MEDIUM, wordsOfErrno } from './errno.ts';
import { CATALOGUE, type ErrorCode, type Exit, type Fault, type Retry } from './error-catalogue.ts';

/**
 * Facts of one occurrence: short values, never a secret. `sha256` is a public hash that a person
 * typed: the message shows it, although it looks like a key (secret-words.ts).
 */
export type Facts = Readonly<Record<string, string | number | boolean | null>>;

/**
 * Every expected failure. Message form: `<what failed> <which thing>: <why> (got X, want Y)`,
 * lower case, no full stop. A programming error is a TypeError and has no code.
 */
export class DroverError extends Error {
  override readonly name = 'DroverError';
  readonly code: ErrorCode;
  readonly facts: Facts;
  readonly hint: string;

  constructor(
    code: ErrorCode,
    message: string,
    more: { facts?: Facts; cause?: unknown; hint?: string } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    this.facts = more.facts ?? {};
    this.hint = more.hint ?? CATALOGUE[code].hint;
  }

  get fault(): Fault {
    return CATALOGUE[this.code].fault;
  }

  get retry(): Retry {
    return CATALOGUE[this.code].retry;
  }

  get exit(): Exit {
    return CATALOGUE[this.code].exit;
  }
}

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(CATALOGUE, text);
}

/** The fields of an error in reports and JSON output. */
export interface Problem {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

/** Error codes of the system about a path (`errno(3)`): the machine needs repair, not Drover. */
const OF_A_PATH: ReadonlyMap<string, ErrorCode> = new Map([
  ['ENOSPC', 'DISK_FULL'],
  ['EDQUOT', 'DISK_FULL'],
  ['EROFS', 'DISK_READ_ONLY'],
  ...SICK_MEDIUM.map((errno) => [errno, 'DISK_WRITE_FAILED'] as const),
  ['ENOENT', 'FILE_REFUSED'],
  ['ENOTDIR', 'FILE_REFUSED'],
  ['EISDIR', 'FILE_REFUSED'],
  ['EACCES', 'FILE_REFUSED'],
  ['EPERM', 'FILE_REFUSED'],
  ['ELOOP', 'FILE_REFUSED'],
  ['ENAMETOOLONG', 'FILE_REFUSED'],
]);

/** The refusal in an error, also a refusal by the operating system for a path; null for a bug. */
export function refusalOf(thrown: unknown): DroverError | null {
  if (thrown instanceof DroverError) return thrown;
  if (!(thrown instanceof Error) || !('path' in thrown) || !('code' in thrown)) return null;
  const code = OF_A_PATH.get(errnoOf(thrown));
  return code === undefined ? null : new DroverError(code, wordsOfErrno(thrown), { cause: thrown });
}

/** Any thrown value as a problem; an unexpected one becomes INTERNAL with its message. */
export function toProblem(thrown: unknown): Problem {
  const refusal = refusalOf(thrown);
  if (refusal) return { code: refusal.code, message: refusal.message, hint: refusal.hint };
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return { code: 'INTERNAL', message, hint: CATALOGUE.INTERNAL.hint };
}

/** Resolves to why the work was refused, null when it ended well. A bug of ours is thrown. */
export async function failureOf(work: Promise<unknown>): Promise<DroverError | null> {
  try {
    await work;
    return null;
  } catch (thrown) {
    if (thrown instanceof DroverError) return thrown;
    throw thrown;
  }
}

/** Resolves to the result of the work, null when it was refused. A bug of ours is thrown. */
export async function nullIfFailed<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work;
  } catch (thrown) {
    if (thrown instanceof DroverError) return null;
    throw thrown;
  }
}

/** Reads; null for what cannot be read or does not hold. A bug of ours is thrown. */
export function nullIfRefused<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof DroverError) return null;
    throw error;
  }
}

/** Values for the placeholders in the commands of a hint. */
export interface HintWords {
  readonly ID?: string;
  readonly VERSION?: string;
}

const OPEN_WORD = /(?<=drover(?:-robot)? (?:rollout [a-z-]+|unblock) )(ID|VERSION)\b/g;

/** A command that can be copied, when the rollout or version that it is about is known. */
export const filledHint = (hint: string, known: HintWords): string =>
  hint.replace(OPEN_WORD, (word) => known[word as keyof HintWords] ?? word);

/** The same failure, with such a hint. */
export function withFilledHint(thrown: unknown, known: HintWords): unknown {
  if (!(thrown instanceof DroverError)) return thrown;
  const hint = filledHint(thrown.hint, known);
  const { code, message, facts } = thrown;
  return hint === thrown.hint
    ? thrown
    : new DroverError(code, message, { facts, cause: thrown, hint });
}
