/**
 * `drover fleet versions|robots|requests`: shows the last reports of the robots: over MQTT alone with
 * `--broker`, so that it works with any engine, or from the HTTP API of a broker with `--api`.
 */

import type { Argv } from 'yargs';
import { instantText, withInstants } from '../../shared/base/durations.ts';
import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { makeOutput, type Output, terminalColumns } from '../../shared/io/cli.ts';
import { countOf, oneLine } from '../../shared/base/printable.ts';
import { paintTable } from '../../shared/base/tints.ts';
import { ATOMIC_SWAP, strategySchema } from '../../shared/formats/apply-strategy.ts';
import { doubtTold, versionShown } from '../../shared/rules/running-version.ts';
import { RELAY_FILTER, robotFilter } from '../../shared/formats/topics.ts';
import {
  clockProblemOf,
  clockProblems,
  countVersions,
  FleetView,
  formatTable,
  packageRequests,
  troubleCodes,
  whenceOf,
  twinIds,
  type FleetRow,
  type FleetRows,
} from '../rollout/fleet-report.ts';
import { AnsweredFleet } from '../rollout/fleet-answer.ts';
import { doing } from '../rollout/robot-details.ts';
import { BrokerLink } from '../transfer/broker-link.ts';
import { Subscription } from '../rollout/subscription.ts';
import { withEnrolmentCommands } from './fleet-enrolments.ts';
import { withKeptCommands } from './fleet-kept.ts';
import { withLogsCommand } from './fleet-logs.ts';
import { withRobotCommand } from './fleet-robot.ts';
import { brokerOptions, commandLog, warn, withOptionalBroker } from './options.ts';
import { openApi, withApi } from './rollout-options.ts';

/** With a wrong clock on this side all robots seem wrong: a few names are enough then. */
const CLOCKS_NAMED_MAX = 5;

const withSource = (argv: Argv) => withApi(withOptionalBroker(argv));

type FleetArgs = Awaited<ReturnType<typeof withSource>['argv']>;

export function fleetCommand(yargs: Argv): Argv {
  return yargs.command('fleet', 'ask what the robots run', (argv) =>
    withLogsCommand(withRobotCommand(withEnrolmentCommands(withKeptCommands(argv))))
      .command(
        'versions',
        'count robots by version',
        (verb) => withSource(verb).example('$0 fleet versions --broker mqtt://127.0.0.1', ''),
        async (args) => showVersions(await readFleet(args), makeOutput(args.json)),
      )
      .command(
        'robots',
        'list robots and what they are doing',
        (verb) =>
          withSource(verb)
            .example('$0 fleet robots --broker mqtt://127.0.0.1 --json', '')
            .example('$0 fleet robots --api http://127.0.0.1:8080', ''),
        async (args) => showRobots(await readFleet(args), makeOutput(args.json)),
      )
      .command(
        'requests',
        'list robots that are too old for a bundle and need a full package',
        (verb) => withSource(verb).example('$0 fleet requests --broker mqtt://127.0.0.1', ''),
        async (args) => showRequests(await readFleet(args), makeOutput(args.json)),
      )
      .demandCommand(
        1,
        'name a command: fleet versions, robots, robot, logs, requests, sessions, enrolments or retire',
      ),
  );
}

interface Fleet {
  readonly view: FleetRows;
  /** False when reports were still arriving when the wait ended. */
  readonly complete: boolean;
}

async function readFleet(args: FleetArgs): Promise<Fleet> {
  const { broker, api } = args;
  if (broker !== undefined && api !== undefined) {
    throw new DroverError('USAGE', 'ask the fleet: want --broker or --api, not both');
  }
  const fleet = broker === undefined ? await askApi(args) : await askBroker({ ...args, broker });
  const { view, complete } = fleet;
  if (!complete) warn('reports are still coming in: the list is not complete');
  if (view.invalid.length > 0) {
    warn(
      `${countOf(view.invalid.length, 'report')} could not be read, the first on ${view.invalid[0]}`,
    );
  }
  for (const id of twinIds(view.rows)) {
    warn(`${id}: two robots use this id (ROBOT_ID_TWICE): ${CATALOGUE.ROBOT_ID_TWICE.hint}`);
  }
  warnOfRelaysAndClocks(view);
  return fleet;
}

/** Page by page: an answer has a bound, and a large fleet has more. */
async function askApi(args: FleetArgs): Promise<Fleet> {
  const api = openApi(args);
  const view = new AnsweredFleet();
  view.takeRelays(await api.get('/relays'));
  let after: string | null = null;
  do {
    const query = new URLSearchParams({
      limit: String(LIMITS.robotsPageMax),
      ...(after !== null && { after }),
    });
    const next = view.takePage(await api.get(`/robots?${String(query)}`));
    if (next !== null && after !== null && next <= after) {
      throw new DroverError('JSON_INVALID', 'read the list of robots: it does not go on');
    }
    after = next;
  } while (after !== null);
  return { view, complete: true };
}

async function askBroker(args: FleetArgs & { readonly broker: string }): Promise<Fleet> {
  const link = await BrokerLink.open(await brokerOptions(args), commandLog());
  try {
    const view = new FleetView();
    const subscription = await Subscription.open(link, {
      filters: [robotFilter('state'), robotFilter('online'), RELAY_FILTER],
      onMessage: (topic, payload) => view.take(topic, payload),
    });
    const complete = await subscription.settle();
    subscription.close();
    return { view, complete };
  } finally {
    await link.close();
  }
}

