/**
 * Reads the address of the engine of `--engine` or the broker of `--upstream`, and our credentials
 * there, from the command line, files and the environment. A password may stand in the URL, where
 * others on this machine can read it; it is removed from the URL here, so that no log, message or
 * answer of the API ever shows it.
 */

import { existsSync } from 'node:fs';
import { parseBrokerUrls } from '../../shared/base/broker-urls.ts';
import { DroverError } from '../../shared/base/errors.ts';
import {
  ENGINE_LOGIN,
  readLogin,
  UPSTREAM_LOGIN,
  type LoginNames,
} from '../../shared/io/cli-options.ts';
import type { EngineAddress } from '../attached/link.ts';
import type { UpstreamAddress } from '../relay/link.ts';

export interface EngineSources {
  readonly url: string;
  readonly username?: string | undefined;
  readonly passwordFile?: string | undefined;
  readonly caFile?: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** @throws DroverError USAGE, FILE_UNREADABLE */
export function readEngineAddress(sources: EngineSources): EngineAddress {
  return readAddress(sources, '--engine', ENGINE_LOGIN);
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
    ...readAddress(sources, '--upstream', UPSTREAM_LOGIN),
    ...(certFile === undefined ? {} : { certFile }),
    ...(keyFile === undefined ? {} : { keyFile }),
  };
}

function readAddress(sources: EngineSources, option: string, names: LoginNames): EngineAddress {
  const { caFile } = sources;
  const urls = parseBrokerUrls(sources.url, option);
  const [url] = urls as [URL];
  const inUrl = {
    username: decode(url.username, option),
    password: decode(url.password, option),
  };
  const login = readLogin({ ...sources, inUrl }, names);
  if (caFile !== undefined) assertThere('CA', caFile);
  return {
    url: urls.map(bare).join(','),
    ...login,
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

function bare(url: URL): string {
  const copy = new URL(url);
  copy.username = '';
  copy.password = '';
  return copy.href.replace(/\/$/, '');
}
