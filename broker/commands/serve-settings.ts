/** Turns the command-line options of the broker into the settings of its parts. */

import { writeNote } from '../../shared/io/cli.ts';
import { assertBrokerUrl, isLoopback } from '../../shared/base/broker-urls.ts';
import { parseByteSize, parseRate } from '../../shared/base/byte-sizes.ts';
import { parseDurationMs } from '../../shared/base/durations.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { isId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { readSpanMs } from '../../shared/io/cli-options.ts';
import { readSigners } from '../../shared/io/signers.ts';
import { readLogPolicy, readTrustFile } from '../../shared/io/trust-file.ts';
import type { CertificateFiles } from '../access/certificates.ts';
import type { AuthorityFiles } from '../enrolment/authority.ts';
import { readEngineAddress, readUpstreamAddress } from './engine-address.ts';
import { engineProfile } from '../mqtt/engine-profile.ts';
import type { UpstreamOptions } from '../relay/relay.ts';
import type { LeadOptions } from '../rollout/lead.ts';
import type { AttachedSettings, BrokerSettings, EmbeddedSettings } from '../settings.ts';
import { ROLLOUT_KEY, type ServeArgs } from './serve-options.ts';
import { readWebhooks } from './webhook-settings.ts';

const MQTT_PORT = 1883;

/** Reads all settings. @throws DroverError USAGE, FILE_UNREADABLE and others */
export async function readSettings(args: ServeArgs, log: Log): Promise<BrokerSettings> {
  if (!isLoopback(args.host) && !args.credentials && !args['allow-anonymous']) {
    const why = 'anybody there could publish and read';
    throw new DroverError('BIND_UNSAFE', `listen on ${args.host}: ${why}`);
  }
  const trust = readTrustRoot(args);
  if (args.engine !== undefined && !trust) {
    const why = 'anybody may write there, and only what verifies is shown or put back';
    throw new DroverError('USAGE', `attach: --engine needs --trust: ${why}`);
  }
  const engine = args.engine === undefined ? readEmbedded(args) : readAttached(args, args.engine);
  const lead = await readLead(args, trust);
  return {
    dataFolder: args.data,
    host: args.host,
    httpPort: args.http,
    publicMqtt: readPublicMqtt(args),
    certificateFiles: certificateFilesOf(args),
    credentialsFile: args.credentials ?? null,
    authorityFiles: authorityFilesOf(args),
    trust,
    logPolicy: args['log-policy'] === undefined ? null : readLogPolicy(args['log-policy']),
    storeBytesMax: parseByteSize(args['max-store']),
    keepUnannouncedMs: readKeep(args),
    lead,
    webhooks: readWebhooks(args, lead !== null, log),
    engine,
    log,
  };
}

function readEmbedded(args: ServeArgs): EmbeddedSettings {
  return {
    kind: 'embedded',
    doors: {
      mqttPort: args.mqtt ?? (args.mqtts === undefined ? MQTT_PORT : null),
      mqttsPort: args.mqtts ?? null,
      wsPort: args.ws ?? null,
    },
    connectionsMax: args['max-connections'],
    wsOrigins: args['ws-origin'],
    bytesPerSecondMax: parseRate(args['max-rate']),
    upstream: readUpstream(args),
  };
}

function readAttached(args: ServeArgs, url: string): AttachedSettings {
  const address = readEngineAddress({
    url,
    username: args['engine-username'],
    passwordFile: args['engine-password-file'],
    caFile: args['engine-ca'],
    environment: process.env,
  });
  return { kind: 'attached', address, profile: engineProfile(args['engine-profile']) };
}

/** Null when this broker is no relay. */
function readUpstream(args: ServeArgs): UpstreamOptions | null {
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

const readTrustRoot = ({ trust }: ServeArgs): TrustRoot | null =>
  trust === undefined ? null : readTrustFile(trust);

/** @throws DroverError USAGE */
function readPublicMqtt({ 'public-mqtt': url }: ServeArgs): string | null {
  if (url === undefined) return null;
  assertBrokerUrl(url, '--public-mqtt');
  return url;
}

/** Null when chunks are never removed. */
function readKeep(args: ServeArgs): number | null {
  const [least, most] = [LIMITS.keepUnannouncedMsMin, LIMITS.keepUnannouncedMsMax];
  const bounds = { least, most, also: '; --no-garbage keeps all' };
  const keepMs = readSpanMs('keep-unannounced', args['keep-unannounced'], bounds);
  return args.garbage ? keepMs : null;
}

const readLease = (args: ServeArgs): number =>
  readSpanMs('lease', args.lease, { least: LIMITS.leaseMsMin, most: LIMITS.leaseMsMax });

function certificateFilesOf(args: ServeArgs): CertificateFiles | null {
  const { 'tls-cert': certFile, 'tls-key': keyFile } = args;
  if (certFile !== undefined && keyFile !== undefined) {
    return { certFile, keyFile, clientCaFile: args['client-ca'] ?? null };
  }
  if (args.mqtts === undefined) return null;
  throw new DroverError('USAGE', 'listen on --mqtts: give --tls-cert and --tls-key');
}

/** Null where robots that enrol get secrets. */
function authorityFilesOf(args: ServeArgs): AuthorityFiles | null {
  const bounds = { least: LIMITS.certificateLifeMsMin, most: LIMITS.certificateLifeMsMax };
  const lifeMs = readSpanMs('enrol-cert-life', args['enrol-cert-life'], bounds);
  const { 'enrol-ca-cert': certFile, 'enrol-ca-key': keyFile } = args;
  if (certFile === undefined || keyFile === undefined) return null;
  return { certFile, keyFile, lifeMs };
}

/** Null without a key: the broker carries and shows rollouts, and leads none. */
async function readLead(args: ServeArgs, trust: TrustRoot | null): Promise<LeadOptions | null> {
  const files = args['rollout-key'] ?? [];
  const commands = args['rollout-key-command'] ?? [];
  const signCommands = args['rollout-sign-command'] ?? [];
  const environment = process.env[ROLLOUT_KEY];
  const leaseMs = readLease(args); // a typing error is reported in any case
  const named = files.length + commands.length + signCommands.length;
  if (named === 0 && environment === undefined) return null;
  if (!trust) {
    throw new DroverError('USAGE', 'lead rollouts: a rollout key needs --trust as well');
  }
  const sources = { files, commands, signCommands, environment };
  const read = ({ roles }: TrustRoot) =>
    readSigners(
      sources,
      { candidates: roles.rollout.keys, signMsMax: LIMITS.leaseSignMsMax },
      writeNote,
    );
  return {
    signers: await read(trust),
    readSigners: read,
    notify: args.notify ?? null,
    times: { startMs: parseDurationMs(args['controller-start']), leaseMs },
  };
}
