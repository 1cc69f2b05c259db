/**
 * Says in words that a folder takes no change, where a name was tried in it that means nothing to
 * whoever reads of it. Sans-I/O.
 */

import { DroverError } from '../../shared/base/errors.ts';

/** @param thrown by the try; anything but a refusal of the disk is returned as it is */
export function refusedWrite(folder: string, thrown: unknown): unknown {
  if (!(thrown instanceof DroverError)) return thrown;
  const { code, message, hint } = thrown;
  const errno = /\b(E[A-Z0-9]+: [^,]+)/.exec(message)?.[1];
  const why = code === 'DISK_READ_ONLY' ? 'the file system is read-only' : errno;
  if (why === undefined) return thrown;
  return new DroverError(code, `write in ${folder}: ${why}`, { cause: thrown, hint });
}
