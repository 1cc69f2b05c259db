/** Reads health, clock, user and engine of a broker over its HTTP API. It changes nothing there. */

import { z } from 'zod';
import { toProblem } from '../../shared/base/errors.ts';
import { readApiRefusal } from '../../shared/formats/http-api.ts';
import { answerKind, parseDocument } from '../../shared/formats/schema.ts';
import type { ApiClient, DatedAnswer } from '../rollout/api-client.ts';
import { factOf, type ApiFacts, type Fact } from './facts.ts';

const HEALTH_STATUSES: readonly number[] = [200, 503];

const problemSchema = z.object({ code: z.string(), message: z.string(), hint: z.string() });
const healthSchema = z.object({
  healthy: z.boolean(),
  problems: z.array(problemSchema).default([]),
});
const userSchema = z.object({
  user: z.string().nullable(),
  role: z.string().nullable(),
  needs_sign_in: z.boolean(),
});
const engineSchema = z.object({ engine: z.object({ kind: z.string() }) });

const HEALTH = answerKind('health of the broker', healthSchema);
const USER = answerKind('user of the API', userSchema);
const ENGINE = answerKind('engine', engineSchema);

export function readApi(api: ApiClient): Promise<Fact<ApiFacts>> {
  return factOf(async () => {
    const sentMs = Date.now();
    const answer = await api.look('/healthz');
    const now = Date.now();
    if (!HEALTH_STATUSES.includes(answer.status)) {
      throw readApiRefusal(answer.status, answer.bytes);
    }
    const { healthy, problems } = parseDocument(HEALTH, answer.bytes);
    const engine = await factOf(async () => ({
      isOwn: parseDocument(ENGINE, await api.get('/engine')).engine.kind === 'embedded',
    }));
    return {
      aheadMs: aheadOf(answer, (sentMs + now) / 2),
      isHealthy: healthy,
      problems: problems as ApiFacts['problems'],
      user: await readUser(api),
      engine,
    };
  });
}

/** The date has whole seconds: half of one is added, which is right on average. */
const aheadOf = ({ atMs }: DatedAnswer, now: number): number | null =>
  atMs === null ? null : atMs + 500 - now;

/** A broker of 0.1 does not know the route. */
async function readUser(api: ApiClient): Promise<ApiFacts['user']> {
  try {
    const { user, role, needs_sign_in } = parseDocument(USER, await api.get('/user'));
    return { name: user, role, needsSignIn: needs_sign_in };
  } catch (error) {
    if (toProblem(error).code === 'NOT_FOUND') return null;
    throw error;
  }
}
