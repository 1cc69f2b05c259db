/** `drover-robot recover`: finishes at boot, before the application, what a power cut interrupted. */

import { resolve } from 'node:path';
import type { Argv } from 'yargs';
import { makeOutput } from '../../shared/io/cli.ts';
import { makeCommandLog } from '../../shared/io/command-log.ts';
import type { ImageSide } from '../boot/system-image.ts';
import { realDisk } from '../install/disk.ts';
import { assertRootsApart } from '../install/roots-apart.ts';
import { SearchPath } from '../install/search-path.ts';
import { recoverComponent } from '../recover/recover.ts';
import type { RecoverInput, Recovery } from '../recover/recover-input.ts';
import { DEFAULT_ROOT, withAgentOptions } from './declare-options.ts';
import { withGivenRoots } from './given-roots.ts';
import { DroverError, nullIfRefused, toProblem } from '../../shared/base/errors.ts';
import { TEXT } from '../../shared/io/cli-options.ts';
import {
  parseAdoptVersion,
  parseHookTimeout,
  parseRelease,
  parseRoots,
  socketPathOf,
} from './options.ts';
import { imageOfBoot } from './system-options.ts';
import { parseModuleTimeout, readMachineNames, readModules } from './module-options.ts';
import { openOwnFolders } from '../install/path-lock.ts';
import { recoverRoots } from './recover-roots.ts';

export const recoverCommand = (argv: Argv): Argv =>
  argv.command(
    'recover',
    'at boot, before the application: finish what a power cut interrupted',
    // The agent's options are accepted as well, so that both units can have the same command line.
    (options) =>
      withAgentOptions(options)
        .option('release', {
          ...TEXT,
          describe: 'of releases/: link active to it, when active leads to nothing whole',
        })
        // The same name as the agent's option, whose value the unit hands over.
        .option('boot', {
          ...TEXT,
          describe: 'as of the agent; --no-boot when a person runs it: no boot is counted',
        }),
    (args) => recover(args),
  );

interface RecoverArgs {
  readonly root: string[];
  readonly socket: string | undefined;
  readonly json: boolean;
  readonly hooks: string;
  readonly hookTimeout: string;
  readonly modules: string | undefined;
  readonly moduleTimeout: string;
  readonly compatible: string[];
  readonly compatibleFile: string | undefined;
  readonly maxBoots: number;
  readonly adoptVersion: string;
  readonly release: string | undefined;
  /** False for `--no-boot`. */
  readonly boot: string | false | undefined;
}

const bootsOf = ({ bootsForeign }: Recovery): string =>
  bootsForeign ? 'what stands at active, which Drover did not install' : 'nothing';

interface SystemRuns {
  readonly component: string;
  /** Null when the boot loader cannot be asked, with the reason. */
  readonly slot: string | null;
  /** Version in that slot; null when no record names one. */
  readonly version: string | null;
  readonly why: string | null;
}

/** The slot that runs decides which version of a system does; `active` follows it later. */
async function systemOf(image: ImageSide): Promise<SystemRuns> {
  const { component } = image;
  try {
    const { running: slot, versions } = await image.look();
    return { component, slot, version: versions.get(slot) ?? null, why: null };
  } catch (thrown) {
    const { message, code } = toProblem(thrown); // the components reported it, too
    return { component, slot: null, version: null, why: `${message} (${code})` };
  }
}

function runsOf(one: Recovery, system: SystemRuns | null): string {
  if (one.component !== system?.component) return `boots ${one.version ?? bootsOf(one)}`;
  const { slot, version, why } = system;
  if (slot === null) return `it is not known which slot runs: ${why}`;
  if (version === null) return `runs in slot ${slot} what this agent did not write`;
  const leads = one.version ?? 'nothing';
  const isLater = leads === version ? '' : `; active names ${leads}, and the agent mends that`;
  return `runs ${version} in slot ${slot}${isLater}`;
}

/** Names that cannot be read are not known: a boot goes on without them. */
function machineOf({ compatible, compatibleFile }: RecoverArgs): RecoverInput['facts'] {
  const names = nullIfRefused(() => readMachineNames(compatible, compatibleFile));
  return names === null ? undefined : { compatible: names };
}

async function recover(args: RecoverArgs): Promise<void> {
  await new SearchPath(makeCommandLog('drover-robot')).look();
  const roots = parseRoots(args.root);
  assertRootsApart(roots);
  if (args.release !== undefined && roots.length > 1) {
    throw new DroverError('USAGE', 'read --release: give the one --root that it is for');
  }
  const install = {
    disk: realDisk,
    hooksFolder: resolve(args.hooks),
    hookTimeoutMs: parseHookTimeout(args.hookTimeout),
    modules: await readModules(args.modules, makeCommandLog('drover-robot')),
    moduleTimeoutMs: parseModuleTimeout(args.moduleTimeout),
    facts: machineOf(args),
    bootsMax: args.maxBoots,
    adoptVersion: parseAdoptVersion(args.adoptVersion),
    isBoot: args.boot !== false && args.boot !== 'false',
    image: args.boot === false ? undefined : imageOfBoot(args.boot, roots),
    ...(args.release !== undefined && { release: parseRelease(args.release) }),
    siblings: roots.map(({ root }) => root),
  };
  const { recoveries, failures } = await recoverRoots(roots, {
    socketPath: socketPathOf(roots, args.socket),
    own: openOwnFolders(makeCommandLog('drover-robot')),
    mayBeAbsent: args.release === undefined,
    recover: (one) => recoverComponent({ ...install, ...one }),
  });
  const system = install.image ? await systemOf(install.image) : null;
  const lines = [
    ...recoveries.flatMap((one) => [
      `${one.component}: ${runsOf(one, system)} (${one.phase})`,
      ...one.actions.map((action) => `  ${action}`),
    ]),
    ...failures.map(({ component, problem }) => `${component}: ${problem.message}`),
  ];
  const given = { roots, socket: args.socket, defaultRoot: DEFAULT_ROOT };
  const told = withGivenRoots(lines, given);
  makeOutput(args.json).result(
    { components: recoveries, failures, ...(system && { system }) },
    told,
  );
  // Something is left to do. The application starts all the same: docs/recovery.md.
  if (recoveries.some(({ problems }) => problems.length > 0)) process.exitCode = 3;
  const [first] = failures;
  if (first) throw first.thrown;
}
