/** Options that several verbs share, and how their words become values. */

import type { Argv } from 'yargs';
import { makeLog } from '../../shared/io/cli.ts';
import {
  BROKER_LOGIN,
  BROKER_URL,
  LIST,
  readLogin,
  withLogin,
} from '../../shared/io/cli-options.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { BrokerLinkOptions } from '../transfer/broker-link.ts';
import { KEY_ENVIRONMENT, type KeySources } from '../../shared/io/key-file.ts';

export function withKeys<T>(argv: Argv<T>) {
  return argv
    .option('key', { ...LIST, describe: 'file with a raw 32-byte seed; may be given again' })
    .option('key-command', {
      ...LIST,
      describe: 'command that prints the seed, raw or as 64 hex digits',
    });
}

export function withBroker<T>(argv: Argv<T>) {
  return withLogin(argv.option('broker', { ...BROKER_URL, demandOption: true }));
}

/** For verbs that have something to do without one as well. */
export function withOptionalBroker<T>(argv: Argv<T>) {
  return withLogin(argv.option('broker', BROKER_URL));
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
  const login = readLogin({ ...argv, environment: process.env }, BROKER_LOGIN);
  return {
    url: argv.broker,
    ...(argv.chunkQos === 0 ? { chunkQos: 0 as const } : {}),
    ...login,
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
