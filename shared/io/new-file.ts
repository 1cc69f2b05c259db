/**
 * Output files that a person names: written only where no file exists. A typing error, or an old
 * line of the shell's history, costs a message and never a key, a trust.json or a colleague's
 * signature.
 */

import { lstatSync } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DroverError } from '../base/errors.ts';
import { syncFolder } from './atomic-file.ts';

export interface NewFile {
  readonly path: string;
  /** Its name in messages: `report`. */
  readonly what: string;
  /** With its dashes. */
  readonly option: string;
}

const fileExists = ({ path, what, option }: NewFile): DroverError =>
  new DroverError('FILE_EXISTS', `write ${what} ${path}: it is there already`, {
    hint: `choose another ${option}, or remove the file yourself when nobody needs it`,
  });

/**
 * Called before the work begins that ends with the file, also in a dry run.
 * @throws DroverError FILE_EXISTS; also for a link that leads nowhere
 */
export function assertNewFile(file: NewFile): void {
  if (lstatSync(file.path, { throwIfNoEntry: false })) throw fileExists(file);
}

/**
 * @param mode permission bits, of which the umask takes some
 * @throws DroverError FILE_EXISTS, FILE_UNREADABLE; nothing is left behind then
 */
export async function writeNewFile(
  file: NewFile,
  bytes: Uint8Array | string,
  mode = 0o644,
): Promise<void> {
  const { path, what } = file;
  const failed = (cause: unknown): DroverError => {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return fileExists(file);
    const why = cause instanceof Error ? cause.message : String(cause);
    return new DroverError('FILE_UNREADABLE', `write ${what} ${path}: ${why}`, { cause });
  };
  const handle = await open(path, 'wx', mode).catch((cause: unknown) => {
    throw failed(cause);
  });
  try {
    await handle.writeFile(bytes);
    await handle.sync();
    await syncFolder(dirname(path));
  } catch (cause) {
    await unlink(path).catch(() => undefined); // just made here; its failure is thrown
    throw failed(cause);
  } finally {
    await handle.close();
  }
}
