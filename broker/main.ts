#!/usr/bin/env node
/** `drover-broker`: the broker, and the credentials it knows. */

import type { Argv } from 'yargs';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { parseByteSize, parseRate } from '../shared/base/byte-sizes.ts';
import { formatDurationMs, parseDurationMs } from '../shared/base/durations.ts';
import { DroverError } from '../shared/base/errors.ts';
import { readSeeds } from '../shared/io/key-file.ts';
import { isId } from '../shared/base/ids.ts';
import { makeLog, makeOutput, readInput, runProgram } from '../shared/io/cli.ts';
import { inBackground } from '../shared/base/in-background.ts';
import { LIMITS } from '../shared/base/limits.ts';
import { parseTrust, type TrustRoot } from '../shared/formats/trust.ts';
import { ACL_COMMAND } from './commands/acl.ts';
import { attachBroker } from './attached/attach.ts';
import { withDataCommands } from './commands/data.ts';
import { withDoors } from './commands/door-options.ts';
import { ENGINE_NAMES, engineProfile } from './mqtt/engine-profile.ts';
import {
  ENGINE_PASSWORD,
  ENGINE_USERNAME,
  readEngineAddress,
  readUpstreamAddress,
  UPSTREAM_PASSWORD,
  UPSTREAM_USERNAME,
} from './attached/engine-address.ts';
import type { CertificateFiles } from './access/certificates.ts';
import type { LeadOptions } from './rollout/lead.ts';
import { runPasswd } from './access/passwd.ts';
import type { UpstreamOptions } from './relay/relay.ts';
import { startBroker, type RunningBroker } from './server.ts';

const PROGRAM = 'drover-broker';
const COMMANDS = ['passwd', 'backup', 'repair', 'restore', 'acl'];
const MQTT_PORT = 1883;
const ROLLOUT_KEY = 'DROVER_ROLLOUT_KEY';
const LOOPBACK: readonly string[] = ['127.0.0.1', '::1', 'localhost'];

const withBroker = <T>(args: Argv<T>) =>
  withDoors(args)
    .option('data', {
      type: 'string',
      demandOption: true,
      describe: 'folder of chunks, messages and sessions',
    })
    .option('trust', {
      type: 'string',
      describe: 'trust.json: refuse announcements that no robot would take',
    })
    .option('max-store', {
      type: 'string',
      default: `${LIMITS.storeBytesMaxDefault / 2 ** 30}G`,
      describe: 'bytes of chunks to keep at most',
    })
    .option('max-rate', {
      type: 'string',
      describe: 'send at most this many bytes of chunks per second to all robots, such as 20M',
    })
    .option('keep-unannounced', {
      type: 'string',
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
    .option('notify', {
      type: 'string',
      describe: 'program that calls a person; gets a decision as JSON on standard input',
    })
    .option('controller-start', {
      type: 'string',
      default: formatDurationMs(LIMITS.controllerStartMs),
      describe: 'time for robots to come back before the first wave opens',
    })
    .option('lease', {
      type: 'string',
      default: formatDurationMs(LIMITS.leaseMs),
      describe: 'another controller takes over after this; the same for all of a fleet',
    })
    .option('json', { type: 'boolean', default: false });

/** No MQTT of its own: an engine that somebody else runs. */
const withEngine = <T>(args: Argv<T>) =>
  args
    .option('engine', {
      type: 'string',
      requiresArg: true,
      describe: 'attach to the MQTT engine at this URL (nodes: URL,URL) instead of being one',
    })
    .option('engine-profile', {
      choices: ENGINE_NAMES,
      default: 'mosquitto' as const,
      describe: 'what that engine is',
    })
    .option('engine-username', { type: 'string', describe: `or ${ENGINE_USERNAME}` })
    .option('engine-password-file', {
      type: 'string',
      describe: `file with the password, or ${ENGINE_PASSWORD}`,
    })
    .option('engine-ca', {
      type: 'string',
      describe: "PEM file of the authority that signed the engine's certificate",
    })
    .conflicts('engine', ['mqtt', 'mqtts', 'ws', 'client-ca', 'max-rate']);

/** A relay on a site: a broker of ours stands above. */
const withUpstream = <T>(args: Argv<T>) =>
  args
    .option('upstream', {
      type: 'string',
      requiresArg: true,
      implies: 'trust',
      describe: 'be a site relay below the broker at this URL; leads no rollouts itself',
    })
    .option('upstream-name', {
      type: 'string',
      describe: 'what this site is called there (default: a name that --data keeps)',
    })
    .option('upstream-username', { type: 'string', describe: `or ${UPSTREAM_USERNAME}` })
    .option('upstream-password-file', {
      type: 'string',
      describe: `file with the password, or ${UPSTREAM_PASSWORD}`,
    })
    .option('upstream-ca', {
      type: 'string',
      describe: "PEM file of the authority that signed the upstream's certificate",
    })
    .option('upstream-cert', {
      type: 'string',
      implies: 'upstream-key',
      describe: 'PEM of a certificate that names this relay',
    })
    .option('upstream-key', { type: 'string', implies: 'upstream-cert' })
    .option('max-upstream-rate', {
      type: 'string',
      describe: 'bytes a second that chunks may take of the link, such as 500k',
    })
    .conflicts('upstream', ['engine', 'rollout-key', 'rollout-key-command']);

const withAll = <T>(args: Argv<T>) => withUpstream(withEngine(withBroker(args)));
type BrokerArgs = Awaited<ReturnType<typeof withAll>['argv']>;

async function serve(args: BrokerArgs): Promise<void> {
  if (!LOOPBACK.includes(args.host) && !args.credentials && !args['allow-anonymous']) {
    throw new DroverError(
      'BIND_UNSAFE',
      `listen on ${args.host}: anybody there could publish and read`,
    );
  }
  const log = makeLog(PROGRAM);
  // The last line of defence: a site must not lose its broker to one failure without an owner.
  process.on('unhandledRejection', (reason) => {
    const stack = reason instanceof Error ? reason.stack : undefined;
    log.error({ error: String(reason), stack }, 'unhandled failure, please report this');
  });
  const close = args.engine === undefined ? await embed(args) : await attach(args, args.engine);
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
  });
  await close();
}

