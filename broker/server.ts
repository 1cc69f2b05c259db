/** Puts a broker together: stores, engine, listeners, HTTP. No decision lives here. */

import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { DroverError, type Problem } from '../shared/base/errors.ts';
import { inBackground } from '../shared/base/in-background.ts';
import { LIMITS } from '../shared/base/limits.ts';
import type { Log, WritableChunkStore } from '../shared/base/ports.ts';
import { LiveTrust } from '../shared/formats/trust-chain.ts';
import type { TrustRoot } from '../shared/formats/trust.ts';
import { Closers } from '../shared/io/closers.ts';
import { MemoryFloor } from '../shared/io/memory-floor.ts';
import { openAdmission, type Admission } from './access/admission.ts';
import type { Certificates, CertificateFiles } from './access/certificates.ts';
import { openBackupDoor } from './backup/backup-socket.ts';
import type { Snapshotted } from './backup/write.ts';
import { HotChunks } from './chunks/chunk-cache.ts';
import { FolderChunkStore } from './chunks/chunk-store.ts';
import { ControlStore } from './control/control-store.ts';
import { openDataFolder } from './control/data-folder.ts';
import { watchExpiry } from './control/expiry-watch.ts';
import { Fleet } from './control/fleet.ts';
import { Intake } from './control/intake.ts';
import { walkTrust } from './control/trust.ts';
import { collectFromStore, type Collecting } from './garbage/collect.ts';
import { startHttpApi, type HttpApi } from './http/http-api.ts';
import type { SessionsPort } from './http/session-routes.ts';
import type { Sessions } from './mqtt/sessions.ts';
import { Metrics } from './http/metrics.ts';
import { EMBEDDED } from './mqtt/engine-port.ts';
import { Engine, type EngineOptions } from './mqtt/engine.ts';
import { ChunkTurns, type ChunkTurnsOptions } from './mqtt/fair-queue.ts';
import { IngestJournal } from './mqtt/ingest-journal.ts';
import { Listeners } from './mqtt/listeners.ts';
import { DroverPersistence, openSessions, type SessionsDatabase } from './mqtt/persistence.ts';
import { Relay, type UpstreamOptions } from './relay/relay.ts';
import { readExpiry, readRollouts } from './rollout/announced.ts';
import type { Controller } from './rollout/controller.ts';
import { openController, type LeadOptions } from './rollout/lead.ts';

export interface BrokerOptions {
  readonly dataFolder: string;
  readonly host: string;
  /** Ports; 0 lets the system choose, null leaves the listener out. */
  readonly mqttPort: number | null;
  /** MQTT over TLS; needs `certificateFiles`. */
  readonly mqttsPort: number | null;
  readonly wsPort: number | null;
  readonly httpPort: number;
  /** With them WebSocket and HTTP speak TLS as well. */
  readonly certificateFiles: CertificateFiles | null;
  readonly credentialsFile: string | null;
  readonly trust: TrustRoot | null;
  readonly storeBytesMax: number;
  /** Of chunks, to all clients together; null for as fast as it goes. */
  readonly bytesPerSecondMax: number | null;
  /** How long chunks that nothing announced needs are kept; null: for ever. */
  readonly keepUnannouncedMs: number | null;
  readonly connectionsMax: number;
  /** Origins of web pages that may connect over WebSocket. */
  readonly wsOrigins: readonly string[];
  /** Null: nobody leads rollouts here. */
  readonly lead: LeadOptions | null;
  /** Null: nobody stands above this broker. */
  readonly upstream: UpstreamOptions | null;
  readonly log: Log;
}

export interface RunningBroker {
  readonly mqttPort: number | null;
  readonly mqttsPort: number | null;
  readonly wsPort: number | null;
  readonly httpPort: number;
  /** Reads the credentials file now. Null: there is none. */
  readonly reload: (() => Promise<void>) | null;
  close(): Promise<void>;
}

interface Stores {
  /** For all who use chunks; `disk` is for counting. */
  readonly chunks: WritableChunkStore;
  readonly disk: HotChunks;
  readonly memory: MemoryFloor;
  readonly garbage: Collecting;
  readonly control: ControlStore;
  readonly trust: LiveTrust | null;
  readonly sessions: SessionsDatabase;
}

async function openStores(options: BrokerOptions, closers: Closers): Promise<Stores> {
  const { dataFolder } = options;
  await openDataFolder(dataFolder);
  // First the database with the lock: a second broker must not touch the chunks of the first.
  const control = closers.with(await ControlStore.open(join(dataFolder, 'control')));
  const trust = options.trust && new LiveTrust(options.trust);
  if (trust) walkTrust(trust, control, options.log);
  const sessions = closers.with(await openSessions(join(dataFolder, 'sessions')));
  const bytesMax = options.storeBytesMax;
  const memory = new MemoryFloor(LIMITS.brokerCollectAfterBytes);
  const disk = new HotChunks({
    chunks: await FolderChunkStore.open({ folder: join(dataFolder, 'chunks'), bytesMax }),
    bytesMax: LIMITS.hotChunkBytesMax,
  });
  const keepMs = options.keepUnannouncedMs;
  const parts = { trust, control, store: disk, closers };
  const garbage = await collectFromStore({ ...options, ...parts, keepMs });
  return { chunks: garbage.chunks, disk, memory, garbage, control, trust, sessions };
}

