/** Declares the options that several commands of `drover-robot` share; options.ts reads them. */

import type { Argv } from 'yargs';
import { formatDurationMs } from '../../shared/base/durations.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { BROKER_URL, TEXT, wholeNumber, withJson, withLogin } from '../../shared/io/cli-options.ts';
import { ALWAYS_OPEN } from '../local/interlock.ts';
import { AFTER_SWITCH } from '../local/ready-lease.ts';
import { ADOPTED_VERSION_DEFAULT } from '../recover/adoption.ts';
import { BOOT_KINDS } from '../boot/open-boot.ts';
import { withLogs } from './log-options.ts';
import { withComputers } from './member-options.ts';
import { REBOOT_COMMAND } from './system-options.ts';
import { defaultArch } from './options.ts';

export const DEFAULT_ROOT = '/opt/robot';
/** `drover-robot enrol` writes it into a file that the unit reads. */
export const ROBOT_ID_VARIABLE = 'DROVER_ROBOT_ID';
/** The same for the folder of its certificate. */
export const IDENTITY_VARIABLE = 'DROVER_IDENTITY';
export const DEFAULT_HOOKS = '/etc/drover/hooks.d';

export const withRoots = <T>(args: Argv<T>) =>
  withJson(args)
    .option('root', {
      type: 'string',
      array: true,
      default: [DEFAULT_ROOT],
      describe: 'DIR of component app, or NAME=DIR; repeatable',
    })
    .option('socket', {
      ...TEXT,
      describe: 'local API socket (default: state/agent.sock of each root)',
    });

export const withComponent = <T>(args: Argv<T>) =>
  withRoots(args).option('component', {
    ...TEXT,
    describe: 'this component only (default: all of the robot)',
  });

export const componentOf = ({ component }: { component: string | undefined }) =>
  component === undefined ? {} : { component };

export const withInstall = <T>(args: Argv<T>) =>
  args
    .option('hooks', {
      ...TEXT,
      default: DEFAULT_HOOKS,
      describe: 'folder of ready, stop, start, health, rolled-back',
    })
    .option('hook-timeout', {
      ...TEXT,
      default: formatDurationMs(LIMITS.hookTimeoutMsDefault),
      describe: 'one run of a hook is killed after this',
    })
    .option('modules', {
      ...TEXT,
      describe: 'folder of modules that apply releases (docs/modules.md); default: none',
    })
    .option('module-timeout', {
      ...TEXT,
      default: formatDurationMs(LIMITS.moduleTimeoutMsDefault),
      describe: 'one run of a module is killed after this',
    })
    .option('max-boots', {
      ...wholeNumber('max-boots', { least: 1, most: LIMITS.bootAttemptsMax }),
      default: LIMITS.bootAttemptsMaxDefault,
      describe: 'unconfirmed boots before a rollback',
    })
    .option('adopt-version', {
      ...TEXT,
      default: ADOPTED_VERSION_DEFAULT,
      describe: 'version of a plain active/ folder found at first start',
    });

/** The arch and the names of this machine, which a bundle has to fit. */
export const withMachine = <T>(args: Argv<T>) =>
  args
    .option('arch', {
      ...TEXT,
      default: defaultArch(),
      defaultDescription: 'of this machine',
      describe: 'architecture of the bundles that this robot takes',
    })
    .option('compatible', {
      type: 'string',
      array: true,
      default: [] as string[],
      describe: 'name of this machine, which a bundle may ask for; repeatable',
    })
    .option('compatible-file', {
      ...TEXT,
      describe: 'file with more such names, such as /proc/device-tree/compatible',
    });

export const withSlotDevices = <T>(args: Argv<T>) =>
  args.option('slot-device', {
    type: 'string',
    array: true,
    default: [] as string[],
    describe: 'NAME=PATH of the partition of a system slot; for both of them',
  });

export const withAgentOptions = <T>(args: Argv<T>) =>
  withComputers(withLogs(withSlotDevices(withMachine(withLogin(withInstall(withRoots(args)))))))
    .option('id', { ...TEXT, describe: `robot id, or ${ROBOT_ID_VARIABLE}` })
    .option('broker', BROKER_URL)
    .option('trust', { ...TEXT, describe: 'trust.json of the image' })
    .option('require-log', {
      ...TEXT,
      describe: 'take only releases that are logged as this policy file wants',
    })
    .option('tags', {
      type: 'string',
      array: true,
      default: [] as string[],
      describe: 'groups of this robot, which rollouts can aim at; comma-separated',
    })
    .option('model', {
      ...TEXT,
      describe: 'model of this machine for reports (default: of its device tree)',
    })
    .option('boot', {
      ...TEXT,
      describe: `boot loader of a machine with two system slots: one of ${BOOT_KINDS}`,
    })
    .option('reboot-command', {
      ...TEXT,
      default: REBOOT_COMMAND,
      describe: 'program and arguments that restart the machine into the other slot',
    })
    .option('zstd', {
      ...TEXT,
      default: 'zstd',
      describe: 'program that applies deltas made by it, or none',
    })
    .option('deltas', {
      type: 'boolean',
      default: true,
      describe: 'take deltas; --no-deltas takes full payloads only',
    })
    .option('max-rate', {
      ...TEXT,
      describe: 'download at most this many bytes per second, such as 2M',
    })
    .option('window', {
      type: 'string',
      array: true,
      default: [] as string[],
      describe: 'swap in this maintenance window only, such as "mon-fri 22:00-05:00"; repeatable',
    })
    .option('window-zone', {
      ...TEXT,
      describe:
        'time zone of --window and of publish --start-local, such as Europe/Berlin (default: of this machine)',
    })
    .option('ready-deadline', {
      ...TEXT,
      describe: 'give an update up for now when the robot stays busy so long (default: wait)',
    })
    .option('lease-lost-after-switch', {
      choices: AFTER_SWITCH,
      default: ALWAYS_OPEN.leaseLostAfterSwitch,
      describe: 'when a lease of POST /ready is lost in probation: stay in it, or go back at once',
    })
    .option('keepalive', {
      ...TEXT,
      default: formatDurationMs(LIMITS.keepaliveS * 1000),
      describe: 'a link over which nothing comes is given up after one and a half of it',
    })
    .option('cert', {
      ...TEXT,
      implies: 'key',
      describe: "PEM of this robot's certificate, whose name is its --id; needs --key",
    })
    .option('key', { ...TEXT, implies: 'cert', describe: 'PEM of the key of --cert' })
    .option('identity', {
      ...TEXT,
      describe: `folder of drover-robot enrol --identity, or ${IDENTITY_VARIABLE}; renewed by itself`,
    })
    .conflicts('identity', ['cert', 'username', 'password-file']);

export const withAgent = <T>(args: Argv<T>) =>
  withAgentOptions(args)
    .option('id', {
      ...TEXT,
      describe: `robot id; or ${ROBOT_ID_VARIABLE}, or that of --identity; one is needed`,
    })
    .option('broker', {
      ...BROKER_URL,
      describe: `${BROKER_URL.describe}; needed unless there is a --leader`,
    })
    .demandOption(['trust']);

export type AgentArgs = Awaited<ReturnType<typeof withAgent>['argv']>;
