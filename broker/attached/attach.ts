/**
 * Puts a broker together around an engine that somebody else runs (`--engine`): registry, rollout
 * controller, want agent, store check and HTTP API are the ones of server.ts, on what an MQTT
 * connection brings. No decision lives here.
 */

import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log, WritableChunkStore } from '../../shared/base/ports.ts';
import { Closers } from '../../shared/io/closers.ts';
import { LiveTrust } from '../../shared/formats/trust-chain.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { readAnnouncement, readRollouts, readExpiry } from '../rollout/announced.ts';
import { AttachedIntake } from './intake.ts';
import { collectFromEngine, type CollectingFromEngine } from '../garbage/collect.ts';
import type { Controller } from '../rollout/controller.ts';
import type { EngineProfile } from '../mqtt/engine-profile.ts';
import { showStore } from './engine-view.ts';
import { Fleet } from '../control/fleet.ts';
import type { ExpiryView } from '../control/expiry.ts';
import { watchExpiry } from '../control/expiry-watch.ts';
import type { RolloutView } from '../rollout/views.ts';
import { AttachedEngine } from './engine.ts';
import { openBackupDoor } from '../backup/backup-socket.ts';
import { openAdmission, type Admission } from '../access/admission.ts';
import type { CertificateFiles } from '../access/certificates.ts';
import { FolderChunkStore } from '../chunks/chunk-store.ts';
import { ControlStore } from '../control/control-store.ts';
import { openDataFolder } from '../control/data-folder.ts';
import type { EngineAddress } from './link.ts';
import { EventJournal } from './event-journal.ts';
import { startHttpApi, type HttpApi } from '../http/http-api.ts';
import { Metrics } from '../http/metrics.ts';
import { openController, type LeadOptions } from '../rollout/lead.ts';
import { StoreCheck } from './chunk-check.ts';
import { walkTrust } from '../control/trust.ts';

export interface AttachOptions {
  readonly address: EngineAddress;
  readonly profile: EngineProfile;
  readonly dataFolder: string;
  readonly host: string;
  readonly httpPort: number;
  /** With them HTTP speaks TLS. */
  readonly certificateFiles: CertificateFiles | null;
  /** Whose tokens open the HTTP API. */
  readonly credentialsFile: string | null;
  /** Anybody may write to that engine, so nothing is shown that does not verify. */
  readonly trust: TrustRoot;
  readonly storeBytesMax: number;
  /** How long chunks that nothing announced needs are kept; null: for ever. */
  readonly keepUnannouncedMs: number | null;
  readonly lead: LeadOptions | null;
  readonly log: Log;
}

export interface AttachedBroker {
  readonly httpPort: number;
  /** Reads the credentials file again; null without one. It never rejects: the log says what failed. */
  readonly reload: (() => Promise<void>) | null;
  close(): Promise<void>;
}

/**
 * @throws DroverError BROKER_UNREACHABLE, BROKER_AUTH_REFUSED, ENGINE_TOPIC_DENIED, DATA_LOCKED,
 *   LISTEN_FAILED, FILE_UNREADABLE, CREDENTIALS_INVALID
 */
export async function attachBroker(options: AttachOptions): Promise<AttachedBroker> {
  return await Closers.open((closers) => open(options, closers));
}

interface Stores {
  readonly control: ControlStore;
  readonly journal: EventJournal;
  /** Copies of chunks, for all who use them; `disk` is for counting. */
  readonly chunks: WritableChunkStore;
  readonly disk: FolderChunkStore;
  readonly garbage: CollectingFromEngine;
  readonly trust: LiveTrust;
}

/** What is there only later, and is spoken to before: nothing happens until it is. */
interface Late {
  engine: AttachedEngine | null;
  check: StoreCheck | null;
  http: HttpApi | null;
}

interface Parts extends Stores {
  readonly fleet: Fleet;
  readonly metrics: Metrics;
  readonly late: Late;
  readonly controller: Controller | null;
}

async function open(
  options: AttachOptions,
  closers: Closers,
): Promise<Omit<AttachedBroker, 'close'>> {
  const { dataFolder, log } = options;
  const { credentials, certificates } = await openAdmission(options, closers);
  const late: Late = { engine: null, check: null, http: null };
  const stores = await openStores(options, late, closers);
  const { trust } = stores;
  const fleet = new Fleet();
  const metrics = makeMetrics(stores, fleet, late);
  const publish = async (topic: string, payload: Uint8Array): Promise<void> => {
    await engineOf(late).publishOwn(topic, payload);
  };
  const lead =
    options.lead &&
    (await openController(options.lead, {
      ...{ dataFolder, trust, log, fleet, control: stores.control, isAlone: false, publish },
      onDecision: (kind) => metrics.countDecision(kind),
    }));
  if (lead) closers.with(lead);
  const { control, journal, disk: chunks } = stores;
  const databases = new Map(
    Object.entries({ control, journal, ...(lead && { rollouts: lead.store }) }),
  );
  closers.add(await openBackupDoor({ ...options, source: { databases, chunks } }));
  const controller = lead?.controller ?? null;
  const parts: Parts = { ...stores, fleet, metrics, late, controller };
  metrics.showRollouts({
    rollouts: () => viewRollouts(parts),
    run: (id) => lead?.controller.view(id) ?? null,
    isLeading: () => lead?.controller.isLeading ?? false,
  });
  const intake = makeIntake(options, parts, publish);
  await intake.remember();
  await openEngine(options, parts, { intake, closers });
  const expiry = () => readExpiry({ ...stores, lead, expired: () => intake.expiredAnnouncement });
  metrics.showExpiry(expiry);
  closers.add(watchExpiry(expiry, options.log));
  const http = closers.with(await openHttp(options, parts, { certificates, credentials, expiry }));
  credentials?.onChange(() => http.endOutdated());
  late.http = http;
  lead?.controller.run();
  return { httpPort: http.port, reload: credentials && (() => credentials.reload()) };
}

