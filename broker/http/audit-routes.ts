/**
 * Routes of the audit chain, and of what webhooks delivered. The chain names users, so the records are for publishers; the hash of the
 * newest one is for every reader: the more people keep it, the less can be changed unnoticed.
 */

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Identity } from '../access/access.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Webhooks } from '../webhooks/webhooks.ts';
import { REQUEST_HINT } from './http-refusals.ts';
import { assertPublisher } from './rollout-routes.ts';

export type AuditPort = Pick<AuditLog, 'note' | 'lines' | 'view'>;
export type WebhooksPort = Pick<Webhooks, 'view'>;

interface Asked {
  Querystring: { after?: string; limit?: string };
}

export function addAuditRoutes(
  app: FastifyInstance,
  { audit, webhooks }: { readonly audit: AuditPort; readonly webhooks: WebhooksPort },
  identify: (request: FastifyRequest) => Identity,
): void {
  app.get<Asked>('/audit', async (request, reply) => {
    assertPublisher(identify(request), 'read the audit chain');
    const { after, limit } = request.query;
    const most = Math.min(readCount('limit', limit, LIMITS.auditPageMax), LIMITS.auditPageMax);
    const lines = await audit.lines(readCount('after', after, 0), most);
    void reply.type('application/jsonl; charset=utf-8');
    return lines.map((line) => `${line}\n`).join('');
  });
  app.get('/audit/head', async () => audit.view());
  app.get('/webhooks', async (request) => {
    assertPublisher(identify(request), 'read deliveries of webhooks');
    return { webhooks: webhooks.view() };
  });
}

function readCount(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (/^\d{1,12}$/.test(text)) return Number(text);
  const message = `read ${name}: want a whole number (got ${text.slice(0, 20)})`;
  throw new DroverError('USAGE', message, { hint: REQUEST_HINT });
}
