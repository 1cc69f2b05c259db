/**
 * Output files that a person names: written only where nothing stands. A slip of the hand, or of
 * the shell's history, costs a message and never a key, a trust.json or a colleague's signature.
 */

import { lstatSync } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DroverError } from '../base/errors.ts';
import { syncFolder } from './atomic-file.ts';

export interface NewFile {
  readonly path: string;
  /** As messages name it: `report`. */
  readonly what: string;
  /** With its dashes. */
  readonly option: string;
}

const fileExists = ({ path, what, option }: NewFile): DroverError =>
  new DroverError('FILE_EXISTS', `write ${what} ${path}: it is there already`, {
    hint: `choose another ${option}, or remove the file yourself when nobody needs it`,
  });

/**
 * Before the work begins that ends with the file; a dry run asks the same.
 * @throws DroverError FILE_EXISTS; a link that leads nowhere is there as well
 */
export function assertNewFile(file: NewFile): void {
  if (lstatSync(file.path, { throwIfNoEntry: false })) throw fileExists(file);
}

/** @throws DroverError FILE_EXISTS, FILE_UNREADABLE; nothing is left behind then */
export async function writeNewFile(file: NewFile, bytes: Uint8Array | string): Promise<void> {
  const { path, what } = file;
  const failed = (cause: unknown): DroverError => {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return fileExists(file);
    const why = cause instanceof Error ? cause.message : String(cause);
    return new DroverError('FILE_UNREADABLE', `write ${what} ${path}: ${why}`, { cause });
  };
  const handle = await open(path, 'wx', 0o644).catch((cause: unknown) => {
    throw failed(cause);
  });
  try {
    await handle.writeFile(bytes);
    await handle.sync();
    await syncFolder(dirname(path));
  } catch (cause) {
    await unlink(path).catch(() => undefined); // ours, of a moment ago; why it failed is told
    throw failed(cause);
  } finally {
    await handle.close();
  }
}
