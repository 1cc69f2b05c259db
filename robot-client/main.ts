#!/usr/bin/env node
/** `drover-robot`: the agent, and the questions a person at the robot asks it. */

import { resolve } from 'node:path';
import type { Argv } from 'yargs';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { parseRate } from '../shared/base/byte-sizes.ts';
import { formatDurationMs } from '../shared/base/durations.ts';
import { DroverError, toProblem } from '../shared/base/errors.ts';
import { parseRobotId } from '../shared/base/ids.ts';
import { makeLog, makeOutput, readInput, runProgram } from '../shared/io/cli.ts';
import { parseBrokerUrls } from '../shared/base/broker-urls.ts';
import { LIMITS } from '../shared/base/limits.ts';
import type { Log, PatchProgram } from '../shared/base/ports.ts';
import { parseTrust } from '../shared/formats/trust.ts';
import { adoptRoots } from './commands/adopt.ts';
import { explainAtRest } from './commands/at-rest.ts';
import { ADOPTED_VERSION_DEFAULT } from './install/adoption.ts';
import { realDisk } from './install/disk.ts';
import { callAgent } from './commands/call-agent.ts';
import { claimedDisk } from './install/claimed-disk.ts';
import { RootClaims } from './install/root-claims.ts';
import { assertRootsApart, lockRoot } from './install/lock.ts';
import { findZstdProgram } from '../shared/io/zstd.ts';
import {
  defaultArch,
  machineModel,
  parseAdoptVersion,
  parseHookTimeout,
  parseInterlock,
  parseKeepalive,
  parseRoots,
  parseTags,
  readPassword,
  socketPathOf,
  spareSocketsOf,
} from './commands/options.ts';
import { recoverComponent, type Recovery } from './install/recover.ts';
import { recoverRoots } from './commands/recover-roots.ts';
import { assertNoAgent, serveAgent } from './commands/serve.ts';

const PROGRAM = 'drover-robot';
const COMMANDS = ['status', 'explain', 'recover', 'adopt', 'retry', 'unblock'];
const DEFAULT_ROOT = '/opt/robot';
const DEFAULT_HOOKS = '/etc/drover/hooks.d';

const withRoots = <T>(args: Argv<T>) =>
  args
    .option('root', {
      type: 'string',
      array: true,
      default: [DEFAULT_ROOT],
      describe: 'DIR of component app, or NAME=DIR; repeatable',
    })
    .option('socket', {
      type: 'string',
      describe: 'local API socket (default: state/agent.sock of each root)',
    })
    .option('json', { type: 'boolean', default: false });

const withComponent = <T>(args: Argv<T>) =>
  withRoots(args).option('component', {
    type: 'string',
    describe: 'this component only (default: all of the robot)',
  });

const componentOf = ({ component }: { component: string | undefined }) =>
  component === undefined ? {} : { component };

const withInstall = <T>(args: Argv<T>) =>
  args
    .option('hooks', {
      type: 'string',
      default: DEFAULT_HOOKS,
      describe: 'folder of ready, stop, start, health, rolled-back',
    })
    .option('hook-timeout', {
      type: 'string',
      default: formatDurationMs(LIMITS.hookTimeoutMsDefault),
      describe: 'one run of a hook is killed after this',
    })
    .option('max-boots', {
      type: 'number',
      default: LIMITS.bootAttemptsMaxDefault,
      describe: 'unconfirmed boots before a rollback',
    })
    .option('adopt-version', {
      type: 'string',
      default: ADOPTED_VERSION_DEFAULT,
      describe: 'version of a plain active/ folder found at first start',
    });