async function embed(args: BrokerArgs): Promise<() => Promise<void>> {
  const upstream = readUpstream(args);
  const broker = await startBroker({
    ...(await readCommon(args)),
    mqttPort: args.mqtt ?? (args.mqtts === undefined ? MQTT_PORT : null),
    mqttsPort: args.mqtts ?? null,
    wsPort: args.ws ?? null,
    trust: readTrust(args),
    connectionsMax: args['max-connections'],
    wsOrigins: args['ws-origin'],
    bytesPerSecondMax: parseRate(args['max-rate']),
    upstream,
  });
  const { mqttPort: mqtt, mqttsPort: mqtts, wsPort: ws, httpPort: http } = broker;
  const s = args['tls-cert'] === undefined ? '' : 's';
  const doors = { mqtt, mqtts, [`ws${s}`]: ws, [`http${s}`]: http };
  const urls = Object.entries(doors).flatMap(([scheme, port]) =>
    port === null ? [] : [`${scheme}://${args.host}:${port}`],
  );
  makeOutput(args.json).result({ mqtt, mqtts, ws, http }, [`listening on ${urls.join(', ')}`]);
  reloadOnHangup(broker.reload);
  return () => broker.close();
}

function reloadOnHangup(reload: RunningBroker['reload']): void {
  const log = makeLog(PROGRAM);
  if (reload) process.on('SIGHUP', () => inBackground(log, 'reload credentials', reload()));
}

async function attach(args: BrokerArgs, url: string): Promise<() => Promise<void>> {
  const trust = readTrust(args);
  if (!trust) {
    const why = 'anybody may write there, and only what verifies is shown or put back';
    throw new DroverError('USAGE', `attach: --engine needs --trust: ${why}`);
  }
  const address = readEngineAddress({
    url,
    username: args['engine-username'],
    passwordFile: args['engine-password-file'],
    caFile: args['engine-ca'],
    environment: process.env,
  });
  const profile = engineProfile(args['engine-profile']);
  const broker = await attachBroker({ ...(await readCommon(args)), trust, address, profile });
  const http = broker.httpPort;
  const s = args['tls-cert'] === undefined ? '' : 's';
  const line = `attached to ${address.url} (${profile.name}), http${s}://${args.host}:${http}`;
  makeOutput(args.json).result({ engine: address.url, profile: profile.name, http }, [line]);
  reloadOnHangup(broker.reload);
  return () => broker.close();
}

async function readCommon(args: BrokerArgs) {
  return {
    dataFolder: args.data,
    host: args.host,
    httpPort: args.http,
    certificateFiles: certificateFilesOf(args),
    credentialsFile: args.credentials ?? null,
    storeBytesMax: parseByteSize(args['max-store']),
    keepUnannouncedMs: readKeep(args),
    lead: await readLead(args),
    log: makeLog(PROGRAM),
  };
}

