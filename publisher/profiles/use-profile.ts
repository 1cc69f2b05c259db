/**
 * Fills the options of a command in from the profile that `--profile` or DROVER_PROFILE names, or
 * that is used by default. It runs before yargs looks for missing options.
 */

import { DroverError, nullIfFailed } from '../../shared/base/errors.ts';
import type { ParsedWords } from '../../shared/io/command-line.ts';
import { readProfiles } from './profile-file.ts';
import { fillFrom, PROFILE_OPTIONS, profileOf } from './profiles.ts';

/** The profiles are what these verbs are about: they work with a damaged file as well. */
const WITHOUT: readonly string[] = ['config', 'completion'];

/** @throws DroverError PROFILE_UNKNOWN, PROFILES_INVALID, FILE_UNREADABLE, USAGE */
export async function useProfile({ argv, declared, demanded }: ParsedWords): Promise<void> {
  const command = String((argv['_'] as unknown[] | undefined)?.[0] ?? '');
  const named = argv['profile'] ?? process.env['DROVER_PROFILE'];
  if (WITHOUT.includes(command)) {
    if (argv['profile'] === undefined) return;
    throw new DroverError('USAGE', `${command}: --profile does nothing here`);
  }
  if (!PROFILE_OPTIONS.some((name) => declared.has(name))) return;
  const all = await readProfiles();
  const name = typeof named === 'string' && named !== '' ? named : all.use;
  if (name === null) return;
  const given = new Set(PROFILE_OPTIONS.filter((option) => argv[option] !== undefined));
  const filled = fillFrom(profileOf(all, name), {
    ...{ given, declared, demanded, environment: process.env },
  });
  for (const [option, value] of Object.entries(filled)) {
    argv[option] = value;
    argv[option.replaceAll(/-([a-z])/g, (_dash, letter: string) => letter.toUpperCase())] = value;
  }
}

/** For completion; none where the file cannot be read. */
export const profileNames = async (): Promise<readonly string[]> =>
  Object.keys((await nullIfFailed(readProfiles()))?.profiles ?? {});
