/**
 * Routes of the robots: their reports, and the command that retires one of them; and of the
 * sessions that outlive their connections.
 */

import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { instantText } from '../../shared/base/durations.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import { nameOf, type Identity } from '../access/access.ts';
import { retired, sessionRemoved, type AuditSink } from '../audit/decision.ts';
import { showEvent, showRobot } from '../control/fleet-view.ts';
import { pageOf, type PageQuery } from '../control/fleet-page.ts';
import type { Fleet, RobotRecord } from '../control/fleet.ts';
import { robotClockProblem } from '../../shared/rules/clock-off.ts';
import { assertNotFromAPage, assertPublisher } from './rollout-routes.ts';
import type { LiveSession } from '../mqtt/sessions.ts';

export interface RobotRoutesOptions {
  readonly fleet: Fleet;
  readonly versions: { show(query: PageQuery): Promise<string> };
  /** Deletes the reports of a robot, here and for every subscriber. */
  retire(robot: RobotId): Promise<void>;
  /** Records who retired it. */
  readonly audit: AuditSink;
  /** True for a robot with an enrolled credential; null where this broker enrols none. */
  isEnrolled(robot: RobotId): boolean | null;
  /** The identity of a request; `anyone` where there are no credentials. */
  identify(request: FastifyRequest): Identity;
}

export function addRobotRoutes(app: FastifyInstance, options: RobotRoutesOptions): void {
  const { fleet, retire, isEnrolled, identify, audit } = options;
  app.get<{ Querystring: PageQuery }>('/robots/versions', async ({ query }, reply) => {
    void reply.type('application/json; charset=utf-8');
    return await options.versions.show(query);
  });
  const show = (record: RobotRecord): object => {
    const clock = robotClockProblem(record.robot, fleet.clockAheadMs(record));
    const twins = fleet.twinsOf(record.robot);
    return showRobot(record, { twins, relayProblem: fleet.relayProblemOf(record), clock });
  };
  app.get('/relays', async () => ({ relays: fleet.relays() }));
  const start = randomUUID();
  app.get<{ Querystring: PageQuery }>('/robots', async ({ query, headers }, reply) => {
    const tag = `"${start}-${fleet.revision}"`;
    void reply.header('etag', tag);
    if (headers['if-none-match'] === tag) return reply.code(304).send();
    const { robots, next } = pageOf(fleet, query);
    return { robots: robots.map(show), ...(query.limit !== undefined && { next }) };
  });
  const find = (id: string): RobotRecord => {
    const record = fleet.get(id);
    if (record) return record;
    throw new DroverError('NOT_FOUND', `find robot ${id.slice(0, 80)}: never heard of it`);
  };
  app.get<{ Params: { id: string } }>('/robots/:id', async ({ params }) => {
    const record = find(params.id);
    const events = fleet.recentEvents().filter((event) => event.robot_id === record.robot);
    return { ...show(record), events: events.map(showEvent) };
  });
  app.post<{ Params: { id: string } }>('/robots/:id/retire', async (request) => {
    assertNotFromAPage(request);
    const identity = identify(request);
    assertPublisher(identity, 'retire a robot');
    const record = find(request.params.id);
    assertGone(record, fleet);
    await audit.note(retired(record.robot, nameOf(identity)));
    await retire(record.robot);
    return { retired: record.robot, enrolled: isEnrolled(record.robot) };
  });
  app.get('/requests', async () => ({
    requests: fleet.requests().map(({ robot, atMs, wanted }) => ({
      robot_id: robot,
      at: instantText(atMs),
      ...wanted,
    })),
  }));
}

/**
 * A robot that is online would only report again, and be counted again. The same holds for one that
 * is offline behind a relay that is online; one whose relay is offline too is like any other.
 */
function assertGone({ robot, online, via }: RobotRecord, fleet: Fleet): void {
  if (via !== null && fleet.hasRelay(via)) {
    throw new DroverError('ROBOT_ONLINE', `retire ${robot}: relay ${via} reports for it`, {
      hint: `retire it at the broker of ${via}: drover fleet retire ${robot} --api URL`,
    });
  }
  if (online) throw new DroverError('ROBOT_ONLINE', `retire ${robot}: it is connected`);
}

export interface SessionsPort {
  list(): readonly LiveSession[];
  /** False when there is no such session. */
  remove(session: string): Promise<boolean>;
}

export function addSessionRoutes(
  app: FastifyInstance,
  sessions: SessionsPort,
  { identify, audit }: Pick<RobotRoutesOptions, 'identify' | 'audit'>,
): void {
  app.get('/sessions', async () => ({ sessions: sessions.list().map(showSession) }));
  app.post<{ Params: { id: string } }>('/sessions/:id/remove', async (request) => {
    assertNotFromAPage(request);
    const identity = identify(request);
    assertPublisher(identity, 'remove a session');
    const { id } = request.params;
    if (await sessions.remove(id)) {
      await audit.note(sessionRemoved(id, nameOf(identity)));
      return { removed: id };
    }
    throw new DroverError('NOT_FOUND', `remove session ${id.slice(0, 80)}: there is none`);
  });
}

function showSession({ session, owner, awayMs, isConnected, ...queue }: LiveSession): object {
  return {
    client_id: session,
    owner,
    connected: isConnected,
    away_s: Math.round(awayMs / 1000),
    queued: queue.messages,
    queued_bytes: queue.bytes,
    dropped: queue.dropped,
  };
}
