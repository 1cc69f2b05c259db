/**
 * `drover rollout robots`: names the robots that a rollout waits for, or those in one state, each
 * with the reason.
 */

import type { Argv } from 'yargs';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { printable } from '../../shared/base/printable.ts';
import { paintTable } from '../../shared/base/tints.ts';
import { terminalColumns } from '../../shared/io/cli.ts';
import { TEXT } from '../../shared/io/cli-options.ts';
import { AWAITED, memberLines, parseMembers, type MembersAnswer } from '../rollout/members.ts';
import type { ApiClient } from '../rollout/api-client.ts';
import { forEachNamed, type ToldOfOne } from './rollout-named.ts';
import {
  openApi,
  rawObject,
  rolloutPath,
  withApi,
  withId,
  type ApiArgs,
} from './rollout-options.ts';

export const withRobots = (argv: Argv) =>
  withId(withApi(argv))
    .option('state', {
      ...TEXT,
      default: AWAITED,
      describe:
        'awaited (the open wave waits for them), done, updating, vanished, failed, waiting, went_back or excluded; several with commas',
    })
    .option('all', { type: 'boolean', default: false, describe: 'robots in every state' })
    .example('$0 rollout robots app-1-4-2-k3f9', 'who holds the wave up, and why')
    .example('$0 rollout robots app-1-4-2-k3f9 --state failed --json', '');

interface RobotsArgs extends ApiArgs {
  readonly id: string;
  readonly state: string;
  readonly all: boolean;
}

export async function runRobots({ id, state, all, ...args }: RobotsArgs): Promise<void> {
  const api = openApi(args);
  const asked = { state: all ? null : state };
  await forEachNamed({ api, id, json: args.json }, (one) => readMembers(api, one, asked));
}

async function readMembers(
  api: ApiClient,
  id: string,
  { state }: { readonly state: string | null },
): Promise<ToldOfOne> {
  const path = `${rolloutPath(id)}/robots`;
  const pages: MembersAnswer[] = [];
  const raw: object[] = [];
  let after: string | null = null;
  do {
    const query = new URLSearchParams({
      ...(state !== null && { state }),
      ...(after !== null && { after }),
    });
    const bytes = await api.get(`${path}?${String(query)}`);
    const page = parseMembers(bytes);
    raw.push(...(rawObject(bytes) as { robots: object[] }).robots);
    pages.push(page);
    if (page.next !== null && after !== null && page.next <= after) {
      throw new DroverError('JSON_INVALID', `read robots of ${printable(id)}: it does not go on`);
    }
    after = page.next;
  } while (after !== null && raw.length < LIMITS.robotsMax);
  const [first] = pages;
  if (!first) throw new TypeError('readMembers: one page was read');
  const robots = pages.flatMap((page) => page.robots);
  const { counts, awaited, waves } = first;
  return {
    fields: { rollout: id, robots: raw, counts, awaited, waves },
    lines: memberLines({ ...first, robots }, state, terminalColumns()),
    paint: paintTable,
  };
}
