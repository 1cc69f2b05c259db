/** `drover-broker` without a command: runs the broker until it is told to end. */

import type { Argv } from 'yargs';
import { parseByteSize, parseRate } from '../../shared/base/byte-sizes.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { makeLog, makeOutput } from '../../shared/io/cli.ts';
import { attachBroker } from '../attached/attach.ts';
import { readEngineAddress } from '../attached/engine-address.ts';
import { engineProfile } from '../mqtt/engine-profile.ts';
import { startBroker, type RunningBroker } from '../server.ts';
import { withServeOptions, type ServeArgs } from './serve-options.ts';
import {
  certificateFilesOf,
  readKeep,
  readLead,
  readTrustRoot,
  readUpstream,
} from './serve-settings.ts';

const PROGRAM = 'drover-broker';
const MQTT_PORT = 1883;
const LOOPBACK: readonly string[] = ['127.0.0.1', '::1', 'localhost'];

export const brokerCommand = (argv: Argv): Argv =>
  argv.command('$0', 'run the broker', withServeOptions, serve);

async function serve(args: ServeArgs): Promise<void> {
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

async function embed(args: ServeArgs): Promise<() => Promise<void>> {
  const upstream = readUpstream(args);
  const broker = await startBroker({
    ...(await readCommon(args)),
    mqttPort: args.mqtt ?? (args.mqtts === undefined ? MQTT_PORT : null),
    mqttsPort: args.mqtts ?? null,
    wsPort: args.ws ?? null,
    trust: readTrustRoot(args),
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

async function attach(args: ServeArgs, url: string): Promise<() => Promise<void>> {
  const trust = readTrustRoot(args);
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

async function readCommon(args: ServeArgs) {
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
