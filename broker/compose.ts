/**
 * Puts a broker together, on either engine. The common parts are created here once; mqtt/embed.ts
 * (the engine in this process) and attached/attach.ts (an external engine) add the rest. Parts tell
 * each other what happened by events, and the last part that was opened is closed first. This file
 * decides nothing.
 */

import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type { Sha256Hex } from '../shared/base/ids.ts';
import { inBackground } from '../shared/base/in-background.ts';
import { LIMITS } from '../shared/base/limits.ts';
import { encodeAsk } from '../shared/formats/failure-log.ts';
import { robotTopic } from '../shared/formats/topics.ts';
import { LiveTrust } from '../shared/formats/trust-chain.ts';
import { Closers } from '../shared/io/closers.ts';
import { AUDIT_DATABASE, AuditLog } from './audit/audit-log.ts';
import { AuditSources } from './audit/audit-sources.ts';
import { auditedSettings, listed } from './audit/audited-settings.ts';
import { Certificates } from './access/certificates.ts';
import { EnrolledCertificates } from './access/enrolled-certificates.ts';
import { LiveCredentials } from './access/live-credentials.ts';
import { makeAttached } from './attached/attach.ts';
import { showStore } from './attached/store-state.ts';
import { openBackupDoor } from './backup/backup-socket.ts';
import { ControlStore, readAnnouncement } from './control/control-store.ts';
import { openDataFolder } from './control/data-folder.ts';
import { IssuingAuthority, tellForeign } from './enrolment/authority.ts';
import { openEnrolSocket } from './enrolment/enrol-socket.ts';
import {
  Enrolment,
  ENROLMENT_DATABASE,
  noEnrolment,
  type EnrolmentOptions,
  type EnrolmentPort,
} from './enrolment/enrolment.ts';
import { FAILURE_LOGS, LogShelf } from './failure-logs/log-shelf.ts';
import type { ExpiryView } from './control/expiry.ts';
import { Fleet } from './control/fleet.ts';
import { walkTrust } from './control/trust.ts';
import { BrokerEvents } from './events.ts';
import { startHttpApi, type HttpApi } from './http/http-api.ts';
import type { SiteFacts } from './http/site-answer.ts';
import { EventCounters } from './control/event-metrics.ts';
import { Metrics } from './http/metrics.ts';
import { makeEmbedded } from './mqtt/embed.ts';
import type { Doors } from './mqtt/listeners.ts';
import type { BrokerEngine, Parts } from './parts.ts';
import { readExpiry, readFacts, readRollouts, watchExpiry } from './rollout/announced.ts';
import { FleetVersions } from './control/fleet-versions.ts';
import { RolloutClasses } from './rollout/rollout-classes.ts';
import { AttachmentReader } from './rollout/attachment-reader.ts';
import { openController, type OpenedController } from './rollout/lead.ts';
import type { RolloutView } from './rollout/views.ts';
import { Webhooks } from './webhooks/webhooks.ts';
import type { BrokerSettings } from './settings.ts';

/** The ports that it listens on; those of MQTT are null on an external engine. */
export interface RunningBroker extends Doors {
  readonly httpPort: number;
  /** Reads the credentials file now; null without one. Never rejects: failures are logged. */
  readonly reload: (() => Promise<void>) | null;
  close(): Promise<void>;
}

/**
 * @throws DroverError DATA_LOCKED, LISTEN_FAILED, FILE_UNREADABLE, CREDENTIALS_INVALID; attached
 *   also BROKER_UNREACHABLE, BROKER_AUTH_REFUSED, ENGINE_TOPIC_DENIED
 */
export async function startBroker(settings: BrokerSettings): Promise<RunningBroker> {
  return await Closers.open((closers) => compose(settings, closers));
}

async function compose(
  settings: BrokerSettings,
  closers: Closers,
): Promise<Omit<RunningBroker, 'close'>> {
  const parts = await openParts(settings, closers);
  const { credentials, events } = parts;
  const engine = await makeEngine(parts);
  events.on('announced', () => engine.garbage.announced());
  const sources = openAuditSources(parts);
  const webhooks = closers.with(openWebhooks(parts));
  const lead = await openLead(parts, engine, { sources, webhooks });
  closers.add(await openBackups(parts, engine, lead));
  const enrolment = parts.enrolment ?? noEnrolment(whyNoEnrolment(settings));
  closers.add(await openEnrolSocket({ ...settings, enrolment }));
  await engine.start();
  await sources.started(auditedSettings(settings));
  await sources.compare();
  const views = viewsOf(parts, engine, lead);
  closers.add(watchExpiry(views.expiry, settings.log));
  const folder = join(settings.dataFolder, FAILURE_LOGS);
  const logs = closers.with(await LogShelf.open({ folder, log: settings.log, now: Date.now }));
  events.on('failureLog', (robot, message) => logs.take(robot, message));
  const open: { doors: Doors | null } = { doors: null };
  const site = () => siteOf(settings, open.doors);
  const http = closers.with(
    await openHttp(parts, { engine, lead, views, enrolment, logs, webhooks, site }),
  );
  events.on('robotEvent', (event) => http.publishEvent(event));
  credentials?.onChange(() => {
    engine.endOutdated();
    http.endOutdated();
  });
  if (settings.authorityFiles) closers.add(sweepCertificates(engine));
  lead?.controller.run();
  engine.garbage.run();
  const doors = (open.doors = await engine.listen());
  return { ...doors, httpPort: http.port, reload: credentials && (() => credentials.reload()) };
}