/** @throws DroverError DATA_LOCKED, LISTEN_FAILED, FILE_UNREADABLE, CREDENTIALS_INVALID */
export async function startBroker(options: BrokerOptions): Promise<RunningBroker> {
  return await Closers.open((closers) => openBroker(options, closers));
}

async function openBroker(
  options: BrokerOptions,
  closers: Closers,
): Promise<Omit<RunningBroker, 'close'>> {
  const { host, connectionsMax, log } = options;
  const { credentials, certificates } = await openAdmission(options, closers);
  const stores = await openStores(options, closers);
  const fleet = new Fleet();
  const gauges = { connections: () => 0 };
  const metrics = openMetrics(stores, fleet, gauges);
  const lead = options.lead && (await openLead(options, { ...stores, fleet, metrics }));
  if (lead) closers.with(lead);
  const controller = lead?.controller ?? null;
  const relay = await openRelay(options, { ...stores, fleet, metrics });
  closers.add(await openBackups(options, { ...stores, lead, relay }));
  const led = { controller, lead, relay };
  const parts: Parts = { ...stores, fleet, metrics, credentials, certificates, ...led };
  metrics.showRollouts({
    rollouts: () => readRollouts({ ...options, ...parts }),
    run: (id) => controller?.view(id) ?? null,
    isLeading: () => controller?.isLeading ?? false,
  });
  metrics.showGarbage(() => stores.garbage.views());
  closers.add(tellExpiry(parts, log));
  const sessions = lateSessions();
  const http = closers.with(await openHttp(options, parts, sessions));
  const engine = await openEngine(options, parts, {
    http,
    closers,
    certified: (connection) => listeners.identityOf(connection),
    hasShare: (connection, identity) => listeners.name(connection, identity),
  });
  closers.with(engine);
  sessions.show(engine.sessions);
  if (relay) closers.with(relay);
  credentials?.onChange(() => {
    engine.endOutdated();
    http.endOutdated();
  });
  lead?.run((topic, payload) => engine.publishOwn(topic, payload));
  relay?.run(engine);
  const listeners = new Listeners({
    host,
    connectionsMax,
    wsOrigins: options.wsOrigins,
    certificates,
    log,
    handle: (connection) => engine.handle(connection),
    isKnown: (connection) => engine.isKnown(connection),
  });
  closers.with(listeners);
  gauges.connections = () => listeners.connections;
  stores.garbage.run();
  return {
    ...(await openDoors(options, listeners, certificates)),
    httpPort: http.port,
    reload: credentials && (() => credentials.reload()),
  };
}

/** The API is there before the engine whose sessions it shows. */
function lateSessions(): SessionsPort & { show(sessions: Sessions): void } {
  let shown: Sessions | null = null;
  return {
    show: (sessions) => void (shown = sessions),
    list: () => shown?.list() ?? [],
    remove: async (id) => (await shown?.remove(id)) ?? false,
  };
}

function openMetrics(
  { disk }: Pick<Parts, 'disk'>,
  fleet: Fleet,
  gauges: { connections: () => number },
): Metrics {
  return new Metrics({
    fleet,
    connections: () => gauges.connections(),
    storeBytes: () => disk.bytesStored,
    storeChunks: () => disk.chunksStored,
  });
}

function tellExpiry(parts: Parts, log: Log): () => Promise<void> {
  const view = () => readExpiry(parts);
  parts.metrics.showExpiry(view);
  return watchExpiry(view, log);
}

type Doors = Pick<RunningBroker, 'mqttPort' | 'mqttsPort' | 'wsPort'>;

async function openDoors(
  { mqttPort, mqttsPort, wsPort }: BrokerOptions,
  listeners: Listeners,
  certificates: Certificates | null,
): Promise<Doors> {
  const hasTls = mqttsPort !== null && certificates !== null;
  return {
    mqttPort: mqttPort === null ? null : await listeners.listenTcp(mqttPort),
    mqttsPort: hasTls ? await listeners.listenTls(mqttsPort, certificates) : null,
    wsPort: wsPort === null ? null : await listeners.listenWebSocket(wsPort),
  };
}

interface Parts extends Stores, Admission {
  readonly fleet: Fleet;
  readonly metrics: Metrics;
  readonly controller: Controller | null;
  readonly lead: Lead | null;
  readonly relay: Relay | null;
}

interface EngineNeeds {
  readonly http: HttpApi;
  readonly certified: EngineOptions['certified'];
  readonly hasShare: EngineOptions['hasShare'];
  readonly closers: Closers;
}

