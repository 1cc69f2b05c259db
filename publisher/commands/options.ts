/** Options that several verbs share, and the parsing of their values. */

import type { Argv } from 'yargs';
import { makeCommandLog } from '../../shared/io/command-log.ts';
import {
  BROKER_LOGIN,
  BROKER_URL,
  LIST,
  TEXT,
  readLogin,
  wholeNumber,
  withLogin,
} from '../../shared/io/cli-options.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { BrokerLinkOptions } from '../transfer/broker-link.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { RoleName } from '../../shared/formats/trust.ts';
import type { PublicKeyHex, Signer } from '../../shared/crypto/ed25519.ts';
import { readInput, writeNote } from '../../shared/io/cli.ts';
import { KEY_ENVIRONMENT } from '../../shared/io/key-file.ts';
import { readSigners } from '../../shared/io/signers.ts';
import { parsePublicKey } from '../trust/public-key.ts';

export function withKeys<T>(argv: Argv<T>) {
  return argv
    .option('key', { ...LIST, describe: 'file with a raw 32-byte seed; may be given again' })
    .option('key-command', {
      ...LIST,
      describe: 'command that prints the seed, raw or as 64 hex digits',
    })
    .option('sign-command', {
      ...LIST,
      describe: 'command that signs: message on its standard input, 64 bytes on standard output',
    })
    .option('public-key', {
      ...LIST,
      describe: '.pub file of the key that --sign-command signs with; default: those of --trust',
    });
}

/** For thresholds above 1: the announcement goes to a file that others sign as well. */
export function withAnnouncementOut<T>(argv: Argv<T>) {
  return argv.option('announcement-out', {
    ...TEXT,
    describe: 'announce nothing yet: write the signed announcement to this file',
  });
}

/** Number of signatures that a role needs. */
export const thresholdOption = (role: RoleName) => ({
  ...wholeNumber(`${role}-threshold`, { least: 1, most: LIMITS.keysPerRoleMax }),
  describe: `${role} signatures needed`,
});

/** A profile may fill it in where it is required, too (profiles/profile-file.ts). */
const BROKER = {
  ...BROKER_URL,
  describe: `${BROKER_URL.describe}; or that of --profile or DROVER_PROFILE (drover config)`,
} as const;

export function withBroker<T>(argv: Argv<T>) {
  return withLogin(argv.option('broker', { ...BROKER, demandOption: true }));
}

/** For verbs that also work without a broker. */
export function withOptionalBroker<T>(argv: Argv<T>) {
  return withLogin(argv.option('broker', BROKER));
}

export interface KeyWords {
  readonly key?: string[] | undefined;
  readonly keyCommand?: string[] | undefined;
  readonly signCommand?: string[] | undefined;
  readonly publicKey?: string[] | undefined;
}

/** False when at most the environment holds a key. */
export function namesKeys({ key, keyCommand, signCommand }: KeyWords): boolean {
  return (key ?? keyCommand ?? signCommand) !== undefined;
}

/**
 * @param known keys that a sign command may sign with when `--public-key` names none
 * @throws DroverError KEY_*, SIGN_COMMAND_FAILED, FILE_UNREADABLE, USAGE
 */
export async function openSigners(
  argv: KeyWords,
  known: readonly PublicKeyHex[],
): Promise<Signer[]> {
  const { key: files = [], keyCommand: commands = [], signCommand: signCommands = [] } = argv;
  const named = argv.publicKey?.map((path) =>
    parsePublicKey(readInput(path, `public key ${path}`), path),
  );
  return await readSigners(
    { files, commands, signCommands, environment: process.env[KEY_ENVIRONMENT] },
    { candidates: named ?? known, signMsMax: LIMITS.keyCommandMsMax },
    warn,
  );
}

/**
 * For a task with exactly one key: a log that two keys sign would have two histories.
 * @throws as `openSigners`, USAGE
 */
export async function openSigner(argv: KeyWords): Promise<Signer> {
  const [signer, ...more] = await openSigners(argv, []);
  if (signer && more.length === 0) return signer;
  throw new DroverError('USAGE', `sign log: want one key (got ${more.length + 1})`);
}

/** @throws DroverError FILE_UNREADABLE, USAGE */
export function brokerOptions(argv: {
  broker: string;
  username?: string | undefined;
  passwordFile?: string | undefined;
  ca?: string | undefined;
  chunkQos?: number | undefined;
}): BrokerLinkOptions {
  const login = readLogin({ ...argv, environment: process.env }, BROKER_LOGIN);
  return {
    url: argv.broker,
    ...(argv.chunkQos === 0 ? { chunkQos: 0 as const } : {}),
    ...login,
    ...(argv.ca === undefined ? {} : { caFile: argv.ca }),
  };
}

/** A warning about something that the operator should change; never on stdout. */
export function warn(line: string): void {
  writeNote(`drover: warning: ${line}`);
}

/** A command prints results and warnings; the log of its progress needs DROVER_LOG=debug. */
export function commandLog(): Log {
  return makeCommandLog('drover');
}

/** Splits `a,b`; empty for an absent option. */
export function commaList(text: string | undefined): string[] {
  return (text ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}
