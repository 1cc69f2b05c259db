/**
 * Lists an application's folder without following links. plan-tree.ts decides which entries go into
 * a payload. Only a name that is not UTF-8 is refused here, because a listing of text cannot carry
 * it.
 */

import type { Stats } from 'node:fs';
import { lstat, open, readdir, readlink, stat } from 'node:fs/promises';
import {
  BYTE_CODE_HEAD_BYTES,
  isByteCode,
  parseByteCodeHead,
  type ByteCodeHead,
} from '../../shared/rules/byte-code.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { TreeEntry } from './plan-tree.ts';

/**
 * @returns entries in no particular order, the folder itself left out
 * @throws DroverError FILE_UNREADABLE, ARCHIVE_UNSAFE, ARCHIVE_TOO_LARGE
 */
export async function listTree(root: string): Promise<TreeEntry[]> {
  const found: TreeEntry[] = [];
  const folders = [''];
  try {
    if (!(await stat(root)).isDirectory()) throw new Error('not a folder');
    while (folders.length > 0) {
      const folder = folders.pop() as string;
      for (const name of await readdir(join(root, folder), { encoding: 'buffer' })) {
        const path = join(folder, asText(name, folder));
        const entry = await readEntry(root, path);
        found.push(entry);
        if (entry.kind === 'folder') folders.push(path);
      }
      // Ends an endless listing (such as a mounted network share) before memory runs out.
      if (found.length > LIMITS.archiveEntriesMax) break;
    }
  } catch (cause) {
    if (cause instanceof DroverError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_UNREADABLE', `read folder ${root}: ${why}`, { cause });
  }
  return found;
}

function join(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`;
}

function asText(name: Buffer, folder: string): string {
  const text = name.toString('utf8');
  if (Buffer.from(text).equals(name)) return text;
  throw new DroverError(
    'ARCHIVE_UNSAFE',
    `build: entry ${JSON.stringify(join(folder, text))}: its name is not UTF-8`,
  );
}

async function readEntry(root: string, path: string): Promise<TreeEntry> {
  const full = `${root}/${path}`;
  const found = await lstat(full);
  const kind = kindOf(found);
  const linkTarget =
    kind === 'symlink' ? asText(await readlink(full, { encoding: 'buffer' }), path) : '';
  const byteCode = kind === 'file' && isByteCode(path) ? await readByteCodeHead(full) : null;
  const timeS = Math.floor(found.mtimeMs / 1000);
  const mode = found.mode & 0o7777;
  return { path, kind, mode, bytes: found.size, linkTarget, timeS, byteCode };
}

async function readByteCodeHead(path: string): Promise<ByteCodeHead | null> {
  const handle = await open(path, 'r');
  try {
    const head = new Uint8Array(BYTE_CODE_HEAD_BYTES);
    const { bytesRead } = await handle.read(head, 0, head.byteLength, 0);
    return parseByteCodeHead(head.subarray(0, bytesRead));
  } finally {
    await handle.close();
  }
}

function kindOf(found: Stats): TreeEntry['kind'] {
  if (found.isFile()) return 'file';
  if (found.isDirectory()) return 'folder';
  if (found.isSymbolicLink()) return 'symlink';
  if (found.isFIFO()) return 'fifo';
  return found.isSocket() ? 'socket' : 'device';
}
