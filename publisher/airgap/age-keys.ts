/**
 * Keys of the age format, which encrypt a file for the sites that may read it: a recipient
 * (`age1…`) is public, an identity (`AGE-SECRET-KEY-1…`) stays at the site. They sign nothing, and
 * robots do not know them.
 */

import type { Decrypter, Encrypter } from 'age-encryption';
import { DroverError } from '../../shared/base/errors.ts';
import { printable } from '../../shared/base/printable.ts';
import { readSecret } from '../../shared/io/cli.ts';
import { assertPathsFree, warnIfOpen, writePair, type KeyPaths } from '../../shared/io/key-file.ts';

/** Loaded only where a file is encrypted or decrypted: other commands start faster. */
const loadAge = async () => await import('age-encryption');

/** `NAME.agekey` and `NAME.agepub`. */
export function agePaths(out: string): KeyPaths {
  const name = out.replace(/\.(agekey|agepub)$/, '');
  return { privatePath: `${name}.agekey`, publicPath: `${name}.agepub` };
}

/**
 * Makes a new identity, in the form of age-keygen.
 * @returns its recipient; null in a dry run, which throws the key away
 * @throws DroverError FILE_EXISTS, FILE_UNREADABLE
 */
export async function writeAgeKey(out: string, dryRun: boolean): Promise<string | null> {
  const paths = agePaths(out);
  assertPathsFree(paths);
  if (dryRun) return null;
  const age = await loadAge();
  const identity = await age.generateX25519Identity();
  const recipient = await age.identityToRecipient(identity);
  const secret = `# public key: ${recipient}\n${identity}\n`;
  await writePair(paths, { secret, open: `${recipient}\n` });
  return recipient;
}

/** @param words the values of `--to` @throws DroverError USAGE */
export async function encrypterFor(words: readonly string[]): Promise<Encrypter> {
  const { Encrypter: Make } = await loadAge();
  const encrypter = new Make();
  for (const word of words) {
    try {
      encrypter.addRecipient(word);
    } catch (cause) {
      const got = printable(word.slice(0, 80));
      throw new DroverError('USAGE', `read --to: not a recipient (got ${got}, want age1…)`, {
        cause,
        hint: 'give the public line of the site: drover keygen --age --out NAME writes it to NAME.agepub',
      });
    }
  }
  return encrypter;
}

/**
 * @param paths of identity files, as age-keygen writes them
 * @throws DroverError FILE_UNREADABLE, AGE_IDENTITY_INVALID
 */
export async function decrypterFor(
  paths: readonly string[],
  warn: (line: string) => void,
): Promise<Decrypter> {
  const { Decrypter: Make } = await loadAge();
  const decrypter = new Make();
  for (const path of paths) {
    const lines = readSecret(path, 'identity')
      .split(/\r?\n/)
      .map((line) => line.trim());
    const identities = lines.filter((line) => line !== '' && !line.startsWith('#'));
    const invalid = (why: string): DroverError =>
      new DroverError('AGE_IDENTITY_INVALID', `read identity ${path}: ${why}`);
    if (identities.length === 0) throw invalid('there is none in it');
    warnIfOpen(path, warn);
    for (const identity of identities) {
      try {
        decrypter.addIdentity(identity);
      } catch {
        // the text is a secret, so it is not shown
        throw invalid('not an identity (want AGE-SECRET-KEY-1…)');
      }
    }
  }
  return decrypter;
}