function warnOfRelaysAndClocks({ rows, relayProblems }: FleetRows): void {
  for (const { relay, problem } of relayProblems) {
    const { code, message, hint } = problem;
    warn(`relay ${relay}: ${oneLine(message, 400)} (${code})`);
    if (hint !== '') warn(`hint for relay ${relay}: ${oneLine(hint, 400)}`);
  }
  const clocks = clockProblems(rows, Date.now());
  for (const { code, message } of clocks.slice(0, CLOCKS_NAMED_MAX)) warn(`${message} (${code})`);
  const more = clocks.length - CLOCKS_NAMED_MAX;
  if (more > 0) warn(`and so are the clocks of ${countOf(more, 'more robot')}`);
  if (clocks[0]) warn(`hint: ${clocks[0].hint}`);
}

function envelope({ view, complete }: Fleet) {
  return { complete, invalid: view.invalid.length };
}

function showVersions(fleet: Fleet, output: Output): void {
  const { rows } = fleet.view;
  const counts = countVersions(rows);
  const versions = rows.map(({ robot, component, online }) => ({
    robot_id: robot.robot_id,
    component: component.name,
    version: versionShown(component),
    online,
  }));
  const table = counts.map(({ component, version, count, online }) => [
    component,
    version ?? '-',
    String(count),
    String(online),
  ]);
  const lines = formatTable(
    [['COMPONENT', 'VERSION', 'ROBOTS', 'ONLINE'], ...table],
    terminalColumns(),
  );
  // `robots` as the API says; scripts of 0.1 read `count`.
  const told = counts.map((one) => ({ ...one, robots: one.count }));
  output.result({ versions, counts: told, ...envelope(fleet) }, table.length > 0 ? lines : NOBODY);
}

const NOBODY = ['no robot has reported to this broker yet'];

function describe(row: FleetRow) {
  const { robot, component, online } = row;
  return {
    robot_id: robot.robot_id,
    online,
    at: instantText(robot.at),
    arch: robot.arch,
    model: robot.model,
    tags: robot.tags,
    compatible: robot.compatible ?? [],
    modules: robot.modules ?? [],
    component: component.name,
    version: component.version,
    version_doubt: doubtTold(component),
    strategy: component.strategy ?? null,
    phase: component.phase,
    target_version: component.target_version ?? null,
    transfer: component.transfer ?? null,
    waiting_for: component.waiting_for ?? null,
    wake_at: component.wake_at ? instantText(component.wake_at) : null,
    last_error: withInstants(component.last_error ?? null),
    via: row.via,
    via_problem: row.relayProblem,
    clock: clockProblemOf(row, Date.now()),
    id_twice: robot.link_endings > 0,
    trust_expires_at: robot.trust_expires_at ? instantText(robot.trust_expires_at) : null,
    certificate_expires_at: robot.certificate_expires_at
      ? instantText(robot.certificate_expires_at)
      : null,
    blocked: component.blocked,
  };
}

/** With the strategy that applies it, where it is not the link alone. */
function versionText({ component }: FleetRow): string {
  const version = versionShown(component) ?? '-';
  const known = strategySchema.safeParse(component.strategy).data ?? ATOMIC_SWAP;
  return known === ATOMIC_SWAP ? version : `${version} (${known})`;
}

function showRobots(fleet: Fleet, output: Output): void {
  const { rows } = fleet.view;
  const table = rows.map((row) => [
    row.robot.robot_id,
    row.online ? 'yes' : 'no',
    row.component.name,
    versionText(row),
    doing(row.component),
    [...troubleCodes(row, Date.now()), whenceOf(row.component)].join(' ').trimEnd(),
    row.robot.arch,
    row.robot.tags.join(','),
    oneLine(row.component.waiting_for ?? ''),
  ]);
  const what = ['COMPONENT', 'VERSION', 'DOING', 'LAST ERROR'];
  const head = ['ROBOT', 'ONLINE', ...what, 'ARCH', 'TAGS', 'WAITS FOR'];
  output.result(
    { robots: rows.map(describe), ...envelope(fleet) },
    table.length > 0 ? formatTable([head, ...table], terminalColumns(), NARROW) : NOBODY,
    paintTable,
  );
}

/** A narrow terminal keeps the version and the problem, and drops facts about the machine. */
const NARROW = { whole: ['ROBOT', 'VERSION'], spare: ['ARCH', 'TAGS', 'ONLINE', 'WAITS FOR'] };

function showRequests(fleet: Fleet, output: Output): void {
  const rows = packageRequests(fleet.view.rows);
  const wanted = ({ component }: FleetRow) => component.last_error?.version ?? null;
  const requests = rows.map((row) => ({
    robot_id: row.robot.robot_id,
    component: row.component.name,
    arch: row.robot.arch,
    version: row.component.version,
    wanted_version: wanted(row),
    message: row.component.last_error?.message ?? '',
  }));
  const table = rows.map((row) => [
    row.robot.robot_id,
    row.component.name,
    versionShown(row.component) ?? '-',
    wanted(row) ?? '-',
    row.robot.arch,
  ]);
  const head = ['ROBOT', 'COMPONENT', 'RUNS', 'WANTS', 'ARCH'];
  output.result(
    { requests, ...envelope(fleet) },
    table.length > 0
      ? [
          ...formatTable([head, ...table], terminalColumns()),
          'publish a full package for them: a bundle built with a --min-current that they meet',
        ]
      : ['no robot asks for a full package'],
  );
}
