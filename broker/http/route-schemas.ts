/**
 * Schemas of what the HTTP API takes and answers. Those of queries and bodies validate each
 * request; those of answers are for the readers of `/openapi.json`, and tests hold every answer
 * against them. A field that is not named here may come with a newer broker. Sans-I/O.
 */

import { z } from 'zod';
import { LIMITS } from '../../shared/base/limits.ts';
import {
  enrolAnswerSchema,
  enrolRequestSchema,
  renewAnswerSchema,
  renewRequestSchema,
  siteAnswerSchema,
} from '../../shared/formats/http-api.ts';
import { STANDINGS } from '../rollout/rollout-robots.ts';
import { ROLLOUT_COMMANDS } from '../rollout/rollout-view.ts';

/** Body of every command to a rollout. */
export const saidSchema = z.strictObject({
  reason: z.string().max(300).default(''),
  by: z.string().max(LIMITS.speakerCharsMax).default(''),
  /** The wave of `approve` and `force-open`. */
  wave: z.number().int().min(0).max(LIMITS.wavesMax).optional(),
  /** Of both: signed by the user's key, one envelope for each rollout of a set. */
  signed: z.array(z.string().max(LIMITS.approvalBytesMax)).max(LIMITS.setMembersMax).default([]),
});

export const signInSchema = z.strictObject({
  /** Absent or empty: the secret is a token, which names its user. */
  username: z.string().max(LIMITS.idLengthMax).default(''),
  secret: z.string().min(1).max(LIMITS.signInSecretCharsMax),
});

/** Beside the standings: robots that the open wave, or the way back, waits for. */
export const AWAITED_STATE = 'awaited';
const STATES = [AWAITED_STATE, ...STANDINGS].join('|');

const count = z.string().regex(/^\d{1,12}$/, 'want a whole number');
const limit = z.string().regex(/^[1-9]\d{0,8}$/, 'want a number from 1 to 999999999');
const word = z.string().max(256);

const robotPage = { limit: limit.optional(), after: word.optional() };
const robotsQuery = z.object({
  ...robotPage,
  ...{ tag: word.optional(), component: word.optional(), version: word.optional() },
  ...{ phase: word.optional(), online: z.enum(['true', 'false']).optional() },
});
const pagesQuery = z.object({ after: count.optional(), limit: count.optional() });
const rolloutRobotsQuery = z.object({
  state: z
    .string()
    .regex(new RegExp(`^(?:${STATES})(?:,(?:${STATES}))*$`), `want ${STATES}, or some with commas`)
    .optional(),
  ...robotPage,
});

const instant = z.string().meta({ format: 'date-time' });
const problem = z.looseObject({ code: z.string(), message: z.string(), hint: z.string() });
export const refusalSchema = z.object({ error: problem });
const whole = z.number().int();
const words = z.array(z.string());
const led = z.enum(['here', 'above', 'nobody']);

const user = z.looseObject({
  ...{ user: z.string().nullable(), role: z.string().nullable(), needs_sign_in: z.boolean() },
  ...{ csrf: z.string().nullable(), expires_in_s: whole.nullable() },
  approval_key: z.string().nullable(),
});
const left = { expires_at: instant, seconds_left: z.number(), days_left: z.number() };
const expires = z.looseObject({
  trust: z.looseObject({ ...left, version: whole }).nullable(),
  announcement: z.looseObject({ ...left, seq: whole, renews: z.boolean() }).nullable(),
  problems: z.array(problem),
});
const component = z.looseObject({
  ...{ name: z.string(), version: z.string().nullable(), phase: z.string() },
  ...{ rollout: z.string().nullable(), target_version: z.string().nullable() },
  ...{ last_error: z.looseObject({ code: z.string() }).nullable(), blocked: z.array(z.unknown()) },
  // Of a robot of several: null for the one that leads, and on a robot of one.
  ...{ computer: z.string().nullable(), log_folder: z.string().nullable() },
});
const robot = z.looseObject({
  ...{ robot_id: z.string(), online: z.boolean(), via: z.string().nullable() },
  ...{ last_seen: instant.nullable(), reported_at: instant.nullable() },
  ...{ arch: z.string().nullable(), model: z.string().nullable(), agent: z.string().nullable() },
  ...{ tags: words, version: z.string().nullable(), phase: z.string() },
  ...{ metrics: z.record(z.string(), z.unknown()), components: z.array(component) },
});
const event = z.looseObject({ robot_id: z.string(), at: instant, problem: z.unknown() });
const wave = z.looseObject({ percent: z.number(), soak_s: z.number() });
const set = z.looseObject({ id: z.string(), members: z.array(z.looseObject({})) }).nullable();
const run = z
  .looseObject({ status: z.string(), wave: whole, threshold: z.number(), approved: z.array(whole) })
  .nullable();