const siteOf = ({ publicMqtt, certificateFiles }: BrokerSettings, doors: Doors | null) => ({
  ...{ publicMqtt, doors, isTls: certificateFiles !== null },
});

/** A connection may outlive the certificate that it came with. @returns a function that stops it */
function sweepCertificates(engine: BrokerEngine): () => void {
  const timer = setInterval(() => engine.endOutdated(), LIMITS.certificateSweepMs);
  timer.unref();
  return () => clearInterval(timer);
}

/** The parts that exist before an engine. */
async function openParts(settings: BrokerSettings, closers: Closers): Promise<Parts> {
  const { dataFolder, credentialsFile, certificateFiles, log } = settings;
  const credentials =
    credentialsFile === null
      ? null
      : closers.with(await LiveCredentials.open(credentialsFile, log));
  const issues = openAuthority(settings);
  const enrolled = issues?.enrolled ?? null;
  const certificates =
    certificateFiles && closers.with(Certificates.open(certificateFiles, enrolled, log));
  await openDataFolder(dataFolder);
  // The database with the lock comes first: a second broker must not touch the chunks of the first,
  // or end its session on an engine.
  const control = closers.with(await ControlStore.open(join(dataFolder, 'control')));
  const audit = closers.with(await AuditLog.open({ dataFolder, log, now: Date.now }));
  const enrolment = await openEnrolment(settings, { credentials, closers, audit, issues });
  const trust = settings.trust && new LiveTrust(settings.trust);
  if (trust) walkTrust(trust, control, log);
  const made = { fleet: new Fleet(), counters: new EventCounters(), events: new BrokerEvents() };
  const opened = { closers, credentials, certificates, enrolment, control, audit, trust };
  return { settings, ...opened, ...made };
}

/** Connects the audit chain to what the parts read: each change is compared with the last record. */
function openAuditSources({ audit, control, trust, credentials, events, settings }: Parts) {
  const users = listed(() => credentials?.inFile ?? null);
  const retained = (topic: string): Uint8Array | null => control.get(topic)?.payload ?? null;
  const sources = new AuditSources({ audit, retained, trust, users, log: settings.log });
  credentials?.onChange(() => sources.look());
  events.on('announced', () => sources.look());
  events.on('control', ({ kind }) => {
    if (kind === 'trust' || kind === 'lease') sources.look();
  });
  return sources;
}

const openWebhooks = ({ settings: { webhooks: targets, log }, counters }: Parts): Webhooks =>
  new Webhooks({ targets, log, onOutcome: (outcome) => counters.countWebhook(outcome) });

type Issues = NonNullable<EnrolmentOptions['certificates']>;

/** Null where robots get no certificates by enrolment. */
function openAuthority({ authorityFiles }: BrokerSettings): Issues | null {
  if (!authorityFiles) return null;
  const authority = IssuingAuthority.open(authorityFiles);
  return { authority, enrolled: new EnrolledCertificates(authority.certificates) };
}

/**
 * Null without credentials, and on an external engine, which knows its robots itself: there they
 * can enrol for certificates alone.
 */
async function openEnrolment(
  { dataFolder, engine, log }: BrokerSettings,
  {
    credentials,
    closers,
    audit,
    issues,
  }: Pick<Parts, 'credentials' | 'closers' | 'audit'> & { readonly issues: Issues | null },
): Promise<Enrolment | null> {
  const known = engine.kind === 'embedded' ? credentials : null;
  if (!known && !issues) return null;
  const opened = await Enrolment.open({
    folder: join(dataFolder, ENROLMENT_DATABASE),
    ...(known && {
      users: known.enrolled,
      hasUser: (name: string) => known.hasInFile(name),
      hasToken: (hash: Sha256Hex) => known.hasTokenInFile(hash),
      onEnded: () => known.changed(),
    }),
    ...(issues && { certificates: issues }),
    audit,
    log,
  });
  tellForeign(opened.list(), log);
  return closers.with(opened);
}

const whyNoEnrolment = ({ engine }: BrokerSettings): string =>
  engine.kind === 'attached'
    ? `robots log in at ${engine.profile.name}, which keeps its own users`
    : 'this broker has no --credentials, so that anybody may connect';

async function makeEngine(parts: Parts): Promise<BrokerEngine> {
  const { engine } = parts.settings;
  if (engine.kind === 'embedded') return await makeEmbedded(engine, parts);
  const { trust } = parts;
  if (!trust) throw new TypeError('compose: attached without a trust root'); // serve-settings.ts
  return await makeAttached(engine, { ...parts, trust });
}

