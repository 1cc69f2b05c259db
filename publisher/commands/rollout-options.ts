/** Options of every `drover rollout` verb: the address of the API and the user. */

import { userInfo } from 'node:os';
import type { Argv } from 'yargs';
import { withFilledHint } from '../../shared/base/errors.ts';
import { isId, parseRolloutId } from '../../shared/base/ids.ts';
import { readSecret } from '../../shared/io/cli.ts';
import { ApiClient } from '../rollout/api-client.ts';
import { CA, TEXT, withJson } from '../../shared/io/cli-options.ts';
import { OF_PROFILE, URL_ELSEWHERE, warnIfReadable, withUrl } from './options.ts';

const API_DEFAULT = 'http://127.0.0.1:8080';

export function withApi<T>(argv: Argv<T>) {
  return withUrl(withJson(argv), URL_ELSEWHERE)
    .option('api', {
      ...TEXT,
      describe: 'HTTP API of a broker',
      defaultDescription: `that of --url, DROVER_API, DROVER_URL or the profile, else ${API_DEFAULT}`,
    })
    .option('token-file', {
      ...TEXT,
      describe: `file with the bearer token, or DROVER_TOKEN${OF_PROFILE}`,
    })
    .option('ca', { ...TEXT, describe: `${CA}${OF_PROFILE}` });
}

export const withId = <T>(argv: Argv<T>) =>
  argv.positional('id', { type: 'string', demandOption: true, describe: 'rollout id' });

export interface ApiArgs {
  readonly api?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly ca?: string | undefined;
  readonly json: boolean;
}

/** @throws DroverError USAGE, FILE_UNREADABLE */
export function openApi({ api, tokenFile, ca }: ApiArgs): ApiClient {
  const token =
    tokenFile === undefined
      ? process.env['DROVER_TOKEN']
      : readSecret(tokenFile, 'token').trimEnd();
  const url = api ?? process.env['DROVER_API'] ?? API_DEFAULT;
  const isNone = token === undefined || token === '';
  warnIfReadable(url, isNone ? undefined : 'token');
  return new ApiClient({ url, token: isNone ? null : token, caFile: ca });
}

/** @throws DroverError USAGE */
export const rolloutPath = (id: string): string => `/rollouts/${parseRolloutId(id)}`;

/** Unchanged: a newer broker may send fields that this program does not know. */
export const rawObject = (bytes: Uint8Array): object =>
  JSON.parse(Buffer.from(bytes).toString('utf8')) as object;

/** For a verb about one rollout: hints of its errors name that rollout. */
export const aboutRollout =
  <A extends { readonly id: string }>(run: (args: A) => Promise<void>) =>
  async (args: A): Promise<void> => {
    try {
      await run(args);
    } catch (thrown) {
      throw withFilledHint(thrown, isId(args.id) ? { ID: args.id } : {});
    }
  };

/** Empty when the user has no name, as in a container; the broker then says `local`. */
export function shellUser(): string {
  try {
    return process.env['USER'] || userInfo().username;
  } catch {
    return ''; // no entry in the list of users
  }
}
