/**
 * The file of the profiles: `drover/profiles.json` under XDG_CONFIG_HOME, or under ~/.config. Only
 * its owner can read it, although it holds no secret: other users need not know the addresses of a
 * fleet.
 */

import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { DroverError, nullIfRefused, toProblem } from '../../shared/base/errors.ts';
import { printable, shellWord } from '../../shared/base/printable.ts';
import { whyUnsafe } from '../../shared/io/owned-file.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';
import { writeNote } from '../../shared/io/cli.ts';
import type { ParsedWords } from '../../shared/io/command-line.ts';
import {
  encodeProfiles,
  fillFrom,
  NO_PROFILES,
  parseProfiles,
  PROFILE_OPTIONS,
  profileOf,
  type Profiles,
} from './profiles.ts';

const OWNER_ONLY = 0o600;
const OWNER_FOLDER = 0o700;

export function profilesPath(environment: NodeJS.ProcessEnv = process.env): string {
  const { XDG_CONFIG_HOME: folder = '' } = environment;
  // The specification of that variable has a relative path ignored.
  return join(isAbsolute(folder) ? folder : join(homedir(), '.config'), 'drover', 'profiles.json');
}

/**
 * Without a file there are none.
 * @throws DroverError PROFILES_INVALID, PROFILES_UNSAFE, FILE_UNREADABLE
 */
export function readProfiles(path = profilesPath()): Profiles {
  assertOwn(path);
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
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

/** @throws DroverError PROFILES_UNSAFE */
function assertOwn(path: string): void {
  const found = whyUnsafe(path);
  if (!found) return;
  throw new DroverError('PROFILES_UNSAFE', `read profiles: ${found.why}`, {
    hint: `look at what it says, then: ${found.mend}`,
  });
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

/** Verbs that take no profile. */
const WITHOUT: readonly string[] = ['config', 'completion'];

/**
 * Fills the options of a command in from `--url` or DROVER_URL, and from the profile that
 * `--profile` or DROVER_PROFILE names, or that is used by default. Call it before missing options
 * are refused.
 * @throws DroverError PROFILE_UNKNOWN, PROFILES_INVALID, FILE_UNREADABLE, USAGE
 */
export function useProfile({ argv, declared, demanded }: ParsedWords): void {
  const [command = ''] = (argv['_'] ?? []) as string[];
  const named = argv['profile'];
  if (WITHOUT.includes(command)) {
    if (argv['profile'] === undefined) return;
    throw new DroverError('USAGE', `${command}: --profile does nothing here`);
  }
  if (!PROFILE_OPTIONS.some((name) => declared.has(name))) return;
  const all = readProfiles();
  const name = typeof named === 'string' && named !== '' ? named : profileInUse(all);
  const profile = name === null ? {} : profileOf(all, name);
  const given = new Map(
    PROFILE_OPTIONS.flatMap((option) => {
      const value = argv[option];
      // Given twice it is no text, and is refused later.
      return value === undefined ? [] : [[option, typeof value === 'string' ? value : ''] as const];
    }),
  );
  const { options, loginLeftOutFor } = fillFrom(profile, {
    ...{ given, declared, demanded, environment: process.env },
  });
  if (name !== null && loginLeftOutFor !== null) noteLeftOut(name, loginLeftOutFor);
  for (const [option, value] of Object.entries(options)) {
    argv[option] = value;
    argv[option.replaceAll(/-([a-z])/g, (_dash, letter: string) => letter.toUpperCase())] = value;
  }
}

/** Only a command that fails says so: without a login there it may well be right. */
function noteLeftOut(profile: string, address: string): void {
  process.once('exit', (code) => {
    if (code === 0) return;
    const where = printable(address, 200);
    writeNote(
      `drover: note: ${where} is no address of profile ${profile}, so its login was left out`,
    );
  });
}

/** The profile that a command uses which names none: of DROVER_PROFILE, else of `config use`. */
export const profileInUse = ({ use }: Pick<Profiles, 'use'>): string | null =>
  process.env['DROVER_PROFILE'] || use;

/** The trust.json of the profile in use, for advice only; null where there is none. */
export function trustInUse(): string | null {
  const all = nullIfRefused(() => readProfiles());
  const name = all && profileInUse(all);
  return (name && all?.profiles[name]?.trust) || null;
}

/** For completion; none where the file cannot be read. */
export const profileNames = (): readonly string[] =>
  Object.keys(nullIfRefused(() => readProfiles())?.profiles ?? {});
