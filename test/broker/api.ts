/** A started HTTP API on a port of its own, with real credentials when it is protected. */

import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeToken, type CredentialUserFields } from '../../broker/access/credentials.ts';
import { LiveCredentials } from '../../broker/access/live-credentials.ts';
import { AuditLog } from '../../broker/audit/audit-log.ts';
import { Enrolment } from '../../broker/enrolment/enrolment.ts';
import { Fleet } from '../../broker/control/fleet.ts';
import type { GarbageView } from '../../broker/garbage/ledger.ts';
import { startHttpApi } from '../../broker/http/http-api.ts';
import type { SiteFacts } from '../../broker/http/site-answer.ts';
import { LogShelf } from '../../broker/failure-logs/log-shelf.ts';
import { EventCounters } from '../../broker/control/event-metrics.ts';
import { Metrics } from '../../broker/http/metrics.ts';
import { EMBEDDED } from '../../broker/mqtt/engine-port.ts';
import type { UpstreamStatus } from '../../broker/relay/relay-view.ts';
import {
  AttachmentReader,
  type AttachmentSources,
} from '../../broker/rollout/attachment-reader.ts';
import {
  type ControllerPort,
  factsOfAnnounced,
  type RolloutFacts,
} from '../../broker/rollout/rollout-facts.ts';
import { FleetVersions } from '../../broker/control/fleet-versions.ts';
import { RolloutClasses } from '../../broker/rollout/rollout-classes.ts';
import { describeRollouts, type RolloutView } from '../../broker/rollout/views.ts';
import { Webhooks } from '../../broker/webhooks/webhooks.ts';
import type { Problem } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/ports.ts';
import { peekAnnouncement, type Announcement } from '../../shared/formats/announcement.ts';
import type { RobotEvent } from '../../shared/formats/messages.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { makeFleet } from '../helpers/fleet.ts';
import type { Scope } from '../helpers/scope.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { assertDescribed } from './described-answers.ts';
import { classesInFull } from './classes-in-full.ts';

const ROLES = ['technician', 'publisher', 'robot', 'relay', 'metrics'] as const;
type Tokens = Readonly<Record<(typeof ROLES)[number], string>>;

export const GARBAGE: GarbageView = {
  ...{ place: 'store', keep_s: 86_400, pending_chunks: 3, removed_chunks: 2, removed_bytes: 9 },
  problem: null,
};

const NO_ATTACHMENTS: AttachmentSources = {
  announcement: () => null,
  read: () => Promise.resolve(null),
};

const NO_DOORS: SiteFacts = { publicMqtt: null, doors: null, isTls: false };

export interface ApiInput {
  readonly fleet?: Fleet;
  /** Ids of rollouts that are announced. */
  readonly rollouts?: readonly string[];
  /** In their place: what is announced at the moment. */
  views?(): RolloutView[];
  /** With credentials: one user of each role. */
  readonly protected?: boolean;
  /** More users of the credentials file. */
  readonly users?: readonly CredentialUserFields[];
  readonly isHealthy?: () => Promise<true | Problem>;
  /** Null or absent: nobody leads rollouts there. */
  readonly controller?: ControllerPort | null;
  /** Absent: nothing is announced that could have some. */
  readonly attachments?: AttachmentSources;
  /** Absent: nobody reads it. */
  readonly log?: Log;
  /** Absent: no door is open yet. */
  readonly site?: SiteFacts;
  /** Absent: it is no relay. */
  upstream?(): UpstreamStatus;
}

export interface Follower {
  /** All text so far, as soon as it matches. */
  readUntil(pattern: RegExp): Promise<string>;
  stop(): void;
  readonly ended: Promise<void>;
}

export interface TestApi {
  readonly url: string;
  readonly port: number;
  readonly counters: EventCounters;
  readonly tokens: Tokens;
  readonly enrolment: Enrolment;
  readonly audit: AuditLog;
  get(path: string, init?: RequestInit): Promise<Response>;
  /** Connected to /events when it resolves. */
  follow(): Promise<Follower>;
  publishEvent(event: RobotEvent): void;
  /** Writes and reads the credentials file again, with these in the place of `users`. */
  changeUsers(users: readonly CredentialUserFields[]): Promise<void>;
  close(): Promise<void>;
}

