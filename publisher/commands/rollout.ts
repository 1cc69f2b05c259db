/**
 * `drover rollout …`: commands of an operator to the controller, over the HTTP API of its broker.
 * The controller decides their effect.
 */

import type { Argv } from 'yargs';
import { makeOutput, terminalColumns } from '../../shared/io/cli.ts';
import { ATTACHMENT_KINDS } from '../../shared/formats/attachments.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import type { ApiClient } from '../rollout/api-client.ts';
import {
  engineLines,
  isWaitingForRobots,
  parseEngineProblem,
  parseRelays,
  relayLines,
  type TroubledRelay,
} from '../rollout/relay-report.ts';
import { printable } from '../../shared/base/printable.ts';
import {
  parseExpiry,
  parseHistory,
  parseRolloutOrSet,
  parseRollouts,
  type HistoryEntry,
} from '../rollout/rollout-answer.ts';
import { expiryLines, historyLines, listLines, statusLines } from '../rollout/rollout-report.ts';
import { word } from '../../shared/rules/rollout-words.ts';
import { forEachNamed, type ToldOfOne } from './rollout-named.ts';
import { withKeys } from './options.ts';
import { isUnled } from '../../shared/rules/presence.ts';
import { paintStatus, paintTable } from '../../shared/base/tints.ts';
import { TEXT, wholeNumber, withDryRun } from '../../shared/io/cli-options.ts';
import {
  aboutRollout,
  openApi,
  rawObject,
  rolloutPath,
  shellUser,
  withApi,
  withId,
  type ApiArgs,
} from './rollout-options.ts';
import { ATTACHMENT_VERBS, runAttachment, withAttachment } from './rollout-attachment.ts';
import { runRobots, withRobots } from './rollout-robots.ts';
import { isSigned } from './rollout-sign.ts';
import { runSteer, STEERING, type SteerCommand } from './rollout-steer.ts';
import { runWithdraw, withWithdraw } from './rollout-withdraw.ts';
import { runWatch } from './rollout-watch.ts';

/** A verb that opens a wave takes the key of its user. */
const withOwnKey = <T>(argv: Argv<T>, verb: SteerCommand): Argv<T> =>
  isSigned(verb) ? withKeys(argv) : argv;

const withSteering = (argv: Argv, verb: SteerCommand) =>
  withOwnKey(withId(withApi(withDryRun(argv))), verb)
    .option('reason', { ...TEXT, default: '', describe: 'why; stands in the history' })
    .option('by', {
      ...TEXT,
      default: shellUser(),
      defaultDescription: 'the user of this shell',
      describe: 'name of the operator, for the audit log',
    })
    .option('yes', { type: 'boolean', default: false, describe: 'do not ask' })
    .option('wave', {
      ...wholeNumber('wave', { least: 0, most: LIMITS.wavesMax }),
      describe: 'of approve and force-open; default: the open one; force-open --yes wants it',
    })
    .example(`$0 rollout ${verb} app-1-4-2-k3f9 --reason 'line 2 is down'`, '');

const withWatch = (argv: Argv) =>
  withId(withApi(argv))
    .option('timeout', { ...TEXT, describe: 'give up after this, exit 4' })
    .example(
      '$0 rollout watch app-1-4-2-k3f9',
      'exit 0 complete, 3 halted, superseded or without effect, 4 --timeout, 5 robots that cannot take it are left',
    );

const withHistory = (argv: Argv) =>
  withId(withApi(argv)).example('$0 rollout history app-1-4-2-k3f9 --json', '');

