/** `drover-robot` without a command: runs the agent. */

import { resolve } from 'node:path';
import type { Argv } from 'yargs';
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
import { SearchPath } from '../install/search-path.ts';
import { parseLogRules } from './log-options.ts';
import { readComputers } from './member-options.ts';
import {
  parseModuleTimeout,
  readMachineNames,
  readModules,
  warnOfHooks,
} from './module-options.ts';
import { MachineSide, type SystemSettings } from '../boot/system-side.ts';
import type { ComponentRoot } from './given-roots.ts';
import { parseSystem, warnOfPrograms } from './system-options.ts';
import { programsOf, warnOfFiles } from './guarded-files.ts';
import { openOwnFolders } from '../install/path-lock.ts';
import type { CertificateKeeper } from '../enrolment/certificate-keeper.ts';
import {
  IDENTITY_VARIABLE,
  ROBOT_ID_VARIABLE,
  withAgent,
  type AgentArgs,
} from './declare-options.ts';
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
import type { AgentOptions } from '../agent-options.ts';
import { selfOf, serveAsSelf } from './serve-self.ts';

export const agentCommand = (argv: Argv): Argv =>
  argv.command('$0', 'run the agent', withAgent, runAgent);

async function runAgent(args: AgentArgs): Promise<void> {
  const log = makeLog('drover-robot');
  const searchPath = new SearchPath(log);
  await searchPath.look();
  const roots = parseRoots(args.root);
  assertRootsApart(roots);
  const system = readSystem(args, roots);
  await warnOfHooks(args.hooks, log);
  // Loaded here: `recover` runs at each boot, before the application, and needs no link.
  const { Agent } = await import('../agent.ts');
  const claims = new RootClaims(openOwnFolders(log));
  // A policy that cannot be read ends the start: an agent without it would take any bundle.
  const policyPath = args['require-log'];
  const disk = claimedDisk(realDisk, claims);
  const socketPath = socketPathOf(roots, args.socket);
  const self = selfOf({ roots, disk, socketPath, log });
  const modules = await readModules(args.modules, log);
  warnOfFiles(args, log);
  const keeper = await openIdentity(args, log);
  const compatible = readMachineNames(args.compatible, args['compatible-file']);
  const id = args.id ?? process.env[ROBOT_ID_VARIABLE];
  const own = { robot: id === undefined ? null : parseRobotId(id), roots, compatible, disk, log };
  const { url, robot, leader, member } = await readComputers(args, { ...own, arch: args.arch });
  const computers = leader ?? member;
  const agent = new Agent({
    robot: robot ?? readRobotId(args.id, keeper),
    ...{ computers, openWire: member?.openWire ?? keeper?.openWire },
    certificate: await certificateOf(args, keeper),
    roots,
    trust: readTrustFile(args.trust),
    trustFile: resolve(args.trust),
    logPolicy: policyPath === undefined ? null : readLogPolicy(policyPath),
    arch: args.arch,
    model: args.model === undefined ? machineModel() : parseModel(args.model),
    tags: parseTags(args.tags),
    compatible,
    hooksFolder: resolve(args.hooks),
    modules,
    programs: () => programsOf({ modules, folder: args.modules, boot: system?.boot }),
    system: sideOf(system, log),
    link: { ...linkOf(args, keeper), url },
    secretFiles: [args.key ?? keeper?.pemFile].filter((path) => path !== undefined),
    ...{ disk, claims, self, searchPath },
    ...boundsOf(args),
    patchProgram: await patchProgramOf(args.zstd, log),
    log,
  });
  const spareSockets = spareSocketsOf(roots, args.socket);
  keeper?.start(() => agent.reconnect(renewedLink()));
  try {
    const on = { roots, claims, socketPath, spareSockets, computers, log };
    await serveAsSelf(agent, self, on);
  } finally {
    await keeper?.close();
  }
}

/** The agent ends its own link: that the broker cannot be reached would be no truth. */
const renewedLink = (): DroverError =>
  new DroverError('LINK_RENEWED', 'connect again: the certificate of this robot was renewed');

/** @throws DroverError USAGE */
function boundsOf(args: AgentArgs) {
  return {
    hookTimeoutMs: parseHookTimeout(args['hook-timeout']),
    moduleTimeoutMs: parseModuleTimeout(args['module-timeout']),
    bytesPerSecondMax: parseRate(args['max-rate']),
    interlock: parseInterlock({
      windows: args.window,
      zone: args['window-zone'],
      readyDeadline: args['ready-deadline'],
      leaseLostAfterSwitch: args['lease-lost-after-switch'],
    }),
    bootsMax: args['max-boots'],
    adoptVersion: parseAdoptVersion(args['adopt-version']),
    logs: parseLogRules(args),
    takesDeltas: args.deltas,
  };
}

/** @throws DroverError USAGE */
function readSystem(args: AgentArgs, roots: readonly ComponentRoot[]): SystemSettings | undefined {
  const slots = { boot: args.boot, slotDevices: args['slot-device'] };
  return parseSystem({ ...slots, rebootCommand: args['reboot-command'], roots });
}

/** Undefined for a robot without system slots. */
function sideOf(settings: SystemSettings | undefined, log: Log) {
  if (!settings) return undefined;
  const side = new MachineSide(settings);
  inBackground(log, 'look at the boot side', warnOfPrograms(side, log));
  return { component: settings.component, side };
}

/** @throws DroverError USAGE, FILE_UNREADABLE */
function linkOf(
  args: AgentArgs,
  keeper: CertificateKeeper | undefined,
): Omit<AgentOptions['link'], 'url'> {
  const { ca, cert = keeper?.pemFile, key = keeper?.pemFile } = args;
  return {
    chunkQos: args['chunk-qos'] === 0 ? 0 : 1,
    keepaliveS: parseKeepalive(args.keepalive),
    ...readLogin({ ...args, environment: process.env }, BROKER_LOGIN),
    ...(ca === undefined ? {} : { caFile: ca }),
    ...(cert === undefined ? {} : { certFile: cert }),
    ...(key === undefined ? {} : { keyFile: key }),
  };
}

/** How long the certificate of the link is good; undefined without one. */
async function certificateOf(
  { cert }: AgentArgs,
  keeper: CertificateKeeper | undefined,
): Promise<AgentOptions['certificate']> {
  if (cert === undefined) return keeper && (() => keeper.view());
  const { viewOfFile } = await import('../enrolment/identity-files.ts');
  return () => viewOfFile(cert);
}

/** Undefined for a robot with a certificate that was made by hand, or without one. */
async function openIdentity(args: AgentArgs, log: Log): Promise<CertificateKeeper | undefined> {
  const isNamed = args.cert !== undefined || args.username !== undefined;
  const folder = args.identity ?? (isNamed ? undefined : process.env[IDENTITY_VARIABLE]);
  if (folder === undefined || folder === '') return undefined;
  const { CertificateKeeper: Keeper } = await import('../enrolment/certificate-keeper.ts');
  return Keeper.open({ folder: resolve(folder), caFile: args.ca, log });
}

/** @throws DroverError USAGE */
function readRobotId(given: string | undefined, keeper: CertificateKeeper | undefined): RobotId {
  const id = given ?? process.env[ROBOT_ID_VARIABLE] ?? keeper?.robot;
  if (id !== undefined && keeper && id !== keeper.robot) {
    const want = `its certificate names ${keeper.robot}`;
    throw new DroverError('USAGE', `run the agent: another robot id (got ${id}, ${want})`);
  }
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
