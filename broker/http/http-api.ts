/**
 * The HTTP API (docs/http.md), for people, scripts and Prometheus. It reads; only commands to
 * rollouts change something, and even then the controller signs what moves robots. With
 * credentials, every route but the page, its sign-in and the health check requires a technician or
 * a publisher: by a bearer token, or by the session of the page.
 */

import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { isLoopback } from '../../shared/base/broker-urls.ts';
import { DroverError, nullIfRefused, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { SITE_PATH } from '../../shared/formats/http-api.ts';
import type { RobotEvent } from '../../shared/formats/messages.ts';
import { PRODUCT_VERSION } from '../../shared/io/cli.ts';
import type { Identity } from '../access/access.ts';
import type { Certificates } from '../access/certificates.ts';
import { ConnectionShares, HTTP_SHARES } from '../access/connection-shares.ts';
import type { Credentials } from '../access/credentials.ts';
import { HTTP_TIMES, SocketGate } from '../access/socket-gate.ts';
import { showEngine, type EngineStatus } from '../mqtt/engine-port.ts';
import type { ExpiryView } from '../control/expiry.ts';
import { showEvent } from '../control/fleet-view.ts';
import type { EnrolmentPort } from '../enrolment/enrolment.ts';
import type { GarbageView } from '../garbage/ledger.ts';
import { listenFailure } from '../mqtt/listeners.ts';
import { showUpstream, type UpstreamStatus, type UpstreamView } from '../relay/relay-view.ts';
import type { ControllerPort, RolloutFacts } from '../rollout/rollout-facts.ts';
import type { RolloutView } from '../rollout/views.ts';
import { addAuditRoutes, type AuditPort, type WebhooksPort } from './audit-routes.ts';
import { addEnrolmentRoutes } from './enrolment-routes.ts';
import { Callers } from './callers.ts';
import { addLogRoutes, type LogRoutesOptions } from './log-routes.ts';
import { addPageRoutes } from './dashboard/page-routes.ts';
import { EventStream } from './event-stream.ts';
import { refuseBroken, REQUEST_HINT, SECURITY_HEADERS, sendProblem } from './http-refusals.ts';
import type { Metrics } from './metrics.ts';
import { assertQuery, describeApi, routesAt, unversioned } from './openapi.ts';
import {
  addRobotRoutes,
  type RobotRoutesOptions,
  addSessionRoutes,
  type SessionsPort,
} from './robot-routes.ts';
import {
  addRolloutRoutes,
  type AttachmentsPort,
  type RolloutRoutesOptions,
} from './rollout-routes.ts';
import { addSignInRoutes } from './sign-in-routes.ts';
import { siteAnswer, type SiteFacts } from './site-answer.ts';

export interface HttpApiOptions
  extends
    Pick<RobotRoutesOptions, 'fleet' | 'versions' | 'retire'>,
    Pick<LogRoutesOptions, 'logs' | 'askLogs'> {
  readonly host: string;
  readonly port: number;
  rollouts(): Promise<readonly RolloutView[]>;
  readonly classes: RolloutRoutesOptions['classes'];
  /** Null for a rollout that this broker does not know. */
  rolloutFacts(id: string): RolloutFacts | null;
  /** Null when this broker leads no rollouts. */
  readonly controller: ControllerPort | null;
  readonly metrics: Metrics;
  /** When trust.json and the announcement expire. */
  expiry?(): ExpiryView;
  engine(): EngineStatus;
  /** Where MQTT clients reach this broker. */
  site(): SiteFacts;
  readonly attachments: AttachmentsPort;
  /** Null when the external engine keeps the sessions. */
  readonly sessions: SessionsPort | null;
  /** The upstream link of a relay. */
  upstream?(): UpstreamStatus;
  readonly enrolment: EnrolmentPort;
  readonly audit: AuditPort;
  readonly webhooks: WebhooksPort;
  /** One for each place where chunks are removed. */
  garbage(): readonly GarbageView[];
  /** Null when the broker was given none and listens on loopback. */
  readonly credentials: Credentials | null;
  /** Null for plain HTTP. */
  readonly certificates: Certificates | null;
  /** Returns a problem, or rejects, when the broker is not healthy. */
  isHealthy(): Promise<true | Problem>;
  readonly log: Log;
}

export interface HttpApi {
  readonly port: number;
  publishEvent(event: RobotEvent): void;
  /** The credentials have changed: ends the event streams of users that they no longer allow. */
  endOutdated(): void;
  close(): Promise<void>;
}

export async function startHttpApi(options: HttpApiOptions): Promise<HttpApi> {
  const app = Fastify({
    bodyLimit: LIMITS.localRequestBytesMax,
    forceCloseConnections: true,
    rewriteUrl: ({ url = '/' }) => unversioned(url),
    frameworkErrors: (error, _request, reply) => sendProblem(reply, error, options.log),
    clientErrorHandler: refuseBroken,
    serverFactory: (handler) => openServer(options, handler),
  });
  const events = new EventStream();
  const callers = new Callers({ ...options, isTls: options.certificates !== null });
  app.addHook('onRequest', async (request, reply) => {
    void reply.headers(SECURITY_HEADERS);
    callers.assertAllowed(request);
  });
  app.addHook('preValidation', async ({ method, routeOptions: { url: path }, query }) => {
    if (path !== undefined && method === 'GET') assertQuery({ method, path }, query);
  });
  app.setErrorHandler((error, _request, reply) => sendProblem(reply, error, options.log));
  refuseUnknown(app, options.log);
  addRoutes(app, options, { events, callers });
  try {
    await app.listen({ host: options.host, port: options.port });
  } catch (cause) {
    events.close();
    throw listenFailure(options.host, options.port, cause);
  }
  const address = app.server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    publishEvent: (event) => events.send('robot', showEvent(event)),
    endOutdated: () => {
      callers.sessions.endOutdated((one) => options.credentials?.isCurrent(one) === true);
      events.endOutdated();
    },
    close: async () => {
      events.close();
      await app.close();
    },
  };
}

