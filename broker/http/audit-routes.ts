/**
 * Routes of the audit chain, and of what webhooks delivered. The chain names users, so its records
 * are for publishers; the hash of the newest one is for every reader: the more people keep it, the
 * less can be changed unnoticed.
 */

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Identity } from '../access/access.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Webhooks } from '../webhooks/webhooks.ts';
import { assertPublisher } from './rollout-routes.ts';

export type AuditPort = Pick<AuditLog, 'note' | 'lines' | 'view'>;
export type WebhooksPort = Pick<Webhooks, 'view'>;

/** The query was checked by its schema. */
interface Asked {
  /** `after`: number of the last record that the caller has. */
  Querystring: { after?: string; limit?: string };
}

/** @param parts.webhooks with what it has delivered and what waits */
export function addAuditRoutes(
  app: FastifyInstance,
  { audit, webhooks }: { readonly audit: AuditPort; readonly webhooks: WebhooksPort },
  identify: (request: FastifyRequest) => Identity,
): void {
  app.get<Asked>('/audit', async (request, reply) => {
    assertPublisher(identify(request), 'read the audit chain');
    const { after, limit } = request.query;
    const most = Math.min(Number(limit ?? Infinity), LIMITS.auditPageMax);
    const lines = await audit.lines(Number(after ?? 0), most);
    // Byte for byte what was hashed: JSON that was written again might be other bytes.
    void reply.type('application/jsonl; charset=utf-8');
    return lines.map((line) => `${line}\n`).join('');
  });
  app.get('/audit/head', async () => audit.view());
  app.get('/webhooks', async (request) => {
    assertPublisher(identify(request), 'read deliveries of webhooks');
    return { webhooks: webhooks.view() };
  });
}