export async function startApi(scope: Scope, input: ApiInput): Promise<TestApi> {
  const { fleet = new Fleet(), isHealthy = () => Promise.resolve(true as const) } = input;
  const { file, tokens, write } = await makeCredentials(scope);
  await write(input.users ?? []);
  const counters = new EventCounters();
  const upstream = input.upstream ?? null;
  const announcement = await announced(input.rollouts ?? []);
  const classes = classesInFull(fleet);
  const views = describeRollouts({ announcement, progress: new Map(), classes, verified: true });
  const facts = (id: string): RolloutFacts | null =>
    factsOfAnnounced(id, { announcement, progress: null, robots: fleet.robots() });
  const rollouts = () => Promise.resolve<readonly RolloutView[]>(input.views?.() ?? views);
  const garbage = (): readonly GarbageView[] => [GARBAGE];
  const metrics = new Metrics(counters, {
    ...{ fleet, garbage, chunks: { bytesStored: 4096, chunksStored: 2 } },
    rollouts: { rollouts, run: () => null, isLeading: () => false },
    engine: { connections: () => 3, rate: null, upstream, attached: null },
    expiry: () => ({ trust: null, announcement: null, problems: [] }),
  });
  const log = input.log ?? makeLog('test', 'silent');
  const credentials = input.protected === true ? await LiveCredentials.open(file, log) : null;
  const folder = join(dirname(file), 'enrolment');
  const enrolment = await Enrolment.open({ folder, log });
  const audit = await AuditLog.open({ dataFolder: dirname(file), log, now: Date.now });
  const webhooks = new Webhooks({ targets: [], log, onOutcome: () => undefined });
  const api = await startHttpApi({
    sessions: null,
    attachments: new AttachmentReader(input.attachments ?? NO_ATTACHMENTS),
    retire: (robot) => Promise.resolve(fleet.forget(robot)),
    askLogs: () => Promise.resolve(),
    logs: await LogShelf.open({ folder: join(dirname(file), 'logs'), log, now: Date.now }),
    ...{ host: '127.0.0.1', port: 0, fleet, rollouts, classes: new RolloutClasses(fleet) },
    versions: new FleetVersions(fleet),
    rolloutFacts: (id) => input.controller?.facts(id) ?? facts(id),
    controller: input.controller ?? null,
    ...{ metrics, certificates: null, credentials },
    ...{ engine: () => EMBEDDED, site: () => input.site ?? NO_DOORS },
    ...{ ...(upstream && { upstream }), garbage, enrolment, audit, webhooks, isHealthy, log },
  });
  credentials?.onChange(() => api.endOutdated());
  let closing: Promise<void> | null = null;
  const end = async (): Promise<void> => {
    for (const part of [api, enrolment, audit, credentials]) await part?.close();
  };
  const close = (): Promise<void> => (closing ??= end());
  scope.after(close);
  const url = `http://127.0.0.1:${api.port}`;
  return {
    ...{ url, port: api.port },
    counters,
    ...{ tokens, enrolment, audit, get: callerOf(url) },
    follow: async () => await follow(await fetch(`${url}/events`)),
    publishEvent: (event) => api.publishEvent(event),
    changeUsers: async (all) => {
      await write(all);
      await credentials?.reload();
    },
    close,
  };
}

/** Calls the API, and holds each answer against its description. */
const callerOf =
  (url: string): TestApi['get'] =>
  async (path, init = {}) => {
    const response = await fetch(url + path, init);
    await assertDescribed(path, init.method ?? 'GET', response);
    return response;
  };

interface CredentialsFile {
  readonly file: string;
  readonly tokens: Tokens;
  /** One user of each role, and these. */
  write(users: readonly CredentialUserFields[]): Promise<void>;
}

async function makeCredentials(scope: Scope): Promise<CredentialsFile> {
  const made = ROLES.map((role) => ({ role, ...makeToken() }));
  const users = made.map(({ role, sha256 }) => ({
    username: role,
    role,
    token_sha256: sha256,
    ...(role === 'robot' ? { robot_id: 'r1' } : {}),
  }));
  const file = join(await tempFolder(scope), 'credentials.json');
  return {
    file,
    tokens: Object.fromEntries(made.map(({ role, token }) => [role, token])) as Tokens,
    write: async (all) => await writeFile(file, JSON.stringify({ users: [...users, ...all] })),
  };
}

async function announced(ids: readonly string[]): Promise<Announcement> {
  const signer = makeFleet();
  const bundle = await signer.makeBundle({ version: '2.0.0' });
  const bytes = signer.announce(
    1,
    ids.map((id) => signer.makeRollout(id, bundle)),
  );
  return peekAnnouncement(bytes);
}

async function follow(response: Response): Promise<Follower> {
  if (response.status !== 200 || !response.body) throw new Error(`events: ${response.status}`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  let end = (): void => {};
  const ended = new Promise<void>((resolve) => (end = resolve));
  const readUntil = async (pattern: RegExp): Promise<string> => {
    while (!pattern.test(text)) {
      const { done, value } = await reader.read();
      if (done) throw new Error(`the stream ended before ${String(pattern)}`);
      text = (text + value).slice(-100_000);
    }
    return text;
  };
  await readUntil(/: connected\n\n/);
  void reader.closed.then(end, end);
  return { readUntil, stop: () => void reader.cancel(), ended };
}
