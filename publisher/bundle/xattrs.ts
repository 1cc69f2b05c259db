/**
 * Finds the extended attributes of a tree: file capabilities, ACLs and user attributes. Node has no
 * call for them, so `getfattr` is run, and where that is missing GNU tar, which every Debian has.
 */

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import tar from 'tar-stream';
import { DroverError } from '../../shared/base/errors.ts';
import { isMachineXattr, paxXattr, type Attributed } from './xattr-policy.ts';

const ENV = { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' };
const STDERR_CHARS_MAX = 400;

/**
 * @returns files and folders below `root` with the names of their attributes, without those that
 *   belong to the machine
 * @throws DroverError XATTRS_UNREADABLE
 */
export async function listXattrs(root: string): Promise<Attributed[]> {
  if (process.platform !== 'linux') return []; // attributes of other systems mean nothing on Linux
  try {
    return await askGetfattr(root);
  } catch (cause) {
    if (!isMissing(cause)) throw unreadable(root, cause);
  }
  try {
    return await askTar(root);
  } catch (cause) {
    throw unreadable(root, isMissing(cause) ? new Error('getfattr is not installed') : cause);
  }
}

function isMissing(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
}

function unreadable(root: string, cause: unknown): DroverError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const message = `build: read extended attributes of ${root}: ${why}`;
  return new DroverError('XATTRS_UNREADABLE', message, { cause });
}

async function askGetfattr(root: string): Promise<Attributed[]> {
  const found: Attributed[] = [];
  let path = '';
  await run('getfattr', ['-R', '-P', '-h', '-m', '-', '--', '.'], root, async (output) => {
    for await (const line of createInterface({ input: output })) {
      if (line.startsWith('# file: ')) path = unescaped(line.slice('# file: '.length));
      else if (line !== '' && path !== '.') add(found, path, line);
    }
  });
  return found;
}

/** getfattr writes a control character or a backslash as three octal digits. */
const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_all, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );

/** Reads the whole tree, so it is the second choice. */
async function askTar(root: string): Promise<Attributed[]> {
  const found: Attributed[] = [];
  const args = ['--xattrs', '--xattrs-include=*', '--acls', '--format=posix', '-cf', '-', '.'];
  await run('tar', args, root, async (output) => {
    for await (const entry of output.pipe(tar.extract())) {
      const path = entry.header.name.replace(/^\.\//, '').replace(/\/$/, '');
      for (const key of Object.keys(entry.header.pax ?? {})) {
        const name = paxXattr(key);
        if (name !== null && path !== '') add(found, path, name);
      }
      entry.resume();
    }
  });
  return found;
}

function add(found: Attributed[], path: string, name: string): void {
  if (isMachineXattr(name)) return;
  const last = found.at(-1);
  if (last?.path === path) found[found.length - 1] = { path, names: [...last.names, name] };
  else found.push({ path, names: [name] });
}

async function run(
  program: string,
  args: readonly string[],
  cwd: string,
  read: (output: NodeJS.ReadableStream) => Promise<void>,
): Promise<void> {
  const child = spawn(program, args, { cwd, env: ENV, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stderr.on('data', (bytes: Buffer) => {
    said = `${said}${bytes.toString()}`.slice(-STDERR_CHARS_MAX);
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.once('close', (code) => resolve(code));
  });
  const [code] = await Promise.all([ended, read(child.stdout)]);
  if (code !== 0) throw new Error(`${program} ended with ${code}: ${said.trim()}`);
}
