/** Options that several verbs share, and the parsing of their values. */

import type { Argv } from 'yargs';
import { readableWay } from '../../shared/base/broker-urls.ts';
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
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { BrokerLinkOptions } from '../transfer/broker-link.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { RoleName } from '../../shared/formats/trust.ts';
import type { PublicKeyHex, Signer } from '../../shared/crypto/ed25519.ts';
import { parseSiteAnswer, SITE_PATH } from '../../shared/formats/http-api.ts';
import { readInput, writeNote } from '../../shared/io/cli.ts';
import { KEY_ENVIRONMENT } from '../../shared/io/key-file.ts';
import { readSigners } from '../../shared/io/signers.ts';
import { NEEDED_ELSEWHERE, type NeededOption } from '../profiles/profiles.ts';
import { chooseDoor, unnamed } from '../profiles/site-door.ts';
import { ApiClient } from '../rollout/api-client.ts';
import { parsePublicKey } from '../../shared/formats/public-key.ts';

export function withKeys<T>(argv: Argv<T>) {
  return argv
    .option('key', {
      ...LIST,
      describe: 'file with a raw 32-byte seed; may be given again; or DROVER_KEY',
    })
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

/** An option that is required, and that `fillFrom` may find elsewhere: `--help` says where. */
function needed<T, K extends NeededOption>(argv: Argv<T>, name: K, describe: string) {
  const option = { ...TEXT, describe, defaultDescription: NEEDED_ELSEWHERE[name] };
  return argv.option(name, option) as Argv<T & Readonly<Record<K, string>>>;
}

/** trust.json, which the profile may name. */
export const withTrust = <T>(argv: Argv<T>, describe = 'trust.json of the fleet') =>
  needed(argv, 'trust', describe);

/** One address for both doors of a broker. */
export const withUrl = <T>(argv: Argv<T>, elsewhere = '') =>
  argv.option('url', {
    ...TEXT,
    describe: `https:// URL of the HTTP API, which names the MQTT address${elsewhere}`,
  });

/** Ends the description of `--url` where a variable and the profile count as well. */
export const URL_ELSEWHERE = '; or DROVER_URL, or that of the profile';

export function withBroker<T>(argv: Argv<T>) {
  const broker = needed(withUrl(argv, URL_ELSEWHERE), 'broker', BROKER_URL.describe);
  return withLogin(broker, OF_PROFILE);
}

/** For verbs that also work without a broker: neither a variable nor the profile names one. */
export function withOptionalBroker<T>(argv: Argv<T>) {
  return withLogin(withUrl(argv).option('broker', BROKER_URL), OF_PROFILE);
}

/** Ends the description of an option that a profile may hold. */
export const OF_PROFILE = ', or that of the profile';

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

/** @throws DroverError FILE_UNREADABLE, USAGE, KEY_WRONG_KIND */
export const readPublicKey = (path: string): PublicKeyHex =>
  parsePublicKey(readInput(path, `public key ${path}`), path);

/**
 * @param known keys that a sign command may sign with when `--public-key` names none
 * @throws DroverError KEY_*, SIGN_COMMAND_FAILED, FILE_UNREADABLE, USAGE
 */
export async function openSigners(
  argv: KeyWords,
  known: readonly PublicKeyHex[],
): Promise<Signer[]> {
  const { key: files = [], keyCommand: commands = [], signCommand: signCommands = [] } = argv;
  const named = argv.publicKey?.map(readPublicKey);
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

interface BrokerWords {
  readonly broker: string;
  /** The address for both doors, where `broker` was filled in from one. */
  readonly url?: string | undefined;
  readonly username?: string | undefined;
  readonly passwordFile?: string | undefined;
  readonly ca?: string | undefined;
  readonly chunkQos?: number | undefined;
}

/** @throws DroverError FILE_UNREADABLE, USAGE, and as `brokerAddress` */
export async function brokerOptions(argv: BrokerWords): Promise<BrokerLinkOptions> {
  const login = readLogin({ ...argv, environment: process.env }, BROKER_LOGIN);
  const url = await brokerAddress(argv);
  warnIfReadable(url, login.password === undefined ? undefined : 'password');
  return {
    url,
    ...(argv.chunkQos === 0 ? { chunkQos: 0 as const } : {}),
    ...login,
    ...(argv.ca === undefined ? {} : { caFile: argv.ca }),
  };
}

/** Codes of a broker that does not know the question, or of what stands in its place. */
const UNASKED: readonly string[] = ['NOT_FOUND', 'HTTP_UNAUTHORIZED', 'BROKER_REFUSED'];

/**
 * The MQTT address: as it was given, or as the broker at `url` says. It is asked without a token.
 * @throws DroverError USAGE, BROKER_UNREACHABLE, SITE_UNNAMED, SITE_DOOR_REFUSED
 */
export async function brokerAddress({ broker, url, ca }: BrokerWords): Promise<string> {
  if (url === undefined || broker !== url) return broker;
  const api = new ApiClient({ url, token: null, caFile: ca }, '--url');
  const site = new URL(api.address);
  try {
    return chooseDoor(site, parseSiteAnswer(await api.get(SITE_PATH, SITE_BYTES_MAX)));
  } catch (error) {
    const { code } = toProblem(error);
    if (!UNASKED.includes(code)) throw error;
    throw unnamed(site, `it knows no such question (${code})`);
  }
}

const SITE_BYTES_MAX = LIMITS.localRequestBytesMax;

/** A warning about something that the operator should change; never on stdout. */
export function warn(line: string): void {
  writeNote(`drover: warning: ${line}`);
}

/** Warns of a secret that others on the way to an address can read, and use from then on. */
export function warnIfReadable(url: string, secret: 'token' | 'password' | undefined): void {
  const way = secret === undefined ? null : readableWay(url);
  if (way === null) return;
  const secure = way.startsWith('http') ? 'an https:// URL' : 'an mqtts:// or wss:// URL';
  warn(
    `the ${secret} goes to ${way} in clear text, and others on the network can read it: give ${secure} (docs/tls.md)`,
  );
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