/** Null when this broker leads no rollouts. */
async function openLead(
  parts: Parts,
  engine: BrokerEngine,
  { sources, webhooks }: { readonly sources: AuditSources; readonly webhooks: Webhooks },
): Promise<OpenedController | null> {
  const { settings, closers, control, trust, fleet, counters, events, credentials } = parts;
  const { dataFolder, log } = settings;
  if (!settings.lead) return null;
  const lead = await openController(settings.lead, {
    ...{ dataFolder, log, control, trust, fleet, isAlone: engine.isAlone },
    mayApprove: credentials ? (user) => credentials.roleOf(user) === 'publisher' : undefined,
    hasApprovalKeys: () =>
      credentials?.inFile.names().some(({ key }) => key !== undefined) === true,
    onDecision: (entry) => {
      counters.countDecision(entry.kind);
      inBackground(log, 'record a decision', sources.decided(entry));
    },
    onCall: (entry) => webhooks.send(entry),
    publish: async (topic, payload) => await engine.port.publishOwn(topic, payload),
  });
  events.on('control', (topic, payload) => lead.controller.hear(topic, payload));
  await sources.catchUp(lead.store);
  return closers.with(lead);
}

/**
 * All databases but `garbage/`, whose marks may be lost: a restored broker waits its keep time
 * again.
 */
async function openBackups(
  { settings, control, audit, enrolment }: Parts,
  { databases, disk: chunks }: BrokerEngine,
  lead: OpenedController | null,
): Promise<() => Promise<void>> {
  const named = {
    ...{ control, [AUDIT_DATABASE]: audit, ...databases },
    ...(enrolment && { [ENROLMENT_DATABASE]: enrolment }),
    ...(lead && { rollouts: lead.store }),
  };
  const source = { databases: new Map(Object.entries(named)), chunks };
  return await openBackupDoor({ ...settings, source });
}

/** Views that the API and the metrics share. */
interface Views {
  rollouts(): Promise<readonly RolloutView[]>;
  readonly classes: RolloutClasses;
  expiry(): ExpiryView;
}

function viewsOf(
  { control, trust, fleet, closers }: Parts,
  engine: BrokerEngine,
  lead: OpenedController | null,
): Views {
  const classes = closers.with(new RolloutClasses(fleet));
  const withStore = (view: RolloutView): RolloutView => {
    const store = engine.storeOf(view.id);
    return store ? { ...view, store: showStore(store) } : view;
  };
  return {
    rollouts: async () => (await readRollouts({ control, trust, classes })).map(withStore),
    classes,
    expiry: () => readExpiry({ control, trust, fleet, lead, expired: () => engine.expired() }),
  };
}

interface Shown {
  readonly engine: BrokerEngine;
  readonly lead: OpenedController | null;
  readonly views: Views;
  readonly enrolment: EnrolmentPort;
  readonly logs: LogShelf;
  readonly webhooks: Webhooks;
  readonly site: () => SiteFacts;
}

async function openHttp(
  parts: Parts,
  { engine, lead, views, enrolment, logs, webhooks, site }: Shown,
): Promise<HttpApi> {
  const { settings, control, fleet, credentials, certificates } = parts;
  const { dataFolder, host, httpPort: port, log } = settings;
  const versions = parts.closers.with(new FleetVersions(fleet));
  const { upstream } = engine.gauges;
  const controller = lead?.controller ?? null;
  const garbage = () => engine.garbage.views();
  const metrics = new Metrics(parts.counters, {
    ...{ fleet, garbage, chunks: engine.disk, engine: engine.gauges, expiry: views.expiry },
    certificates: () => parts.enrolment?.certificates() ?? new Map(),
    rollouts: {
      rollouts: views.rollouts,
      run: (id) => controller?.view(id) ?? null,
      isLeading: () => controller?.isLeading ?? false,
    },
  });
  return await startHttpApi({
    ...{ host, port, log, fleet, versions, controller, metrics },
    ...{ credentials, certificates, garbage, enrolment, logs, webhooks, site },
    ...views,
    ...(upstream && { upstream }),
    sessions: engine.sessions,
    rolloutFacts: (id) => controller?.facts(id) ?? readFacts(id, { control, fleet }),
    attachments: new AttachmentReader({
      announcement: () => readAnnouncement(control),
      read: engine.garbage.read,
    }),
    audit: parts.audit,
    retire: async (robot) => {
      // The state is removed last: while it exists, the command can be repeated.
      for (const leaf of ['online', 'state'] as const)
        await engine.port.publishOwn(robotTopic(robot, leaf), new Uint8Array());
      await logs.forget(robot);
    },
    askLogs: (robot, component) =>
      engine.port.publishOwn(robotTopic(robot, 'ask'), encodeAsk(component)),
    engine: () => engine.port.status,
    isHealthy: async () => {
      await access(dataFolder, constants.W_OK);
      await control.assertWritable();
      await parts.enrolment?.assertWritable();
      await parts.audit.assertWritable();
      return await engine.isHealthy();
    },
  });
}
