/**
 * Errors that are thrown when something is refused or goes wrong; `error-catalogue.ts` has every
 * code. Sans-I/O.
 */

import { CATALOGUE, type ErrorCode, type Exit, type Fault, type Retry } from './error-catalogue.ts';

/** Facts of one occurrence: short values, never a secret. */
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

/** What travels in reports and JSON output. */
export interface Problem {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

/** Any thrown value as a problem; an unexpected one becomes INTERNAL with its message. */
export function toProblem(thrown: unknown): Problem {
  if (thrown instanceof DroverError) {
    return { code: thrown.code, message: thrown.message, hint: thrown.hint };
  }
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
