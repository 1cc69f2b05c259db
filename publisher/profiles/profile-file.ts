/**
 * The file of the profiles: `drover/profiles.json` under XDG_CONFIG_HOME, or under ~/.config. Only
 * its owner can read it, although it holds no secret: addresses of a fleet are nobody's business.
 */

import { mkdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { shellWord } from '../../shared/base/printable.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';
import { encodeProfiles, NO_PROFILES, parseProfiles, type Profiles } from './profiles.ts';

const OWNER_ONLY = 0o600;
const OWNER_FOLDER = 0o700;

export function profilesPath(environment: NodeJS.ProcessEnv = process.env): string {
  const { XDG_CONFIG_HOME: folder = '' } = environment;
  // The specification of that variable has a relative path ignored.
  return join(isAbsolute(folder) ? folder : join(homedir(), '.config'), 'drover', 'profiles.json');
}

/** Without a file there are none. @throws DroverError PROFILES_INVALID, FILE_UNREADABLE */
export async function readProfiles(path = profilesPath()): Promise<Profiles> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return NO_PROFILES;
    throw new DroverError('FILE_UNREADABLE', `read profiles: ${message}`, { cause });
  }
  try {
    return parseProfiles(bytes);
  } catch (cause) {
    const { message } = toProblem(cause);
    throw new DroverError('PROFILES_INVALID', `read ${path}: ${message}`, {
      cause,
      hint: `mend it, or move it away and set your profiles again: mv ${shellWord(path)} ${shellWord(`${path}.old`)}; drover config set NAME --broker URL`,
    });
  }
}

/** @throws DroverError PROFILES_INVALID, FILE_REFUSED */
export async function writeProfiles(profiles: Profiles, path = profilesPath()): Promise<void> {
  const text = encodeProfiles(profiles);
  try {
    await mkdir(dirname(path), { recursive: true, mode: OWNER_FOLDER });
    await writeFileAtomic(path, text, OWNER_ONLY);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_REFUSED', `write profiles: ${why}`, { cause });
  }
}