const failures = z.array(z.looseObject({}));
const rollout = z.looseObject({
  ...{ id: z.string(), component: z.string().nullable(), version: z.string().nullable() },
  ...{ status: z.string(), wave: whole.nullable(), waves: z.array(wave), announced: z.boolean() },
  ...{ emergency: z.boolean(), approvers: whole, set, run, led },
  robots: z.looseObject({ targeted: whole, running: whole, in_progress: whole, failed: whole }),
  ...{ attachments: z.array(z.looseObject({ sha256: z.string() })), reasons: words },
  words: z.looseObject({ status: z.string(), waits: z.string(), wave: z.string() }),
});
const rolloutOrSet = z.union([
  rollout.extend({ failures, unmet: failures }),
  z.looseObject({ id: z.string(), set, rollouts: z.array(rollout) }),
]);
const entry = z.looseObject({
  ...{ seq: whole, at: instant, rollout: z.string(), kind: z.string(), by: z.string() },
  ...{ text: z.string(), wave: whole, threshold: z.number(), status: z.string() },
  ...{ evidence: z.array(z.unknown()), signed: z.string().optional() },
});
const commanded = z.looseObject({
  ...{ rollout: z.string(), command: z.enum(ROLLOUT_COMMANDS), run },
  // Of its set, without a signature that counts for them.
  refused: z.array(z.looseObject({ rollout: z.string(), code: z.string() })).optional(),
});
const enrolment = z.looseObject({
  ...{ robot_id: z.string(), enrolled: z.boolean(), claim: z.string(), expires_at: instant },
  ...{ needs_yes: z.boolean(), asked_at: instant.nullable(), key: z.string().nullable() },
  certificate: z
    .looseObject({ serial: z.string(), expires_at: instant, days_left: whole, state: z.string() })
    .nullable(),
});
const kept = z.looseObject({ component: z.string(), at: instant });
const delivery = z.looseObject({
  ...{ id: z.string(), type: z.string(), subject: z.string(), attempts: whole, made_at: instant },
  state: z.enum(['waiting', 'delivered', 'given_up', 'dropped']),
  ...{ tried_at: instant.nullable(), status: whole.nullable(), problem: z.string().nullable() },
});
const webhook = z.looseObject({
  number: whole,
  ...{ url: z.string(), waiting: whole, delivered: whole, given_up: whole, dropped: whole },
  deliveries: z.array(delivery),
});

export interface RouteSchemas {
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  /** Absent where the answer is no JSON. */
  readonly answer?: z.ZodType;
}

const decision: RouteSchemas = { body: saidSchema, answer: commanded };
const decided: RouteSchemas = { answer: z.looseObject({ enrolment: enrolment.nullable() }) };

