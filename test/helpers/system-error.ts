/**
 * Errors of the system as Node throws them. For a used-up quota and a damaged file system Node has
 * no name: a test that makes up `EDQUOT` as their code tests what never comes.
 */

import { getSystemErrorName } from 'node:util';

/** Numbers of Linux. */
const NUMBERS = {
  EIO: 5,
  ENOSPC: 28,
  EROFS: 30,
  EBADMSG: 74,
  EUCLEAN: 117,
  EDQUOT: 122,
} as const;

export type SystemErrno = keyof typeof NUMBERS;

const UNNAMED = /^Unknown system error/;

/** As node:fs throws it for an operation on a path. */
export function systemError(name: SystemErrno, operation: string, path: string): Error {
  const errno = -NUMBERS[name];
  const code = getSystemErrorName(errno);
  const words = UNNAMED.test(code) ? code : name.toLowerCase();
  const error = new Error(`${code}: ${words}, ${operation} '${path}'`);
  return Object.assign(error, { errno, code, syscall: operation, path });
}

/** True where Node itself has no name for it. */
export const isUnnamed = (name: SystemErrno): boolean =>
  UNNAMED.test(getSystemErrorName(-NUMBERS[name]));