export function rolloutCommand(yargs: Argv): Argv {
  return yargs.command('rollout', 'see and steer rollouts', (argv) => {
    argv
      .command(
        'list',
        'what is announced, and how far it is',
        (verb) => withApi(verb).example('$0 rollout list --api http://broker:8080', ''),
        (args) => runList(args),
      )
      .command(
        'status <id>',
        'waves, robots, gate and what it waits for',
        (verb) => withId(withApi(verb)).example('$0 rollout status app-1-4-2-k3f9', ''),
        aboutRollout(runStatus),
      )
      .command(
        'watch <id>',
        'follow it until it is complete or halted',
        withWatch,
        aboutRollout(runWatch),
      )
      .command(
        'history <id>',
        'every decision with its evidence, oldest first',
        withHistory,
        aboutRollout(runHistory),
      );
    argv.command(
      'robots <id>',
      'the robots that it waits for, or that failed, each with the reason',
      withRobots,
      aboutRollout(runRobots),
    );
    argv.command(
      'withdraw <id>',
      'take an ended rollout out of what is announced; each robot stays as it is',
      withWithdraw,
      aboutRollout(runWithdraw),
    );
    for (const kind of ATTACHMENT_KINDS) {
      argv.command(
        `${kind} <id>`,
        ATTACHMENT_VERBS[kind],
        (one) => withAttachment(one, kind),
        aboutRollout((args) => runAttachment(kind, args)),
      );
    }
    for (const [verb, describe] of Object.entries(STEERING) as [SteerCommand, string][]) {
      argv.command(
        `${verb} <id>`,
        describe,
        (one) => withSteering(one, verb),
        aboutRollout((args) => runSteer(verb, args)),
      );
    }
    return argv.demandCommand(1, 'name a command: rollout list, status, robots, history, pause, …');
  });
}

async function runList(args: ApiArgs): Promise<void> {
  const api = openApi(args);
  const bytes = await api.get('/rollouts');
  const problem = await unlessUnknown(
    async () => parseEngineProblem(await api.get('/engine')),
    null,
  );
  makeOutput(args.json).result(
    { ...rawObject(bytes), engine_problem: problem },
    [
      ...listLines(parseRollouts(bytes), terminalColumns()),
      ...engineLines(problem),
      ...expiryLines(parseExpiry(bytes)),
    ],
    paintTable,
  );
}

async function runStatus(args: ApiArgs & { id: string }): Promise<void> {
  const api = openApi(args);
  const bytes = await api.get(rolloutPath(args.id));
  const { set, rollouts } = parseRolloutOrSet(bytes);
  const relays = rollouts.some(isWaitingForRobots) ? await readRelays(api) : [];
  const head =
    set === null ? [] : [`set ${word(set)}: ${rollouts.length} rollouts, all or none`, ''];
  const blocks = rollouts.flatMap((one, at) => [
    ...(at > 0 ? [''] : []),
    ...statusLines(one, Date.now()),
  ]);
  makeOutput(args.json).result(
    { ...rawObject(bytes), relay_problems: relays },
    [...head, ...blocks, ...relayLines(relays)],
    paintStatus,
  );
}

/** Relays that report why their robots get nothing. */
const readRelays = (api: ApiClient): Promise<TroubledRelay[]> =>
  unlessUnknown(async () => parseRelays(await api.get('/relays')), []);

/** A broker of 0.1 does not know the route. */
async function unlessUnknown<T>(ask: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (toProblem(error).code === 'NOT_FOUND') return otherwise;
    throw error;
  }
}

const NO_HISTORY = {
  above: 'no history here: a relay decides nothing, ask the broker above',
  nobody: 'no history here: this broker leads no rollouts; the one that leads has it',
} as const;

async function runHistory(args: ApiArgs & { id: string }): Promise<void> {
  const api = openApi(args);
  await forEachNamed({ api, id: args.id, json: args.json }, (id) => readHistory(api, id));
}

async function readHistory(api: ApiClient, id: string): Promise<ToldOfOne> {
  const path = `${rolloutPath(id)}/history`;
  const entries: HistoryEntry[] = [];
  const raw: object[] = [];
  let unled: keyof typeof NO_HISTORY | null = null;
  while (entries.length < LIMITS.auditEntriesMax) {
    const after = entries.at(-1)?.seq ?? 0;
    const bytes = await api.get(`${path}?after=${after}&limit=${LIMITS.historyPageMax}`);
    const { entries: page, led } = parseHistory(bytes);
    if (isUnled(led)) unled = led;
    if (page.length === 0) break;
    if (page.some(({ seq }) => seq <= after)) {
      const what = printable(id);
      throw new DroverError('JSON_INVALID', `read history of ${what}: it does not go on`);
    }
    entries.push(...page);
    raw.push(...(rawObject(bytes) as { entries: object[] }).entries);
  }
  const none = unled === null ? 'nothing was decided yet' : NO_HISTORY[unled];
  const lines = entries.length > 0 ? historyLines(entries) : [none];
  return { fields: { rollout: id, entries: raw }, lines };
}
