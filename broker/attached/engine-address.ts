/**
 * Reads the address of the engine of `--engine` or the broker of `--upstream`, and our credentials
 * there, from the command line, files and the environment. A password may stand in the URL, where
 * others on this machine can read it; it is taken out of it here, so that no log, message or answer
 * of the API ever shows it.
 */

import { existsSync } from 'node:fs';
import { parseBrokerUrls } from '../../shared/base/broker-urls.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { readInput } from '../../shared/io/cli.ts';
import type { EngineAddress } from './link.ts';
import type { UpstreamAddress } from '../relay/link.ts';

export const ENGINE_PASSWORD = 'DROVER_ENGINE_PASSWORD';
export const ENGINE_USERNAME = 'DROVER_ENGINE_USERNAME';
export const UPSTREAM_PASSWORD = 'DROVER_UPSTREAM_PASSWORD';
export const UPSTREAM_USERNAME = 'DROVER_UPSTREAM_USERNAME';

export interface EngineSources {
  readonly url: string;
  readonly username?: string | undefined;
  readonly passwordFile?: string | undefined;
  readonly caFile?: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** What the options and variables of an address are called. */
interface AddressNames {
  readonly option: string;
  readonly username: string;
  readonly password: string;
}

const ENGINE = { option: '--engine', username: ENGINE_USERNAME, password: ENGINE_PASSWORD };
const UPSTREAM = { option: '--upstream', username: UPSTREAM_USERNAME, password: UPSTREAM_PASSWORD };

/** @throws DroverError USAGE, FILE_UNREADABLE */
export function readEngineAddress(sources: EngineSources): EngineAddress {
  return readAddress(sources, ENGINE);
}

export interface UpstreamSources extends EngineSources {
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

/** @throws DroverError USAGE, FILE_UNREADABLE */
export function readUpstreamAddress(sources: UpstreamSources): UpstreamAddress {
  const { certFile, keyFile } = sources;
  for (const file of [certFile, keyFile]) if (file !== undefined) assertThere('certificate', file);
  return {
    ...readAddress(sources, UPSTREAM),
    ...(certFile === undefined ? {} : { certFile }),
    ...(keyFile === undefined ? {} : { keyFile }),
  };
}

function readAddress(sources: EngineSources, names: AddressNames): EngineAddress {
  const { caFile, environment } = sources;
  const urls = parseBrokerUrls(sources.url, names.option);
  const [url] = urls as [URL];
  const inUrl = {
    username: decode(url.username, names.option),
    password: decode(url.password, names.option),
  };
  const username = sources.username ?? (inUrl.username || environment[names.username]);
  const password = readPassword(sources) ?? (inUrl.password || environment[names.password]);
  if (password !== undefined && username === undefined) {
    throw new DroverError('USAGE', 'attach: a password without a user name', {
      hint: `give ${names.option}-username, or set ${names.username}`,
    });
  }
  if (caFile !== undefined) assertThere('CA', caFile);
  return {
    url: urls.map(bare).join(','),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(caFile === undefined ? {} : { caFile }),
  };
}

function assertThere(what: string, file: string): void {
  if (existsSync(file)) return;
  throw new DroverError('FILE_UNREADABLE', `read ${what} ${file}: there is no such file`);
}

function decode(part: string, option: string): string {
  try {
    return decodeURIComponent(part);
  } catch (cause) {
    const what = 'user or password with a % that begins no escape';
    throw new DroverError('USAGE', `read ${option}: ${what}`, { cause, hint: 'write % as %25' });
  }
}

function readPassword({ passwordFile }: EngineSources): string | undefined {
  if (passwordFile === undefined) return undefined;
  const bytes = readInput(passwordFile, `password ${passwordFile}`);
  return new TextDecoder().decode(bytes).replace(/\r?\n$/, '');
}

function bare(url: URL): string {
  const copy = new URL(url);
  copy.username = '';
  copy.password = '';
  return copy.href.replace(/\/$/, '');
}
