/** Options that several verbs share, and how their words become values. */

import type { Argv } from 'yargs';
import { DroverError } from '../../shared/base/errors.ts';
import { makeLog, readInput } from '../../shared/io/cli.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { BrokerLinkOptions } from '../transfer/broker-link.ts';
import { KEY_ENVIRONMENT, type KeySources } from '../../shared/io/key-file.ts';

/** Options that may be given several times; every other one is refused the second time. */
export const LIST_OPTIONS: readonly string[] = [
  'bundles', // the positionals of export
  'delta-from',
  'min-gate',
  'gate',
  'key',
  'key-command',
  'only',
  'release',
  'rollout',
  'root',
  'supersede',
];

/** One option that takes one value each time it is given. */
export const LIST = { type: 'string', array: true, nargs: 1 } as const;
export const TEXT = { type: 'string', requiresArg: true } as const;

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

export function withKeys<T>(argv: Argv<T>) {
  return argv
    .option('key', { ...LIST, describe: 'file with a raw 32-byte seed; may be given again' })
    .option('key-command', {
      ...LIST,
      describe: 'command that prints the seed, raw or as 64 hex digits',
    });
}

const BROKER = {
  ...TEXT,
  describe: 'mqtt://, mqtts://, ws:// or wss:// URL; several of a cluster with commas',
} as const;

export function withBroker<T>(argv: Argv<T>) {
  return withLogin(argv.option('broker', { ...BROKER, demandOption: true }));
}

/** For verbs that have something to do without one as well. */
export function withOptionalBroker<T>(argv: Argv<T>) {
  return withLogin(argv.option('broker', BROKER));
}

function withLogin<T>(argv: Argv<T>) {
  return argv
    .option('chunk-qos', {
      choices: [0, 1] as const,
      default: 1 as const,
      describe: 'QoS of reading chunks: 0 on NATS, 1 on all other engines',
    })
    .option('username', { ...TEXT, describe: 'or DROVER_USERNAME' })
    .option('password-file', { ...TEXT, describe: 'file with the password, or DROVER_PASSWORD' })
    .option('ca', { ...TEXT, describe: "PEM file of the authority that signed the broker's cert" });
}

export function keySources(argv: {
  key?: string[] | undefined;
  keyCommand?: string[] | undefined;
}): KeySources {
  return {
    files: argv.key ?? [],
    commands: argv.keyCommand ?? [],
    environment: process.env[KEY_ENVIRONMENT],
  };
}

/** @throws DroverError FILE_UNREADABLE, USAGE */
export function brokerOptions(argv: {
  broker: string;
  username?: string | undefined;
  passwordFile?: string | undefined;
  ca?: string | undefined;
  chunkQos?: number | undefined;
}): BrokerLinkOptions {
  const username = argv.username ?? process.env['DROVER_USERNAME'];
  const password =
    argv.passwordFile === undefined
      ? process.env['DROVER_PASSWORD']
      : Buffer.from(readInput(argv.passwordFile, `password ${argv.passwordFile}`))
          .toString('utf8')
          .replace(/\r?\n$/, '');
  if (password !== undefined && username === undefined) {
    throw new DroverError('USAGE', 'connect: a password without a user name', {
      hint: 'give --username, or set DROVER_USERNAME',
    });
  }
  return {
    url: argv.broker,
    ...(argv.chunkQos === 0 ? { chunkQos: 0 as const } : {}),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(argv.ca === undefined ? {} : { caFile: argv.ca }),
  };
}

/** Warnings about what a person should change; never on stdout. */
export function warn(line: string): void {
  process.stderr.write(`drover: warning: ${line}\n`);
}

/** A command line tells results; what happens on the way is for DROVER_LOG=debug. */
export function commandLog(): Log {
  return makeLog('drover', process.env['DROVER_LOG'] ?? 'warn');
}

/** `a,b` and nothing for an absent option. */
export function commaList(text: string | undefined): string[] {
  return (text ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}
