/** Routes of the sessions that outlive their connections: list them, and remove one. */

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { DroverError } from '../../shared/base/errors.ts';
import type { Identity } from '../access/access.ts';
import type { LiveSession } from '../mqtt/sessions.ts';
import { assertNotFromAPage, assertPublisher } from './rollout-routes.ts';

export interface SessionsPort {
  list(): readonly LiveSession[];
  /** False when there is no such session. */
  remove(session: string): Promise<boolean>;
}

export function addSessionRoutes(
  app: FastifyInstance,
  sessions: SessionsPort,
  identify: (request: FastifyRequest) => Identity,
): void {
  app.get('/sessions', async () => ({ sessions: sessions.list().map(showSession) }));
  app.post<{ Params: { id: string } }>('/sessions/:id/remove', async (request) => {
    assertNotFromAPage(request);
    assertPublisher(identify(request), 'remove a session');
    const { id } = request.params;
    if (await sessions.remove(id)) return { removed: id };
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
