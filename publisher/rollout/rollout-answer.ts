/**
 * Parses the answers of a broker's HTTP API about rollouts, as untrusted input: only the fields
 * that are shown, each with its type. Further fields of a newer broker pass through `--json`.
 * Sans-I/O.
 */

import { z } from 'zod';
import { budgetSchema } from '../../shared/formats/announcement.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { PUBLIC_KEY_PATTERN } from '../../shared/crypto/ed25519.ts';
import {
  answerKind,
  idSchema,
  instantSchema,
  parseDocument,
  rolloutIdSchema,
  sha256Schema,
} from '../../shared/formats/schema.ts';

const textSchema = z.string();
const countSchema = z.number().min(0);

const evidenceSchema = z.object({
  metric: textSchema,
  against: textSchema,
  verdict: textSchema,
  text: textSchema,
});

const attemptsSchema = z.object({
  cohort: countSchema,
  reachable: countSchema,
  installed: countSchema,
  failed: countSchema,
  vanished: countSchema,
  examples: z.array(textSchema).default([]),
  unable: z.array(textSchema).default([]),
});

const runSchema = z.object({
  superseded_by: textSchema.nullable().default(null),
  status: textSchema,
  recall: z.boolean().default(false),
  wave: countSchema,
  stages: countSchema,
  threshold: countSchema,
  reasons: z.array(textSchema),
  wave_opened_at: textSchema,
  opened: z.boolean().default(true),
  soak_until: textSchema.nullable(),
  evidence_until: textSchema.nullable().default(null),
  waits_for: textSchema.nullable(),
  cannot_go_back: z.array(textSchema).default([]),
  gate: z
    .object({
      kind: textSchema,
      reasons: z.array(textSchema),
      evidence: z.array(evidenceSchema),
    })
    .nullable(),
  attempts: attemptsSchema.nullable(),
  controller: textSchema,
  leading: z.boolean(),
  approved: z.array(countSchema).default([]),
  forced: z.array(countSchema).default([]),
  /** Null without a budget, and from a broker that does not send it. */
  places: z
    .array(
      z.object({
        place: textSchema,
        at_most: countSchema,
        held: z.array(z.object({ robot_id: textSchema, until: textSchema.nullable() })),
        waiting: z.array(textSchema),
        away: z.array(textSchema),
        stuck: z.array(textSchema).default([]),
      }),
    )
    .nullable()
    .default(null),
  /** Null from a broker that does not send it. */
  approval: z
    .object({
      wave: countSchema,
      state: textSchema,
      text: textSchema,
      needed: countSchema.default(1),
      by: z.array(textSchema).default([]),
      publisher: textSchema.nullable().default(null),
      /** Null from a broker that reads no signed approvals. */
      to_sign: z
        .object({
          fleet: idSchema,
          release: sha256Schema,
          wave: z.number().int().min(0),
          opened_at: instantSchema,
        })
        .nullable()
        .default(null),
    })
    .nullable()
    .default(null),
});

/** Robots by reason; absent in the answer of a broker of 0.1. */
export const failureGroupsSchema = z
  .array(
    z.object({
      fingerprint: textSchema,
      code: textSchema,
      message: textSchema,
      robots: countSchema,
      named: z.array(textSchema),
    }),
  )
  .default([]);

const rolloutSchema = z.object({
  id: textSchema,
  /** Null from a broker that knows no sets. */
  set: z
    .object({
      id: textSchema,
      members: z
        .array(z.object({ rollout: textSchema, component: textSchema, version: textSchema }))
        .max(LIMITS.setMembersMax),
    })
    .nullable()
    .default(null),
  component: textSchema.nullable(),
  version: textSchema.nullable(),
  waves: z.array(z.object({ percent: countSchema, soak_s: countSchema })),
  canaries: z
    .object({
      tags: z.array(textSchema),
      robots: z.array(textSchema),
      soak_s: countSchema.optional(),
    })
    .default({ tags: [], robots: [] }),
  approve_after: z.array(countSchema).default([]),
  approvers: countSchema.default(1),
  emergency: z.boolean(),
  start_at: textSchema.nullish().transform((at) => at ?? undefined),
  start_local: textSchema.nullish().transform((at) => at ?? undefined),
  budget: budgetSchema.nullish().transform((budget) => budget ?? undefined),
  announced: z.boolean().default(true),
  status: textSchema,
  wave: countSchema.nullable(),
  threshold: countSchema.nullable(),
  reasons: z.array(textSchema),
  robots: z.object({
    targeted: countSchema,
    running: countSchema,
    in_progress: countSchema,
    failed: countSchema,
    waiting: countSchema,
    went_on: countSchema.default(0),
    recalled: countSchema.default(0),
    excluded: z.record(textSchema, countSchema).default({}),
  }),
  attachments: z
    .array(z.object({ kind: textSchema, media_type: textSchema, size: countSchema }))
    .default([]),
  error: z.object({ code: textSchema, message: textSchema }).nullable().default(null),
  run: runSchema.nullable().default(null),
  failures: failureGroupsSchema,
  /** Robots that run it without what it requires. */
  unmet: failureGroupsSchema,
  /**
   * `here`, `above` this relay, or by `nobody` of this broker; null from one that does not send it.
   */
  led: textSchema.nullable().default(null),
  first_wave_in_s: countSchema.nullable().default(null),
  /** Set by an attached broker: the chunks that its engine holds. */
  store: z
    .object({
      status: textSchema,
      chunks: countSchema,
      present: countSchema,
      restored: countSchema,
      problem: z.object({ code: textSchema, message: textSchema }).nullable(),
    })
    .optional(),
});