/** Intake and engine know each other: what is stored is delivered to who waits for it. */
async function openEngine(
  options: BrokerOptions,
  parts: Parts,
  { http, certified, hasShare, closers }: EngineNeeds,
): Promise<Engine> {
  const { log } = options;
  const { chunks, control, sessions, trust, fleet, metrics, credentials } = parts;
  const { controller, relay, garbage, disk, memory } = parts;
  const intake = new Intake({
    chunks,
    control,
    fleet,
    metrics,
    trust,
    log,
    onChunkStored: (hash) => {
      relay?.stored(hash);
      engine.deliverToWaiting(hash);
    },
    onWant: (hashes) => {
      relay?.wanted(hashes);
      inBackground(log, 'answer want', engine.answerWant(hashes));
    },
    onRobotEvent: (event) => http.publishEvent(event),
    onControl: (topic, payload) => {
      controller?.hear(topic, payload);
      if (topic.kind !== 'updates') return;
      relay?.announced();
      garbage.announced();
    },
    onReport: async (topic, payload) => await relay?.report(topic, payload),
  });
  intake.remember();
  const turns = closers.with(openTurns(options, parts));
  const engine: Engine = await Engine.open({
    persistence: new DroverPersistence({ sessions, control, log }),
    journal: new IngestJournal(sessions),
    turns,
    recheck: (hash) => disk.recheck(hash),
    credentials,
    certified,
    hasShare,
    needsName: parts.certificates?.asksClients === true,
    log,
    ingest: (message) => {
      memory.passed(message.payload.byteLength);
      return intake.take(message);
    },
    onRefused: (code) => metrics.countRefusal(code),
    onAsked: (hash) => relay?.asked(hash),
  });
  return engine;
}

/** What every chunk passes on its way out. */
function openTurns(
  { bytesPerSecondMax }: BrokerOptions,
  { garbage, disk, metrics }: Parts,
): ChunkTurns {
  const onServed = (bytes: number): void => metrics.countChunkServed(bytes);
  const borrow: ChunkTurnsOptions['borrow'] = (hash) => garbage.use(hash, () => disk.borrow(hash));
  const turns = new ChunkTurns({ borrow, bytesPerSecondMax, onServed });
  metrics.showRate({ bytesPerSecondMax, waiting: () => turns.waiting });
  return turns;
}

interface Lead {
  readonly controller: Controller;
  readonly store: Snapshotted;
  problem(): Problem | null;
  run(publish: Publish): void;
  close(): Promise<void>;
}

/** All databases but `garbage/`, whose marks may be lost: a restored broker waits anew. */
async function openBackups(
  options: BrokerOptions,
  { disk, ...parts }: Stores & { lead: Lead | null; relay: Relay | null },
): Promise<() => Promise<void>> {
  const { control, sessions, lead, relay } = parts;
  const rollouts = lead && { rollouts: lead.store };
  const upstream = relay && { upstream: relay };
  const databases = new Map<string, Snapshotted>(
    Object.entries({ control, sessions, ...rollouts, ...upstream }),
  );
  return await openBackupDoor({ ...options, source: { databases, chunks: disk } });
}

/** The controller as it is before there is an engine: what it says goes out once `run` names one. */
async function openLead(
  options: BrokerOptions,
  parts: Pick<Parts, 'trust' | 'fleet' | 'control' | 'metrics'>,
): Promise<Lead> {
  const { dataFolder, log } = options;
  let door: Publish | null = null;
  const { controller, store, problem, close } = await openController(options.lead as LeadOptions, {
    ...parts,
    dataFolder,
    isAlone: true,
    log,
    onDecision: (kind) => parts.metrics.countDecision(kind),
    publish: async (topic, payload) => await door?.(topic, payload),
  });
  const run = (publish: Publish): void => {
    door = publish;
    controller.run();
  };
  return { controller, store, problem, run, close };
}

type Publish = (topic: string, payload: Uint8Array) => Promise<void>;

/** The way up; it begins once `run` names the engine. */
async function openRelay(
  { upstream, dataFolder, log }: BrokerOptions,
  { trust, ...parts }: Pick<Parts, 'trust' | 'control' | 'chunks' | 'fleet' | 'metrics'>,
): Promise<Relay | null> {
  if (!upstream) return null;
  if (!trust) throw new DroverError('USAGE', 'relay: --upstream needs --trust');
  const relay = await Relay.open({ ...upstream, ...parts, trust, dataFolder, log });
  parts.metrics.showUpstream(() => relay.status);
  return relay;
}

async function openHttp(
  options: BrokerOptions,
  parts: Parts,
  kept: SessionsPort,
): Promise<HttpApi> {
  const { fleet, metrics, control, sessions, credentials, relay } = parts;
  const sinceMs = Date.now();
  return await startHttpApi({
    host: options.host,
    port: options.httpPort,
    fleet,
    metrics,
    credentials,
    certificates: parts.certificates,
    controller: parts.controller,
    sessions: kept,
    log: options.log,
    expiry: () => readExpiry(parts),
    engine: () => ({ ...EMBEDDED, sinceMs }),
    ...(relay ? { upstream: () => relay.status } : {}),
    garbage: () => parts.garbage.views(),
    rollouts: () => readRollouts({ ...options, ...parts }),
    isHealthy: async () => {
      await access(options.dataFolder, constants.W_OK);
      await control.assertWritable();
      await sessions.assertWritable();
      await relay?.assertWritable();
      return true;
    },
  });
}
