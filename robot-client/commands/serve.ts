/** `drover-robot` without a command: runs the agent. */

import { resolve } from 'node:path';
import type { Argv } from 'yargs';
import { assertBrokerUrl } from '../../shared/base/broker-urls.ts';
import { parseRate } from '../../shared/base/byte-sizes.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { parseRobotId, type RobotId } from '../../shared/base/ids.ts';
import type { Log, PatchProgram } from '../../shared/base/ports.ts';
import { BROKER_LOGIN, readLogin } from '../../shared/io/cli-options.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { readLogPolicy, readTrustFile } from '../../shared/io/trust-file.ts';
import { findZstdProgram } from '../../shared/io/zstd.ts';
import { claimedDisk } from '../install/claimed-disk.ts';
import { realDisk } from '../install/disk.ts';
import { assertRootsApart } from '../install/roots-apart.ts';
import { RootClaims } from '../install/root-claims.ts';
import { parseLogRules } from './log-options.ts';
import {
  parseModuleTimeout,
  readMachineNames,
  readModules,
  warnOfHooks,
} from './module-options.ts';
import { MachineSide } from '../boot/system-side.ts';
import { parseSystem, warnOfPrograms } from './system-options.ts';
import type { ComponentRoot } from './given-roots.ts';
import { openOwnFolders } from './own-folders.ts';
import { ROBOT_ID_VARIABLE, withAgent, type AgentArgs } from './declare-options.ts';
import {
  machineModel,
  parseAdoptVersion,
  parseHookTimeout,
  parseInterlock,
  parseKeepalive,
  parseModel,
  parseRoots,
  parseTags,
  socketPathOf,
  spareSocketsOf,
} from './options.ts';
import { selfOf, serveAsSelf } from './serve-self.ts';

export const agentCommand = (argv: Argv): Argv =>
  argv.command('$0', 'run the agent', withAgent, runAgent);

async function runAgent(args: AgentArgs): Promise<void> {
  const log = makeLog('drover-robot');
  const roots = parseRoots(args.root);
  assertRootsApart(roots);
  assertBrokerUrl(args.broker);
  const login = readLogin({ ...args, environment: process.env }, BROKER_LOGIN);
  const system = openSystem(args, roots, log);
  await warnOfHooks(args.hooks, log);
  // Loaded here: `recover` runs at each boot, before the application, and needs no link.
  const { Agent } = await import('../agent.ts');
  const claims = new RootClaims(openOwnFolders(log));
  // A policy that cannot be read ends the start: an agent without it would take any bundle.
  const policyPath = args['require-log'];
  const disk = claimedDisk(realDisk, claims);
  const socketPath = socketPathOf(roots, args.socket);
  const self = selfOf({ roots, disk, socketPath, log });
  const agent = new Agent({
    robot: readRobotId(args.id),
    roots,
    trust: readTrustFile(args.trust),
    logPolicy: policyPath === undefined ? null : readLogPolicy(policyPath),
    arch: args.arch,
    model: args.model === undefined ? machineModel() : parseModel(args.model),
    tags: parseTags(args.tags),
    compatible: readMachineNames(args.compatible, args['compatible-file']),
    hooksFolder: resolve(args.hooks),
    hookTimeoutMs: parseHookTimeout(args['hook-timeout']),
    modules: await readModules(args.modules, log),
    moduleTimeoutMs: parseModuleTimeout(args['module-timeout']),
    system,
    bytesPerSecondMax: parseRate(args['max-rate']),
    interlock: parseInterlock({
      windows: args.window,
      zone: args['window-zone'],
      readyDeadline: args['ready-deadline'],
      leaseLostAfterSwitch: args['lease-lost-after-switch'],
    }),
    bootsMax: args['max-boots'],
    adoptVersion: parseAdoptVersion(args['adopt-version']),
    link: {
      url: args.broker,
      chunkQos: args['chunk-qos'] === 0 ? 0 : 1,
      keepaliveS: parseKeepalive(args.keepalive),
      ...login,
      ...(args.ca === undefined ? {} : { caFile: args.ca }),
      ...(args.cert === undefined ? {} : { certFile: args.cert }),
      ...(args.key === undefined ? {} : { keyFile: args.key }),
    },
    ...{ disk, claims, self },
    logs: parseLogRules(args),
    takesDeltas: args.deltas,
    patchProgram: await patchProgramOf(args.zstd, log),
    log,
  });
  const spareSockets = spareSocketsOf(roots, args.socket);
  await serveAsSelf(agent, self, { roots, claims, socketPath, spareSockets, log });
}

/** @throws DroverError USAGE */
function openSystem(args: AgentArgs, roots: readonly ComponentRoot[], log: Log) {
  const settings = parseSystem({
    boot: args.boot,
    slotDevices: args['slot-device'],
    rebootCommand: args['reboot-command'],
    roots,
  });
  if (!settings) return undefined;
  const side = new MachineSide(settings);
  inBackground(log, 'look at the boot side', warnOfPrograms(side, log));
  return { component: settings.component, side };
}

/** @throws DroverError USAGE */
function readRobotId(given: string | undefined): RobotId {
  const id = given ?? process.env[ROBOT_ID_VARIABLE];
  if (id !== undefined) return parseRobotId(id);
  throw new DroverError('USAGE', 'run the agent: it has no robot id', {
    hint: `give --id, or set ${ROBOT_ID_VARIABLE}; drover-robot enrol gets one from a broker`,
  });
}

async function patchProgramOf(program: string, log: Log): Promise<PatchProgram | null> {
  if (program === 'none') return null;
  return await findZstdProgram(program, (error) => {
    log.warn({ problem: toProblem(error) }, 'no zstd: this robot takes only deltas that need none');
  });
}
