/**
 * Where the engine of `--engine` is and who we are there, from the command line, files and the
 * environment. A password may stand in the URL, where others on this machine can read it; it is
 * taken out of it here, so that no log, message or answer of the API ever shows it.
 */

import { existsSync } from 'node:fs';
import { DroverError } from '../shared/errors.ts';
import { readInput } from '../shared/io/cli.ts';
import type { EngineAddress } from './io/engine-link.ts';

export const ENGINE_PASSWORD = 'DROVER_ENGINE_PASSWORD';
export const ENGINE_USERNAME = 'DROVER_ENGINE_USERNAME';
const SCHEMES: readonly string[] = ['mqtt:', 'mqtts:', 'ws:', 'wss:'];

export interface EngineSources {
  readonly url: string;
  readonly username?: string | undefined;
  readonly passwordFile?: string | undefined;
  readonly caFile?: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** @throws DroverError USAGE, FILE_UNREADABLE */
export function readEngineAddress(sources: EngineSources): EngineAddress {
  const { caFile, environment } = sources;
  const url = parseUrl(sources.url);
  const inUrl = { username: decode(url.username), password: decode(url.password) };
  const username = sources.username ?? (inUrl.username || environment[ENGINE_USERNAME]);
  const password = readPassword(sources) ?? (inUrl.password || environment[ENGINE_PASSWORD]);
  if (password !== undefined && username === undefined) {
    throw new DroverError('USAGE', 'attach: a password without a user name', {
      hint: `give --engine-username, or set ${ENGINE_USERNAME}`,
    });
  }
  if (caFile !== undefined && !existsSync(caFile)) {
    throw new DroverError('FILE_UNREADABLE', `read CA ${caFile}: there is no such file`);
  }
  return {
    url: bare(url),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(caFile === undefined ? {} : { caFile }),
  };
}

/** What is not a URL is not repeated: it may hold a password all the same. */
function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url && SCHEMES.includes(url.protocol) && url.hostname !== '') return url;
  throw new DroverError('USAGE', 'read --engine: not an engine URL (want mqtt://127.0.0.1:1883)');
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (cause) {
    const what = 'user or password with a % that begins no escape';
    throw new DroverError('USAGE', `read --engine: ${what}`, { cause, hint: 'write % as %25' });
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