/** Answer about the name of a set: `rollouts` is there, in the order of the set. */
const setSchema = z.object({
  id: textSchema,
  rollouts: z.array(rolloutSchema).min(1).max(LIMITS.setMembersMax),
});
const eitherSchema = z.looseObject({ rollouts: z.unknown().optional() });

const entrySchema = z.object({
  seq: countSchema,
  at: textSchema,
  kind: textSchema,
  by: textSchema,
  text: textSchema,
  wave: countSchema,
  threshold: countSchema,
  status: textSchema,
  evidence: z.array(evidenceSchema).default([]),
});

export type RunAnswer = z.output<typeof runSchema>;
export type RolloutAnswer = z.output<typeof rolloutSchema>;
export type HistoryEntry = z.output<typeof entrySchema>;
export type EvidenceAnswer = z.output<typeof evidenceSchema>;

const ONE = answerKind('answer on a rollout', rolloutSchema);
const EITHER = answerKind('answer on a rollout', eitherSchema);
const SET = answerKind('answer on a set', setSchema);
const leftSchema = z.object({
  expires_at: textSchema,
  days_left: z.number(),
  seconds_left: z.number().optional(),
});
const expirySchema = z.object({
  trust: leftSchema.nullable(),
  announcement: leftSchema.extend({ renews: z.boolean().default(false) }).nullable(),
  problems: z
    .array(z.object({ code: textSchema, message: textSchema, hint: textSchema }))
    .default([]),
});
export type ExpiryAnswer = z.output<typeof expirySchema>;
const LIST = answerKind(
  'list of rollouts',
  z.object({ rollouts: z.array(rolloutSchema), expires: expirySchema.optional() }),
);
const HISTORY = answerKind(
  'history of a rollout',
  z.object({ entries: z.array(entrySchema), led: textSchema.nullable().default(null) }),
);
const USER = answerKind(
  'answer on a user',
  z.object({
    user: idSchema.nullable(),
    /** Null without one, and from a broker that knows no keys of users. */
    approval_key: z.string().regex(PUBLIC_KEY_PATTERN).nullable().default(null),
  }),
);
const COMMANDED = answerKind(
  'answer to a command',
  z.object({
    run: runSchema.nullable(),
    /** Rollouts of the set that wanted another signature. */
    refused: z
      .array(z.object({ rollout: rolloutIdSchema, code: textSchema, message: textSchema }))
      .default([]),
  }),
);
export type CommandedAnswer = z.output<(typeof COMMANDED)['schema']>;

/** Each throws DroverError JSON_INVALID, DOCUMENT_TOO_LARGE. */
export const parseRollout = (bytes: Uint8Array): RolloutAnswer => parseDocument(ONE, bytes);
/** The rollouts that an id stands for, and the name of the set where it names one. */
export function parseRolloutOrSet(bytes: Uint8Array): {
  readonly set: string | null;
  readonly rollouts: readonly [RolloutAnswer, ...RolloutAnswer[]];
} {
  if (parseDocument(EITHER, bytes).rollouts === undefined) {
    return { set: null, rollouts: [parseRollout(bytes)] };
  }
  const { id, rollouts } = parseDocument(SET, bytes);
  const [first, ...others] = rollouts;
  if (!first) throw new TypeError('parseRolloutOrSet: the schema wants one rollout');
  return { set: id, rollouts: [first, ...others] };
}
export const parseRollouts = (bytes: Uint8Array): RolloutAnswer[] =>
  parseDocument(LIST, bytes).rollouts;
/** Undefined from a broker that does not send it. */
export const parseExpiry = (bytes: Uint8Array): ExpiryAnswer | undefined =>
  parseDocument(LIST, bytes).expires;
export const parseHistory = (
  bytes: Uint8Array,
): { readonly entries: HistoryEntry[]; readonly led: string | null } =>
  parseDocument(HISTORY, bytes);
export const parseUser = (bytes: Uint8Array): z.output<(typeof USER)['schema']> =>
  parseDocument(USER, bytes);
export const parseCommanded = (bytes: Uint8Array): CommandedAnswer =>
  parseDocument(COMMANDED, bytes);