const withAgentOptions = <T>(args: Argv<T>) =>
  withInstall(withRoots(args))
    .option('id', { type: 'string', describe: 'robot id' })
    .option('broker', {
      type: 'string',
      describe: 'mqtt:// mqtts:// ws:// or wss:// URL; several of a cluster with commas',
    })
    .option('chunk-qos', {
      choices: [0, 1] as const,
      default: 1 as const,
      describe: 'QoS of reading chunks: 0 on NATS, 1 on all other engines',
    })
    .option('trust', { type: 'string', describe: 'trust.json of the image' })
    .option('arch', { type: 'string', default: defaultArch() })
    .option('tags', { type: 'string', array: true, default: [] as string[] })
    .option('zstd', {
      type: 'string',
      default: 'zstd',
      describe: 'program that applies deltas, or none',
    })
    .option('max-rate', {
      type: 'string',
      describe: 'download at most this many bytes per second, such as 2M',
    })
    .option('window', {
      type: 'string',
      array: true,
      default: [] as string[],
      describe: 'swap in this maintenance window only, such as "mon-fri 22:00-05:00"; repeatable',
    })
    .option('window-zone', {
      type: 'string',
      describe: 'time zone of --window, such as Europe/Berlin (default: of this machine)',
    })
    .option('ready-deadline', {
      type: 'string',
      describe: 'give an update up for now when the robot stays busy so long (default: wait)',
    })
    .option('keepalive', {
      type: 'string',
      default: formatDurationMs(LIMITS.keepaliveS * 1000),
      describe: 'a link over which nothing comes is given up after one and a half of it',
    })
    .option('username', { type: 'string', describe: 'or DROVER_USERNAME' })
    .option('password-file', { type: 'string', describe: 'or DROVER_PASSWORD' })
    .option('ca', { type: 'string', describe: 'PEM of the authority of the broker' })
    .option('cert', {
      type: 'string',
      implies: 'key',
      describe: "PEM of this robot's certificate, whose name is its --id; needs --key",
    })
    .option('key', { type: 'string', implies: 'cert', describe: 'PEM of the key of --cert' });

const withAgent = <T>(args: Argv<T>) =>
  withAgentOptions(args).demandOption(['id', 'broker', 'trust']);

type AgentArgs = Awaited<ReturnType<typeof withAgent>['argv']>;

/** As it was given: told at the start and not after the first connection that fails. */
function brokerOf(text: string): string {
  parseBrokerUrls(text, '--broker');
  return text;
}

async function runAgent(args: AgentArgs): Promise<void> {
  const log = makeLog(PROGRAM);
  const roots = parseRoots(args.root);
  assertRootsApart(roots);
  const username = args.username ?? process.env['DROVER_USERNAME'];
  const password = readPassword(args['password-file']);
  // Loaded here: `recover` runs at each boot, before the application, and needs no link.
  const { Agent } = await import('./agent.ts');
  const claims = new RootClaims();
  const agent = new Agent({
    robot: parseRobotId(args.id),
    roots,
    trust: parseTrust(readInput(args.trust, 'trust file')),
    arch: args.arch,
    model: machineModel(),
    tags: parseTags(args.tags),
    hooksFolder: resolve(args.hooks),
    hookTimeoutMs: parseHookTimeout(args['hook-timeout']),
    bytesPerSecondMax: parseRate(args['max-rate']),
    interlock: parseInterlock({
      windows: args.window,
      zone: args['window-zone'],
      readyDeadline: args['ready-deadline'],
    }),
    bootsMax: args['max-boots'],
    adoptVersion: parseAdoptVersion(args['adopt-version']),
    link: {
      url: brokerOf(args.broker),
      chunkQos: args['chunk-qos'] === 0 ? 0 : 1,
      keepaliveS: parseKeepalive(args.keepalive),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(args.ca === undefined ? {} : { caFile: args.ca }),
      ...(args.cert === undefined ? {} : { certFile: args.cert }),
      ...(args.key === undefined ? {} : { keyFile: args.key }),
    },
    disk: claimedDisk(realDisk, claims),
    claims,
    patchProgram: await patchProgramOf(args.zstd, log),
    log,
  });
  const socketPath = socketPathOf(roots, args.socket);
  const spareSockets = spareSocketsOf(roots, args.socket);
  await serveAgent(agent, { roots, claims, socketPath, spareSockets, log });
}

/** Without `version(false)` yargs takes the name for its own --version, a switch. */
function withVersion(args: Argv) {
  const asked = withComponent(args).version(false);
  return asked.positional('version', { type: 'string', demandOption: true });
}

async function patchProgramOf(program: string, log: Log): Promise<PatchProgram | null> {
  if (program === 'none') return null;
  return await findZstdProgram(program, (error) => {
    log.warn({ problem: toProblem(error) }, 'no deltas: this robot takes full payloads');
  });
}

interface AskArgs {
  root: string[];
  socket: string | undefined;
  json: boolean;
}

const agentOf = ({ root, socket }: Pick<AskArgs, 'root' | 'socket'>) => ({
  roots: parseRoots(root),
  socket,
});