/** A path with other methods gets those; any other path does not exist. */
function refuseUnknown(app: FastifyInstance, log: Log): void {
  app.setNotFoundHandler((request, reply) => {
    const path = request.originalUrl.slice(0, 80);
    const more = { hint: REQUEST_HINT };
    const served = routesAt(request.url.split('?', 1)[0] ?? '')
      .filter(({ method, path: url }) => app.hasRoute({ method, url }))
      .flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
    if (served.length === 0) {
      return sendProblem(
        reply,
        new DroverError('NOT_FOUND', `find ${path}: no such route`, more),
        log,
      );
    }
    const allow = served.join(', ');
    void reply.header('allow', allow);
    const what = `${request.method} ${path}: this path has other methods (want ${allow})`;
    sendProblem(reply, new DroverError('METHOD_NOT_ALLOWED', what), log);
  });
}

/** The parts that know who reads. */
interface Readers {
  readonly events: EventStream;
  readonly callers: Callers;
}

/** Adds all routes that docs/http.md describes. */
export function addRoutes(
  app: FastifyInstance,
  options: HttpApiOptions,
  { events, callers }: Readers,
): void {
  const identify = (request: FastifyRequest): Identity =>
    callers.identify(request) ?? { kind: 'anyone' };
  const { enrolment, fleet } = options;
  const isEnrolled = (robot: RobotId): boolean | null =>
    nullIfRefused(() => enrolment.list().some((one) => one.robot_id === robot && one.enrolled));
  addRobotRoutes(app, { ...options, isEnrolled, identify });
  addLogRoutes(app, { ...options, identify });
  addRolloutRoutes(app, {
    rollouts: () => options.rollouts(),
    classes: options.classes,
    rolloutFacts: (id) => options.rolloutFacts(id),
    ...(options.expiry && { expiry: () => options.expiry?.() }),
    fleet: options.fleet,
    controller: options.controller,
    attachments: options.attachments,
    isRelay: options.upstream !== undefined,
    identify,
  });
  const isPrivate = options.certificates !== null || isLoopback(options.host);
  addEnrolmentRoutes(app, enrolment, {
    ...{ isPrivate, identify },
    isReported: (robot) => fleet.get(robot) !== undefined,
  });
  const { audit } = options;
  if (options.sessions) addSessionRoutes(app, options.sessions, { identify, audit });
  addAuditRoutes(app, { audit, webhooks: options.webhooks }, identify);
  addSignInRoutes(app, callers, {
    log: options.log,
    onSignOut: () => events.endOutdated(),
  });
  addPageRoutes(app);
  addServiceRoutes(app, options, { events, callers });
}

/** Clients of the API show no certificate: they have tokens. */
function openServer({ certificates, log }: HttpApiOptions, handler: RequestListener): Server {
  const gate = new SocketGate(new ConnectionShares(HTTP_SHARES), log);
  const tls = certificates && { ...certificates.serverOptions, requestCert: false, ...HTTP_TIMES };
  const server = tls ? createTlsServer(tls, handler) : createServer(HTTP_TIMES, handler);
  if (certificates && 'setSecureContext' in server) certificates.keepFresh(server);
  gate.guard(server);
  return server;
}

function addServiceRoutes(
  app: FastifyInstance,
  options: HttpApiOptions,
  { events, callers }: Readers,
): void {
  app.get('/events', { exposeHeadRoute: false }, (request, reply) => {
    if (events.isFull) {
      throw new DroverError('CONNECTIONS_FULL', 'follow events: too many readers');
    }
    reply.hijack();
    const reader = callers.identify(request);
    events.add(reply.raw, () => callers.isStill(request, reader));
  });
  const description = describeApi(PRODUCT_VERSION);
  app.get('/openapi.json', async () => description);
  app.get(SITE_PATH, async () => siteAnswer(options.site()));
  app.get('/engine', async () => ({ engine: showEngine(options.engine()) }));
  const upstream = () => (options.upstream ? showUpstream(options.upstream()) : null);
  app.get('/upstream', async () => ({ upstream: upstream() }));
  app.get('/garbage', async () => ({ garbage: options.garbage() }));
  app.get('/metrics', async (_request, reply) => {
    void reply.type(options.metrics.contentType);
    return await options.metrics.text();
  });
  app.get('/healthz', async (_request, reply) => {
    const health = await options.isHealthy().catch(toProblem); // a failure is the answer
    const healthy = health === true;
    const problems = healthy ? [] : [health];
    void reply.code(healthy ? 200 : 503);
    const link = upstream();
    // A site works on without its upstream: a lost link is shown, but the broker stays healthy.
    const expires = options.expiry?.();
    // A coming expiry is shown, and no restart would cure it.
    return {
      healthy,
      problems,
      ...(expires && { expires }),
      ...(link ? { upstream: showLink(link) } : {}),
    };
  });
}

/** Everybody may read this part: it gives the code; GET /upstream gives the text. */
const showLink = ({ up, chunks_up: chunksUp, since, problem }: UpstreamView): object => ({
  ...{ up, chunks_up: chunksUp, since },
  ...(problem && { problem: problem.code }),
});