async function openStores(options: AttachOptions, late: Late, closers: Closers): Promise<Stores> {
  const { dataFolder, storeBytesMax: bytesMax } = options;
  await openDataFolder(dataFolder);
  // First a database with a lock: two brokers with one client id would end each other's session.
  const control = closers.with(await ControlStore.open(join(dataFolder, 'control')));
  const trust = new LiveTrust(options.trust);
  walkTrust(trust, control, options.log);
  const journal = closers.with(await EventJournal.open(join(dataFolder, 'journal')));
  const disk = await FolderChunkStore.open({ folder: join(dataFolder, 'chunks'), bytesMax });
  const garbage = await collectFromEngine({
    ...options,
    ...{ trust, control, store: disk, closers, keepMs: options.keepUnannouncedMs },
    link: () => engineOf(late).chunkLink,
    isSettled: () => late.engine?.status.isUp === true,
  });
  return { control, trust, journal, disk, garbage, chunks: garbage.chunks };
}

function engineOf({ engine }: Late): AttachedEngine {
  if (engine) return engine;
  throw new DroverError('BROKER_UNREACHABLE', 'reach engine: not attached yet');
}

function makeMetrics({ disk, garbage }: Stores, fleet: Fleet, late: Late): Metrics {
  const metrics = new Metrics({
    fleet,
    connections: null,
    storeBytes: () => disk.bytesStored,
    storeChunks: () => disk.chunksStored,
  });
  metrics.showEngine({
    isUp: () => late.engine?.status.isUp ?? false,
    stores: () => late.check?.states() ?? [],
  });
  metrics.showGarbage(() => garbage.views());
  return metrics;
}

function makeIntake(
  { profile, log }: AttachOptions,
  { late, controller, garbage, ...parts }: Parts,
  publish: (topic: string, payload: Uint8Array) => Promise<void>,
): AttachedIntake {
  return new AttachedIntake({
    ...parts,
    keepsWills: profile.keepsWills,
    log,
    onWant: (hashes) => {
      // The robot asks again by itself.
      answerWant(hashes, late, garbage).catch((error: unknown) => {
        log.warn({ problem: toProblem(error) }, 'wanted chunks not sent');
      });
    },
    onRobotEvent: (event) => late.http?.publishEvent(event),
    onControl: (topic, payload) => controller?.hear(topic, payload),
    onAnnounced: () => {
      garbage.announced();
      // What is just being cleared would be found there by a check that comes too early.
      const settled = garbage.settled().then(() => late.check?.announced());
      inBackground(log, 'check the announcement', settled);
    },
    restore: publish,
  });
}

async function answerWant(
  hashes: readonly Sha256Hex[],
  { engine }: Late,
  garbage: CollectingFromEngine,
): Promise<void> {
  for (const hash of hashes) await garbage.wanted(hash);
  await engine?.answerWant(hashes);
}

async function openEngine(
  { address, profile, log }: AttachOptions,
  { control, journal, chunks, garbage, late }: Parts,
  { intake, closers }: { intake: AttachedIntake; closers: Closers },
): Promise<void> {
  const engine = await AttachedEngine.open({
    address,
    profile,
    clientId: await journal.clientId(() => `drover-broker-${randomBytes(6).toString('hex')}`),
    chunks,
    log,
    take: (heard) => intake.take(heard),
    onUp: () => intake.linkUp(),
    onSettled: () => intake.settled(),
    onDown: () => intake.linkDown(),
    onHeld: (hash) => garbage.held(hash),
    onUnanswered: () => late.check?.suspect(),
  });
  closers.with(engine);
  late.engine = engine;
  const check = new StoreCheck({
    link: engine.chunkLink,
    chunks,
    profile,
    log,
    rollouts: () => readAnnouncement(control)?.rollouts ?? [],
    onHeld: (hash) => garbage.held(hash),
  });
  late.check = check;
  check.announced();
  intake.tend(); // what should have been put back while there was no engine to put it to
  const tending = setInterval(() => intake.tend(), LIMITS.restoreMsMin);
  const sweeping = setInterval(() => intake.sweep(), LIMITS.presenceSilenceMs / 6);
  closers.add(async () => {
    clearInterval(tending);
    clearInterval(sweeping);
    check.close();
    await garbage.close(); // it needs the link until it has ended
  });
  garbage.run();
}

async function openHttp(
  options: AttachOptions,
  parts: Parts,
  { expiry, ...admission }: Admission & { expiry: () => ExpiryView },
): Promise<HttpApi> {
  const { fleet, metrics, controller, late } = parts;
  const { host, httpPort: port, log } = options;
  const engine = late.engine as AttachedEngine;
  return await startHttpApi({
    sessions: null,
    host,
    port,
    fleet,
    metrics,
    controller,
    ...admission,
    log,
    expiry,
    engine: () => engine.status,
    garbage: () => parts.garbage.views(),
    rollouts: () => viewRollouts(parts),
    isHealthy: async () => {
      await access(options.dataFolder, constants.W_OK);
      await parts.control.assertWritable();
      await parts.journal.assertWritable();
      return engine.status.isUp;
    },
  });
}

function viewRollouts({ trust, control, fleet, late }: Parts): RolloutView[] {
  return readRollouts({ trust, control, fleet }).map((view) => {
    const store = late.check?.stateOf(view.id);
    return store ? { ...view, store: showStore(store) } : view;
  });
}
