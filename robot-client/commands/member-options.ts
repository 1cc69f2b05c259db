/** Options of the agent for a robot of several computers, and how they are read. */

import { resolve } from 'node:path';
import type { Argv } from 'yargs';
import { assertBrokerUrl } from '../../shared/base/broker-urls.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { ID_PATTERN, type RobotId } from '../../shared/base/ids.ts';
import type { Log } from '../../shared/base/ports.ts';
import { TEXT } from '../../shared/io/cli-options.ts';
import { layoutOf } from '../install/layout.ts';
import type { Disk } from '../install/disk-port.ts';
import type { LeaderSide } from '../members/leader.ts';
import type { MemberSide } from '../members/member.ts';
import { noMembers, straysText } from '../members/roster.ts';
import { readPairFile, readPairFolder, strayNames } from '../members/pair-file.ts';
import type { Address } from '../members/secure-link.ts';
import type { ComponentRoot } from './given-roots.ts';

/** On the network of the robot, which has no other meaning for this port. */
const DEFAULT_PORT = 7443;

export const withComputers = <T>(args: Argv<T>) =>
  args
    .option('members', {
      ...TEXT,
      describe: 'lead the computers whose pair files are in this folder (docs/members.md)',
    })
    .option('members-listen', {
      ...TEXT,
      implies: 'members',
      describe: `HOST:PORT on the network of the robot where they reach this one (port ${DEFAULT_PORT} by default)`,
    })
    .option('leader', {
      ...TEXT,
      implies: 'pair',
      conflicts: ['broker', 'members'],
      describe: 'HOST:PORT of the leader of this robot, instead of --broker',
    })
    .option('pair', { ...TEXT, implies: 'leader', describe: 'pair file of this computer' });

export interface ComputerArgs {
  readonly id?: string | undefined;
  readonly broker?: string | undefined;
  readonly members?: string | undefined;
  readonly 'members-listen'?: string | undefined;
  readonly leader?: string | undefined;
  readonly pair?: string | undefined;
}

interface Facts {
  /** Null without --id, and without an id in the environment. */
  readonly robot: RobotId | null;
  readonly roots: readonly ComponentRoot[];
  readonly arch: string;
  readonly compatible: readonly string[];
  readonly disk: Disk;
  readonly log: Log;
}

/** The link of the agent, and the other computers of its robot. */
export interface ComputerSide {
  /** Address of the link for people. */
  readonly url: string;
  /** Of the pair file; null where --id names the robot. */
  readonly robot: RobotId | null;
  readonly leader?: LeaderSide;
  readonly member?: MemberSide;
}

/** @throws DroverError USAGE, PAIR_INVALID, FILE_UNREADABLE */
export async function readComputers(args: ComputerArgs, facts: Facts): Promise<ComputerSide> {
  if (args.leader !== undefined && args.pair !== undefined) {
    return await readMember({ leader: args.leader, path: args.pair, id: args.id }, facts);
  }
  const { broker } = args;
  if (broker === undefined) {
    throw new DroverError('USAGE', 'Missing required argument: broker', {
      hint: 'give --broker URL, or --leader HOST:PORT on a computer that has a leader',
    });
  }
  assertBrokerUrl(broker);
  if (args.members === undefined) return { url: broker, robot: null };
  const { robot, roots, arch, compatible, disk, log } = facts;
  const [first] = roots;
  if (robot === null || !first) throw new DroverError('USAGE', 'lead a robot: it has no --id');
  const own = roots.map(({ component }) => component);
  const listen = args['members-listen'];
  if (listen === undefined) {
    throw new DroverError('USAGE', 'lead the computers of this robot: give --members-listen');
  }
  // Loaded here: `recover` has the same options, runs at each boot, and needs no link.
  const { LeaderSide } = await import('../members/leader.ts');
  const folder = resolve(args.members);
  const { pairs, problems } = readPairFolder(folder, robot, own);
  const strays = strayNames(folder);
  const none = noMembers(folder, pairs.length + problems.length, strays);
  if (none === null && strays.length > 0)
    log.warn({ folder }, `files in --members were not read${straysText(strays)}`);
  const leader = new LeaderSide({
    ...{ pairs, missing: none === null ? problems : [none] },
    ...{ robot, listen: parseAddress(listen, '--members-listen'), disk, arch, compatible, log },
    roots,
    folder: `${layoutOf(first.root).state}/members`,
  });
  return { url: broker, robot: null, leader };
}

/**
 * The pair file names the robot. An id of the environment does not count here: the unit of the
 * package sets the name of the machine, which is not that of a robot of several.
 */
async function readMember(
  { leader, path, id }: { leader: string; path: string; id: string | undefined },
  facts: Facts,
): Promise<ComputerSide> {
  const { roots, arch, compatible, log } = facts;
  const pair = readPairFile(resolve(path));
  if (id !== undefined && id !== pair.robot) {
    throw new DroverError('USAGE', `read --id: ${path} is for robot ${pair.robot} (got ${id})`, {
      hint: `leave --id out: the pair file names the robot; for another robot make another pair file (drover-robot pair)`,
    });
  }
  const [have, want] = [roots.map(({ component }) => component), pair.components];
  if (have.toSorted().join() !== want.toSorted().join()) {
    const counts = `(got ${have.join(', ')}, want ${want.join(', ')})`;
    throw new DroverError('USAGE', `read --root: other components than in ${path} ${counts}`, {
      hint: `give ${want.map((name) => `--root ${name}=DIR`).join(' ')}, or make a pair file for what this computer has: drover-robot pair ${pair.computer} --id ${pair.robot} ${have.map((name) => `--component ${name}`).join(' ')} --out FILE`,
    });
  }
  const at = parseAddress(leader, '--leader');
  const { MemberSide } = await import('../members/member.ts');
  const member = new MemberSide({ pair, leader: at, arch, compatible, roots, log });
  return { url: `https://${at.host}:${at.port}`, robot: pair.robot, member };
}

/** @throws DroverError USAGE */
export function parseAddress(text: string, option: string): Address {
  const url = URL.canParse(`http://${text}`) ? new URL(`http://${text}`) : null;
  const isAddress =
    url !== null && url.hostname !== '' && url.pathname === '/' && url.search === '';
  if (!isAddress || text.includes('@') || text.includes('/')) {
    throw new DroverError('USAGE', `read ${option}: no address (want HOST or HOST:PORT)`);
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const hasPort = /:\d+$/.test(text.replace(/^\[.*\]/, ''));
  // The default port of a URL is left out in `url.port`.
  return { host, port: hasPort ? Number(text.slice(text.lastIndexOf(':') + 1)) : DEFAULT_PORT };
}

/** @throws DroverError USAGE */
export function parseComputerName(text: string): string {
  if (ID_PATTERN.test(text)) return text;
  throw new DroverError('USAGE', `read COMPUTER: not a name (want 1 to 64 of A-Z a-z 0-9 _ -)`);
}
