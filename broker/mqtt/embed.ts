/**
 * Creates the engine in this process: Aedes, the chunk store in --data, sessions, listeners for
 * clients and, on a site, the relay. This file decides nothing.
 */

import { join } from 'node:path';
import { DroverError } from '../../shared/base/errors.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { encodeMessage } from '../../shared/formats/messages.ts';
import { robotTopic } from '../../shared/formats/topics.ts';
import { MemoryFloor } from '../../shared/io/memory-floor.ts';
import { ChunkCache } from '../chunks/chunk-cache.ts';
import { FolderChunkStore } from '../chunks/chunk-store.ts';
import { Intake } from '../control/intake.ts';
import { collectFromStore, type Collecting } from '../garbage/collect.ts';
import type { BrokerEngine, Parts } from '../parts.ts';
import { Relay } from '../relay/relay.ts';
import type { EmbeddedSettings } from '../settings.ts';
import { Engine } from './engine.ts';
import { FairQueue } from './fair-queue.ts';
import { IngestJournal } from './ingest-journal.ts';
import { Listeners } from './listeners.ts';
import { DroverPersistence, openSessions, type SessionsDatabase } from './persistence.ts';

interface Stores {
  readonly sessions: SessionsDatabase;
  readonly disk: ChunkCache;
  readonly garbage: Collecting;
}

/** @throws DroverError USAGE, DATA_LOCKED, FILE_UNREADABLE */
export async function makeEmbedded(own: EmbeddedSettings, parts: Parts): Promise<BrokerEngine> {
  const { settings, closers, certificates } = parts;
  const { host, log } = settings;
  const { bytesPerSecondMax, connectionsMax, wsOrigins, doors } = own;
  const stores = await openStores(parts);
  const { sessions, disk, garbage } = stores;
  const relay = await openRelay(own, { ...parts, ...stores });
  const queue = closers.with(
    new FairQueue({
      borrow: (hash) => garbage.use(hash, () => disk.borrow(hash)),
      bytesPerSecondMax,
      onServed: (bytes) => parts.counters.countChunkServed(bytes),
    }),
  );
  const listeners = new Listeners({ host, log, certificates, connectionsMax, wsOrigins });
  const { control, trust, fleet, counters, events } = parts;
  const intake = new Intake({
    ...{ control, trust, fleet, counters, events, log, upstream: relay },
    chunks: garbage.chunks,
    logPolicy: parts.settings.logPolicy,
  });
  const engine = makeEngine(parts, { ...stores, relay, queue, listeners, intake });
  return {
    port: engine,
    isAlone: true,
    disk,
    garbage,
    databases: { sessions, ...(relay && { upstream: relay }) },
    sessions: engine.sessions,
    gauges: {
      connections: () => listeners.connections,
      rate: { bytesPerSecondMax, waiting: () => queue.waiting },
      upstream: relay && (() => relay.status),
      attached: null,
    },
    storeOf: () => null,
    expired: () => null,
    isHealthy: async () => {
      await sessions.assertWritable();
      await relay?.assertWritable();
      return true;
    },
    endOutdated: () => engine.endOutdated(),
    start: async () => {
      intake.remember();
      await engine.start();
      closers.with(engine);
      if (relay) closers.with(relay);
    },
    listen: async () => {
      relay?.run(engine);
      return await closers.with(listeners).open(doors, engine);
    },
  };
}

async function openStores({ settings, closers, control, trust }: Parts): Promise<Stores> {
  const { dataFolder, storeBytesMax: bytesMax, keepUnannouncedMs: keepMs, log } = settings;
  const sessions = closers.with(await openSessions(join(dataFolder, 'sessions')));
  const disk = new ChunkCache({
    chunks: await FolderChunkStore.open({ folder: join(dataFolder, 'chunks'), bytesMax }),
    bytesMax: LIMITS.hotChunkBytesMax,
  });
  const garbage = await collectFromStore({
    ...{ dataFolder, keepMs, log, trust, control, store: disk, closers },
  });
  return { sessions, disk, garbage };
}

/** Null when this broker is no relay. */
async function openRelay(
  { upstream }: EmbeddedSettings,
  { settings, closers, control, trust, fleet, counters, events, garbage }: Parts & Stores,
): Promise<Relay | null> {
  if (!upstream) return null;
  if (!trust) throw new DroverError('USAGE', 'relay: --upstream needs --trust');
  const { dataFolder, log } = settings;
  const { chunks } = garbage;
  const relay = closers.with(
    await Relay.open({ ...upstream, dataFolder, log, control, trust, fleet, counters, chunks }),
  );
  events.on('chunkStored', (hash) => relay.stored(hash));
  events.on('wanted', (hashes) => relay.wanted(hashes));
  events.on('announced', () => relay.announced());
  return relay;
}

interface EngineParts extends Stores {
  readonly relay: Relay | null;
  readonly queue: FairQueue;
  readonly listeners: Listeners;
  readonly intake: Intake;
}

function makeEngine(
  { settings, control, credentials, certificates, counters, events }: Parts,
  { sessions, disk, relay, queue, listeners, intake }: EngineParts,
): Engine {
  const { log } = settings;
  const memory = new MemoryFloor(LIMITS.brokerCollectAfterBytes);
  const engine: Engine = new Engine({
    persistence: new DroverPersistence({ sessions, control, log }),
    journal: new IngestJournal(sessions),
    queue,
    recheck: (hash) => disk.recheck(hash),
    credentials,
    certified: (connection) => listeners.identityOf(connection),
    certificates,
    hasShare: (connection, identity) => listeners.name(connection, identity),
    needsName: certificates?.asksClients === true,
    log,
    ingest: (message) => {
      memory.passed(message.payload.byteLength);
      return intake.take(message);
    },
    onRefused: (code) => counters.countRefusal(code),
    onAsked: (hash) => relay?.asked(hash),
    onLeft: (connection) => {
      const left = intake.left(connection);
      if (left === null) return;
      const topic = robotTopic(left.robot, 'online');
      const told = engine.publishOwn(topic, encodeMessage({ online: false }), left.isWanted);
      inBackground(log, 'say that a robot is gone', told);
    },
  });
  events.on('chunkStored', (hash) => engine.deliverToWaiting(hash));
  events.on('wanted', (hashes) => inBackground(log, 'answer want', engine.answerWant(hashes)));
  return engine;
}