/** By method and path, as in the table of routes. */
export const ROUTE_SCHEMAS: Readonly<Record<string, RouteSchemas>> = {
  'GET /user': { answer: user },
  'POST /sign-in': { body: signInSchema, answer: user },
  'POST /sign-out': { answer: z.looseObject({ signed_out: z.boolean() }) },
  'GET /healthz': {
    answer: z.looseObject({
      ...{ healthy: z.boolean(), problems: z.array(problem), expires: expires.optional() },
      upstream: z.looseObject({ up: z.boolean(), chunks_up: z.boolean() }).optional(),
    }),
  },
  'GET /openapi.json': { answer: z.looseObject({ openapi: z.string(), paths: z.looseObject({}) }) },
  'GET /site': { answer: siteAnswerSchema },
  'GET /robots': {
    query: robotsQuery,
    answer: z.looseObject({ robots: z.array(robot), next: z.string().nullable().optional() }),
  },
  'GET /robots/versions': {
    query: z.object(robotPage),
    answer: z.looseObject({
      versions: z.array(z.looseObject({ robot_id: z.string(), version: z.string().nullable() })),
      ...{ counts: z.unknown(), next: z.string().nullable().optional() },
    }),
  },
  'GET /robots/:id': { answer: robot.extend({ events: z.array(event) }) },
  'GET /robots/:id/logs': {
    answer: z.looseObject({
      ...{ robot_id: z.string(), kept: z.array(kept) },
      logs: z.array(z.looseObject({ received_at: instant })),
    }),
  },
  'POST /robots/:id/logs': { answer: z.looseObject({ asked: z.string(), components: words }) },
  'POST /robots/:id/retire': {
    answer: z.looseObject({ retired: z.string(), enrolled: z.boolean().nullable() }),
  },
  'POST /enrol': { body: enrolRequestSchema, answer: enrolAnswerSchema },
  'POST /renew': { body: renewRequestSchema, answer: renewAnswerSchema },
  'GET /enrolments': {
    answer: z.looseObject({ enrolments: z.array(enrolment.extend({ reported: z.boolean() })) }),
  },
  ...Object.fromEntries(
    ['accept', 'refuse', 'revoke'].map((one) => [`POST /enrolments/:id/${one}`, decided]),
  ),
  'GET /relays': {
    answer: z.looseObject({ relays: z.array(z.looseObject({ relay: z.string() })) }),
  },
  'GET /requests': {
    answer: z.looseObject({
      requests: z.array(z.looseObject({ robot_id: z.string(), at: instant })),
    }),
  },
  'GET /rollouts': {
    answer: z.looseObject({ rollouts: z.array(rollout), expires: expires.optional() }),
  },
  'GET /rollouts/:id': { answer: rolloutOrSet },
  'GET /rollouts/:id/history': {
    query: pagesQuery,
    answer: z.looseObject({ entries: z.array(entry), led }),
  },
  'GET /rollouts/:id/robots': {
    query: rolloutRobotsQuery,
    answer: z.looseObject({
      robots: z.array(
        z.looseObject({
          ...{ robot_id: z.string(), state: z.enum(STANDINGS), awaited: z.boolean() },
          ...{ wave: whole.nullable(), online: z.boolean(), version: z.string().nullable() },
        }),
      ),
      ...{ total: whole, next: z.string().nullable(), awaited: whole, failures },
      ...{ counts: z.record(z.string(), whole), waves: z.array(z.looseObject({})) },
    }),
  },
  'GET /rollouts/:id/commands': {
    answer: z.looseObject({
      commands: z.array(
        z.looseObject({
          ...{ command: z.string(), final: z.boolean(), effect: z.string() },
          refusal: z.looseObject({ code: z.string(), message: z.string() }).nullable(),
        }),
      ),
      led,
    }),
  },
  ...Object.fromEntries(ROLLOUT_COMMANDS.map((one) => [`POST /rollouts/:id/${one}`, decision])),
  'GET /audit': { query: pagesQuery },
  'GET /audit/head': {
    answer: z.looseObject({
      head: z.looseObject({ seq: whole, hash: z.string() }).nullable(),
      ...{ waiting: whole, problem: problem.nullable() },
    }),
  },
  'GET /webhooks': { answer: z.looseObject({ webhooks: z.array(webhook) }) },
  'GET /sessions': {
    answer: z.looseObject({
      sessions: z.array(z.looseObject({ client_id: z.string(), connected: z.boolean() })),
    }),
  },
  'POST /sessions/:id/remove': { answer: z.looseObject({ removed: z.string() }) },
  'GET /engine': { answer: z.looseObject({ engine: z.looseObject({ up: z.boolean() }) }) },
  'GET /upstream': {
    answer: z.looseObject({
      upstream: z.looseObject({ name: z.string(), up: z.boolean(), since: instant }).nullable(),
    }),
  },
  'GET /garbage': {
    answer: z.looseObject({
      garbage: z.array(z.looseObject({ place: z.string(), problem: problem.nullable() })),
    }),
  },
};