/** Null: nobody stands above. */
function readUpstream(args: BrokerArgs): UpstreamOptions | null {
  const { upstream: url, 'upstream-name': name, 'max-upstream-rate': rate } = args;
  if (url === undefined) return null;
  if (process.env[ROLLOUT_KEY] !== undefined) {
    const why = 'a relay carries rollouts and leads none';
    throw new DroverError('USAGE', `read --upstream: ${why} (got ${ROLLOUT_KEY})`);
  }
  if (name !== undefined && (!isId(name) || name.length > LIMITS.relayNameMax)) {
    const want = `1 to ${LIMITS.relayNameMax} of A-Z a-z 0-9 _ -`;
    throw new DroverError('USAGE', `read --upstream-name: not a name (want ${want})`);
  }
  const address = readUpstreamAddress({
    url,
    username: args['upstream-username'],
    passwordFile: args['upstream-password-file'],
    caFile: args['upstream-ca'],
    certFile: args['upstream-cert'],
    keyFile: args['upstream-key'],
    environment: process.env,
  });
  const bytesPerSecondMax = rate === undefined ? null : parseByteSize(rate);
  return { address, name: name ?? null, bytesPerSecondMax };
}

const readTrust = ({ trust }: BrokerArgs): TrustRoot | null =>
  trust === undefined ? null : parseTrust(readInput(trust, 'trust file'));

/** Null: chunks are never removed. */
function readKeep(args: BrokerArgs): number | null {
  const keepMs = parseDurationMs(args['keep-unannounced']);
  const [least, most] = [LIMITS.keepUnannouncedMsMin, LIMITS.keepUnannouncedMsMax];
  if (keepMs >= least && keepMs <= most) return args.garbage ? keepMs : null;
  const want = `${formatDurationMs(least)} to ${formatDurationMs(most)}`;
  const got = args['keep-unannounced'];
  const why = `out of range (got ${got}, want ${want}; --no-garbage keeps all)`;
  throw new DroverError('USAGE', `read --keep-unannounced: ${why}`);
}

function readLease(args: BrokerArgs): number {
  const leaseMs = parseDurationMs(args.lease);
  const [least, most] = [LIMITS.leaseMsMin, LIMITS.leaseMsMax];
  if (leaseMs >= least && leaseMs <= most) return leaseMs;
  const want = `${formatDurationMs(least)} to ${formatDurationMs(most)}`;
  throw new DroverError('USAGE', `read --lease: out of range (got ${args.lease}, want ${want})`);
}

function certificateFilesOf(args: BrokerArgs): CertificateFiles | null {
  const { 'tls-cert': certFile, 'tls-key': keyFile } = args;
  if (certFile !== undefined && keyFile !== undefined) {
    return { certFile, keyFile, clientCaFile: args['client-ca'] ?? null };
  }
  if (args.mqtts === undefined) return null;
  throw new DroverError('USAGE', 'listen on --mqtts: give --tls-cert and --tls-key');
}

/** Null when no key is given: the broker carries and shows rollouts, and leads none. */
async function readLead(args: BrokerArgs): Promise<LeadOptions | null> {
  const files = args['rollout-key'] ?? [];
  const commands = args['rollout-key-command'] ?? [];
  const environment = process.env[ROLLOUT_KEY];
  const leaseMs = readLease(args); // a typing error is told whether it matters today or not
  if (files.length === 0 && commands.length === 0 && environment === undefined) return null;
  const warn = (line: string): void => void process.stderr.write(`${line}\n`);
  const read = () => readSeeds({ files, commands, environment }, warn);
  return {
    seeds: await read(),
    readSeeds: read,
    notify: args.notify ?? null,
    times: { startMs: parseDurationMs(args['controller-start']), leaseMs },
  };
}

await runProgram({ program: PROGRAM, commands: COMMANDS, runsWithout: true }, async () => {
  await withDataCommands(yargs(hideBin(process.argv)))
    .scriptName(PROGRAM)
    .usage('$0 [command]: carries signed updates to robots, and knows what each of them runs')
    .command('$0', 'run the broker', withAll, (args) => serve(args))
    .command(
      'passwd',
      'add or renew a credential; prints its new token once',
      (args) =>
        args
          .option('file', { type: 'string', demandOption: true })
          .option('user', { type: 'string', demandOption: true })
          .option('role', {
            choices: ['publisher', 'robot', 'technician', 'relay'] as const,
            demandOption: true,
          })
          .option('robot-id', {
            type: 'string',
            describe: 'for role robot (default: the user name)',
          })
          .option('password-stdin', {
            type: 'boolean',
            default: false,
            describe: 'a password from standard input instead of a token',
          })
          .option('json', { type: 'boolean', default: false }),
      (args) => {
        const robotId = args['robot-id'] ?? (args.role === 'robot' ? args.user : undefined);
        return runPasswd({
          file: args.file,
          user: args.user,
          role: args.role,
          ...(robotId === undefined ? {} : { robotId }),
          passwordStdin: args['password-stdin'],
          json: args.json,
        });
      },
    )
    .command(ACL_COMMAND)
    .strict()
    .exitProcess(false)
    .fail((message: string, error: Error | undefined) => {
      throw error ?? new DroverError('USAGE', message);
    })
    .parseAsync();
});