async function ask(args: AskArgs, path: '/status' | '/explain'): Promise<void> {
  const out = makeOutput(args.json);
  const roots = parseRoots(args.root);
  try {
    const answer = await callAgent({ roots, socket: args.socket }, 'GET', path);
    const { lines } = answer as { lines?: string[] };
    out.result(answer as object, lines ?? [JSON.stringify(answer, null, 2)]);
  } catch (thrown) {
    if (!(thrown instanceof DroverError) || thrown.code !== 'ROBOT_NOT_RUNNING') throw thrown;
    const atRest = await explainAtRest(realDisk, roots);
    const { isWhole, ...told } = atRest;
    if (!isWhole) process.exitCode = 3;
    out.result(told, atRest.lines);
  }
}

const bootsOf = ({ bootsForeign }: Recovery): string =>
  bootsForeign ? 'what stands at active, which Drover did not install' : 'nothing';

async function recover(
  args: AskArgs & {
    hooks: string;
    'hook-timeout': string;
    'max-boots': number;
    'adopt-version': string;
  },
): Promise<void> {
  const roots = parseRoots(args.root);
  assertRootsApart(roots);
  const install = {
    disk: realDisk,
    hooksFolder: resolve(args.hooks),
    hookTimeoutMs: parseHookTimeout(args['hook-timeout']),
    bootsMax: args['max-boots'],
    adoptVersion: parseAdoptVersion(args['adopt-version']),
  };
  const { recoveries, failures } = await recoverRoots(roots, {
    socketPath: socketPathOf(roots, args.socket),
    recover: (one) => recoverComponent({ ...install, ...one }),
  });
  const lines = [
    ...recoveries.flatMap((one) => [
      `${one.component}: boots ${one.version ?? bootsOf(one)} (${one.phase})`,
      ...one.actions.map((action) => `  ${action}`),
    ]),
    ...failures.map(({ component, problem }) => `${component}: ${problem.message}`),
  ];
  makeOutput(args.json).result({ components: recoveries, failures }, lines);
  // Where something is left to do. The application starts all the same: docs/recovery.md.
  if (recoveries.some(({ problems }) => problems.length > 0)) process.exitCode = 3;
  const [first] = failures;
  if (first) throw first.thrown;
}

async function adopt(
  args: AskArgs & { 'adopt-version': string; 'dry-run': boolean },
): Promise<void> {
  const roots = parseRoots(args.root);
  const isDryRun = args['dry-run'];
  assertRootsApart(roots);
  if (!isDryRun) {
    for (const { root } of roots) await lockRoot(root);
    await assertNoAgent(socketPathOf(roots, args.socket));
  }
  const version = parseAdoptVersion(args['adopt-version']);
  const { components, lines } = await adoptRoots({ disk: realDisk, roots, version, isDryRun });
  makeOutput(args.json).result({ dry_run: isDryRun, components }, lines);
}

await runProgram({ program: PROGRAM, commands: COMMANDS, runsWithout: true }, async () => {
  await yargs(hideBin(process.argv))
    .scriptName(PROGRAM)
    .usage('$0 [command]: updates this robot, and says what it is doing')
    .command('$0', 'run the agent', withAgent, (args) => runAgent(args))
    .command('status', 'what runs, as JSON', withRoots, (args) => ask(args, '/status'))
    .command('explain', 'what it does, why it waits, when it wakes', withRoots, (args) =>
      ask(args, '/explain'),
    )
    .command(
      'recover',
      'at boot, before the application: finish what a power cut interrupted',
      // The agent's options are taken as well, so that both units can be given the same line.
      (args) => withAgentOptions(args),
      (args) => recover(args),
    )
    .command(
      'adopt',
      "take over what stands at active or rollback and is not Drover's; removes nothing",
      (args) =>
        withInstall(withRoots(args)).option('dry-run', {
          type: 'boolean',
          default: false,
          describe: 'say what would be done, and do nothing',
        }),
      (args) => adopt(args),
    )
    .command(
      'retry',
      'try now what failed and waits for another try, also a rollback that is stuck',
      withComponent,
      async (args) => {
        const answer = await callAgent(agentOf(args), 'POST', '/retry', componentOf(args));
        makeOutput(args.json).result(answer as object, ['it is tried again now']);
      },
    )
    .command(
      'unblock <version>',
      'let a version that failed here be tried again',
      withVersion,
      async (args) => {
        const answer = await callAgent(agentOf(args), 'POST', '/unblock', {
          version: args.version,
          ...componentOf(args),
        });
        makeOutput(args.json).result(answer as object, [`${args.version} may be tried again`]);
      },
    )
    .strict()
    .exitProcess(false)
    .fail((message: string, error: Error | undefined) => {
      throw error ?? new DroverError('USAGE', message);
    })
    .parseAsync();
});
