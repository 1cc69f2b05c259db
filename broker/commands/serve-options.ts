/** Options of the broker as a process. serve-settings.ts reads them. */

import type { Argv } from 'yargs';
import { formatDurationMs } from '../../shared/base/durations.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { ENGINE_LOGIN, TEXT, UPSTREAM_LOGIN, withJson } from '../../shared/io/cli-options.ts';
import { ENGINE_NAMES } from '../mqtt/engine-profile.ts';
import { withListeners } from './listen-options.ts';

/** Environment variable of a controller's key. */
export const ROLLOUT_KEY = 'DROVER_ROLLOUT_KEY';

const withBroker = <T>(args: Argv<T>) =>
  withListeners(withJson(args))
    .option('data', {
      ...TEXT,
      demandOption: true,
      describe: 'folder of chunks, messages and sessions',
    })
    .option('trust', {
      ...TEXT,
      describe: 'trust.json: refuse announcements that no robot would take',
    })
    .option('public-mqtt', {
      ...TEXT,
      describe: 'MQTT address that drover --url gets here, where a proxy stands before this broker',
    })
    .option('log-policy', {
      ...TEXT,
      describe:
        'policy file of the transparency log: refuse signature lines of other keys; with --engine: put back what others changed',
    })
    .option('max-store', {
      ...TEXT,
      default: `${LIMITS.storeBytesMaxDefault / 2 ** 30}G`,
      describe: 'bytes of chunks to keep at most',
    })
    .option('max-rate', {
      ...TEXT,
      describe: 'send at most this many bytes of chunks per second to all robots, such as 20M',
    })
    .option('keep-unannounced', {
      ...TEXT,
      default: formatDurationMs(LIMITS.keepUnannouncedMsDefault),
      describe: 'remove chunks that nothing announced has needed for this long',
    })
    .option('garbage', {
      type: 'boolean',
      default: true,
      describe: 'remove chunks that nothing needs; --no-garbage keeps all',
    })
    .option('rollout-key', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: `lead rollouts with this key file; or ${ROLLOUT_KEY}; may be given again`,
    })
    .option('rollout-key-command', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'command that prints the rollout key',
    })
    .option('rollout-sign-command', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'command that signs with a rollout key that stays on its device, within 5 s',
    })
    .option('notify', {
      ...TEXT,
      describe: 'program that calls a person; gets a decision as JSON on standard input',
    })
    .option('webhook', {
      type: 'string',
      array: true,
      requiresArg: true,
      implies: 'webhook-secret-file',
      describe: 'send the same decisions to this URL, signed; may be given again',
    })
    .option('webhook-secret-file', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'file with whsec_ and base64; one for all of --webhook, or one for each',
    })
    .option('webhook-ca', {
      ...TEXT,
      describe: 'PEM file of the authority that signed the certificates of --webhook',
    })
    .option('controller-start', {
      ...TEXT,
      default: formatDurationMs(LIMITS.controllerStartMs),
      describe: 'time for robots to come back before the first wave opens',
    })
    .option('lease', {
      ...TEXT,
      default: formatDurationMs(LIMITS.leaseMs),
      describe: 'another controller takes over after this; the same for all of a fleet',
    });

/** Options of a broker that is attached to a stock engine. */
const withEngine = <T>(args: Argv<T>) =>
  args
    .option('engine', {
      ...TEXT,
      describe: 'attach to the MQTT engine at this URL (nodes: URL,URL) instead of being one',
    })
    .option('engine-profile', {
      choices: ENGINE_NAMES,
      default: 'mosquitto' as const,
      describe: 'kind of that engine',
    })
    .option('engine-username', { ...TEXT, describe: `or ${ENGINE_LOGIN.username}` })
    .option('engine-password-file', {
      ...TEXT,
      describe: `file with the password, or ${ENGINE_LOGIN.password}`,
    })
    .option('engine-ca', {
      ...TEXT,
      describe: "PEM file of the authority that signed the engine's certificate",
    })
    .conflicts('engine', ['mqtt', 'mqtts', 'ws', 'client-ca', 'max-rate']);

/** Options of a relay: the broker of a site, below another broker. */
const withUpstream = <T>(args: Argv<T>) =>
  args
    .option('upstream', {
      ...TEXT,
      implies: 'trust',
      describe: 'be a site relay below the broker at this URL; leads no rollouts itself',
    })
    .option('upstream-name', {
      ...TEXT,
      describe: 'what this site is called there (default: a name that --data keeps)',
    })
    .option('upstream-username', { ...TEXT, describe: `or ${UPSTREAM_LOGIN.username}` })
    .option('upstream-password-file', {
      ...TEXT,
      describe: `file with the password, or ${UPSTREAM_LOGIN.password}`,
    })
    .option('upstream-ca', {
      ...TEXT,
      describe: "PEM file of the authority that signed the upstream's certificate",
    })
    .option('upstream-cert', {
      ...TEXT,
      implies: 'upstream-key',
      describe: 'PEM of a certificate that names this relay',
    })
    .option('upstream-key', {
      ...TEXT,
      implies: 'upstream-cert',
      describe: 'PEM of the key of --upstream-cert',
    })
    .option('max-upstream-rate', {
      ...TEXT,
      describe: 'bytes a second that chunks may take of the link, such as 500k',
    })
    .conflicts('upstream', [
      'engine',
      'rollout-key',
      'rollout-key-command',
      'rollout-sign-command',
    ]);

export const withServeOptions = <T>(args: Argv<T>) => withUpstream(withEngine(withBroker(args)));
export type ServeArgs = Awaited<ReturnType<typeof withServeOptions>['argv']>;
