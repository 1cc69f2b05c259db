/** Options that the three programs share, and how a login is read from them. */

import type { Argv } from 'yargs';
import { formatDurationMs, parseDurationMs } from '../base/durations.ts';
import { DroverError } from '../base/errors.ts';
import { readSecret } from './cli.ts';

/**
 * Removes each variable of Drover that is empty: a line `DROVER_PASSWORD=` in an environment file
 * means that it is not given.
 */
export function dropEmptyVariables(environment: Record<string, string | undefined>): void {
  for (const [name, value] of Object.entries(environment)) {
    if (name.startsWith('DROVER_') && value === '') delete environment[name];
  }
}

/** One option that takes one value each time it is given. */
export const LIST = { type: 'string', array: true, nargs: 1 } as const;
export const TEXT = { type: 'string', requiresArg: true } as const;

/**
 * An option that takes a whole number within bounds. It is read as a text: a number of yargs is NaN
 * for `abc` and 0 for nothing, and both would pass on.
 */
export function wholeNumber(name: string, { least, most }: { least: number; most: number }) {
  return {
    ...TEXT,
    // Undefined and several values are for the parser to judge.
    coerce: (given: unknown): number =>
      typeof given === 'string' ? readWholeNumber(name, given, { least, most }) : (given as number),
  };
}

/** A TCP port; 0 for any that is free. */
export const port = (name: string) => wholeNumber(name, { least: 0, most: PORT_MAX });
const PORT_MAX = 65_535;

/** @throws DroverError USAGE */
export function readWholeNumber(
  name: string,
  text: string,
  { least, most }: { least: number; most: number },
): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  const got = JSON.stringify(text.slice(0, 40));
  throw new DroverError(
    'USAGE',
    `read --${name}: want a whole number from ${least} to ${most} (got ${got})`,
  );
}

/**
 * Reads an option that takes a span of time within bounds.
 * @param also ends the message: another option that may be meant
 * @throws DroverError USAGE
 */
export function readSpanMs(
  name: string,
  text: string,
  { least, most, also = '' }: { least: number; most: number; also?: string },
): number {
  const spanMs = parseDurationMs(text);
  if (spanMs >= least && spanMs <= most) return spanMs;
  const want = `want ${formatDurationMs(least)} to ${formatDurationMs(most)}${also}`;
  throw new DroverError('USAGE', `read --${name}: out of range (got ${text}, ${want})`);
}

export function withJson<T>(argv: Argv<T>) {
  return argv.option('json', {
    type: 'boolean',
    default: false,
    describe: 'print the result as one JSON object',
  });
}

export function withDryRun<T>(argv: Argv<T>) {
  return argv.option('dry-run', {
    type: 'boolean',
    default: false,
    describe: 'check everything, change nothing',
  });
}

/** Describes `--ca`. */
export const CA = "PEM file of the authority that signed the broker's cert";

export const BROKER_URL = {
  ...TEXT,
  describe: 'mqtt://, mqtts://, ws:// or wss:// URL; several of a cluster with commas',
} as const;

/**
 * The login at a broker, for a publisher and for a robot.
 * @param more ends the description of what may come from elsewhere as well
 */
export function withLogin<T>(argv: Argv<T>, more = '') {
  return argv
    .option('chunk-qos', {
      choices: [0, 1] as const,
      default: 1 as const,
      describe: 'QoS of reading chunks: 0 on NATS, 1 on all other engines',
    })
    .option('username', { ...TEXT, describe: `user at the broker, or DROVER_USERNAME${more}` })
    .option('password-file', {
      ...TEXT,
      describe: `file with the password, or DROVER_PASSWORD${more}`,
    })
    .option('ca', { ...TEXT, describe: `${CA}${more}` });
}

/** The names of the options and variables of one login. */
export interface LoginNames {
  /** The kind of peer. */
  readonly prefix: '' | 'engine-' | 'upstream-';
  readonly username: string;
  readonly password: string;
}

export const BROKER_LOGIN: LoginNames = {
  prefix: '',
  username: 'DROVER_USERNAME',
  password: 'DROVER_PASSWORD',
};
export const ENGINE_LOGIN: LoginNames = {
  prefix: 'engine-',
  username: 'DROVER_ENGINE_USERNAME',
  password: 'DROVER_ENGINE_PASSWORD',
};
export const UPSTREAM_LOGIN: LoginNames = {
  prefix: 'upstream-',
  username: 'DROVER_UPSTREAM_USERNAME',
  password: 'DROVER_UPSTREAM_PASSWORD',
};

export interface LoginSources {
  readonly username?: string | undefined;
  readonly passwordFile?: string | undefined;
  /** Credentials in an address on the command line: they count before the environment. */
  readonly inUrl?: { readonly username: string; readonly password: string };
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export interface Login {
  readonly username?: string;
  readonly password?: string;
}

/**
 * Options count before the URL, and the URL before the environment.
 * @throws DroverError USAGE for a password without a user name, FILE_UNREADABLE
 */
export function readLogin(sources: LoginSources, names: LoginNames): Login {
  const { passwordFile, inUrl = { username: '', password: '' }, environment } = sources;
  const username = sources.username ?? (inUrl.username || environment[names.username]);
  const password =
    passwordFile === undefined
      ? inUrl.password || environment[names.password]
      : readSecret(passwordFile, 'password');
  if (password !== undefined && username === undefined) {
    throw new DroverError('USAGE', 'connect: a password without a user name', {
      hint: `give --${names.prefix}username, or set ${names.username}`,
    });
  }
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  };
}
