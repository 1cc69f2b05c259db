/** Options of every `drover rollout` verb: where the API is, and who asks. */

import { userInfo } from 'node:os';
import type { Argv } from 'yargs';
import { withFilledHint } from '../../shared/base/errors.ts';
import { isId, parseRolloutId } from '../../shared/base/ids.ts';
import { readSecret } from '../../shared/io/cli.ts';
import { ApiClient } from '../rollout/api-client.ts';
import { TEXT, withJson } from '../../shared/io/cli-options.ts';

const API_DEFAULT = 'http://127.0.0.1:8080';

export function withApi<T>(argv: Argv<T>) {
  return withJson(argv)
    .option('api', { ...TEXT, describe: `HTTP API of a broker, or DROVER_API; ${API_DEFAULT}` })
    .option('token-file', { ...TEXT, describe: 'file with the bearer token, or DROVER_TOKEN' });
}

export const withId = <T>(argv: Argv<T>) =>
  argv.positional('id', { type: 'string', demandOption: true, describe: 'rollout id' });

export interface ApiArgs {
  readonly api?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly json: boolean;
}

/** @throws DroverError USAGE, FILE_UNREADABLE */
export function openApi({ api, tokenFile }: ApiArgs): ApiClient {
  const token =
    tokenFile === undefined
      ? process.env['DROVER_TOKEN']
      : readSecret(tokenFile, 'token').trimEnd();
  const url = api ?? process.env['DROVER_API'] ?? API_DEFAULT;
  return new ApiClient({ url, token: token === undefined || token === '' ? null : token });
}

/** @throws DroverError USAGE */
export const rolloutPath = (id: string): string => `/rollouts/${parseRolloutId(id)}`;

/** As it came: a newer broker may say more than this program reads. */
export const rawObject = (bytes: Uint8Array): object =>
  JSON.parse(Buffer.from(bytes).toString('utf8')) as object;

/** A verb about one rollout: hints of what it throws name that rollout. */
export const aboutRollout =
  <A extends { readonly id: string }>(run: (args: A) => Promise<void>) =>
  async (args: A): Promise<void> => {
    try {
      await run(args);
    } catch (thrown) {
      throw withFilledHint(thrown, isId(args.id) ? { ID: args.id } : {});
    }
  };

/** Empty where the user has no name, as in a container; the broker says `local` then. */
export function shellUser(): string {
  try {
    return process.env['USER'] || userInfo().username;
  } catch {
    return ''; // no entry in the list of users
  }
}
