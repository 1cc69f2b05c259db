/** `drover-robot adopt`: makes releases of what stands in the slots and Drover did not install. */

import type { Argv } from 'yargs';
import { withDryRun } from '../../shared/io/cli-options.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { makeCommandLog } from '../../shared/io/command-log.ts';
import { realDisk } from '../install/disk.ts';
import { lockRoot } from '../install/lock.ts';
import { assertRootsApart } from '../install/roots-apart.ts';
import { notMounted } from '../install/mount-memory.ts';
import { adoptRoots } from './adopt-roots.ts';
import { withInstall, withRoots } from './declare-options.ts';
import { parseAdoptVersion, parseRoots, rootAbsent, socketPathOf } from './options.ts';
import { findOwnFolders, openOwnFolders } from '../install/path-lock.ts';
import { assertNoAgentRuns } from './serve-agent.ts';

export const adoptCommand = (argv: Argv): Argv =>
  argv.command(
    'adopt',
    "take over what stands at active or rollback and is not Drover's; removes nothing",
    (options) => withDryRun(withInstall(withRoots(options))),
    (args) => adopt(args),
  );

interface AdoptArgs {
  readonly root: string[];
  readonly socket: string | undefined;
  readonly json: boolean;
  readonly adoptVersion: string;
  readonly dryRun: boolean;
}

async function adopt(args: AdoptArgs): Promise<void> {
  const roots = parseRoots(args.root);
  const { dryRun: isDryRun } = args;
  assertRootsApart(roots);
  for (const { root } of roots) {
    const away = notMounted(root, findOwnFolders());
    if (away) throw away;
    if ((await realDisk.kind(root)) === 'absent') throw rootAbsent('take over', root);
  }
  if (!isDryRun) {
    const own = openOwnFolders(makeCommandLog('drover-robot'));
    for (const { root } of roots) await lockRoot(root, own);
    await assertNoAgentRuns(socketPathOf(roots, args.socket));
  }
  const version = parseAdoptVersion(args.adoptVersion);
  const { components, lines } = await adoptRoots({ disk: realDisk, roots, version, isDryRun });
  makeOutput(args.json).result({ dry_run: isDryRun, components }, lines);
}
