/**
 * The two messages between computers of a robot: the report of a member, and the news that the
 * leader has for it. Each is the whole truth of its sender, so a lost one is made up for by the
 * next. Sans-I/O.
 */

import { z } from 'zod';
import { base64ToBytes, bytesToBase64, utf8 } from '../../shared/crypto/bytes.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import {
  parseRobotEvent,
  parseRobotState,
  type RobotEventFields,
  type RobotStateFields,
} from '../../shared/formats/messages.ts';
import { idSchema, parseDocument, sizeSchema, versionSchema } from '../../shared/formats/schema.ts';
import { parseTopic } from '../../shared/formats/topics.ts';
import type { Elsewhere } from '../update/blocks.ts';
import type { MemberView } from '../update/set-verdict.ts';
import { encodeMachineState, parseMachineState, type Job } from '../update/state.ts';
import { commitSchema } from './commit.ts';

const epochSchema = z.string().regex(/^[0-9a-f]{16}$/);

const viewSchema = z
  .object({
    name: idSchema,
    /** The state file of the component; null when it cannot be read now. */
    state: z.string().max(LIMITS.memberViewBytesMax).nullable(),
    active: versionSchema.nullable(),
    rollback: versionSchema.nullable(),
    doubt: z.string().max(64).nullable(),
    /** Its disk refused this state; an older agent does not say it. */
    unkept: z.boolean().default(false),
    arch: z.string().max(64),
    compatible: z.array(z.string().max(64)).max(LIMITS.machineNamesMax),
    /** Null for the leader, and from an older agent. */
    computer: idSchema.nullish(),
    /** All roots of its computer, for commands that people type there. */
    roots: z
      .array(z.object({ component: idSchema, root: z.string().max(LIMITS.memberRootCharsMax) }))
      .max(LIMITS.setMembersMax)
      .default([]),
  })
  .transform(({ name, state, active, rollback, doubt, unkept, arch, compatible, ...at }) => {
    const elsewhere = { arch, compatible, computer: at.computer ?? null, roots: at.roots };
    const view: MemberView | null =
      state === null
        ? null
        : {
            ...{ state: parseMachineState(utf8(state)), active, rollback, doubt, elsewhere },
            ...(unkept && { isUnkept: true }),
          };
    return { name, view };
  });

/** As it was written: the leader puts its components into its own report. */
const stateSchema = z.record(z.string(), z.unknown()).transform((state) => {
  parseRobotState(utf8(JSON.stringify(state)));
  return state as unknown as RobotStateFields;
});

const reportSchema = z.object({
  /** Of this start of the agent. */
  epoch: epochSchema,
  /** Rises with each report of it: an older one that comes late is dropped. */
  nth: sizeSchema,
  /** Start of the leader whose news it followed last; empty for none. */
  heard: epochSchema.or(z.literal('')).default(''),
  /** The report of the member as a robot would send it; null before its first one. */
  state: stateSchema.nullable(),
  views: z.array(viewSchema).max(LIMITS.setMembersMax),
});

const topicSchema = z.string().refine((text) => parseTopic(text) !== null, 'no topic of ours');

/** One computer as the leader sees it. */
const computerSchema = z.object({
  computer: idSchema,
  components: z.array(idSchema).max(LIMITS.setMembersMax),
  /** Code of why it takes no part in a decision; null when it does. */
  trouble: z.string().max(64).nullable(),
});

export type ComputerFields = z.output<typeof computerSchema>;

const newsSchema = z.object({
  /** Of this start of the leader. */
  epoch: epochSchema,
  version: sizeSchema,
  /** All decisions about sets over several computers, with the component that is asked. */
  commits: z.array(commitSchema.extend({ asked: idSchema.nullable() })).max(LIMITS.commitsMax),
  /**
   * Start of the ids of decisions that this list knows all of; null while it cannot be read. An
   * older leader says nothing: it knows all ids.
   */
  record: epochSchema.nullish().transform((record) => (record === undefined ? '' : record)),
  /** The components of all other computers. */
  views: z.array(viewSchema).max(LIMITS.setMembersMax),
  /** Orders of the fleet that came since, as they came: the member judges them itself. */
  orders: z
    .array(z.object({ topic: topicSchema, payload: z.string() }))
    .max(LIMITS.rolloutsMax * 2 + LIMITS.trustUpdatesAheadMax + 1)
    .transform((all) =>
      all.map(({ topic, payload }) => ({ topic, payload: base64ToBytes(payload) ?? utf8('') })),
    ),
  /** All members, also the one that receives it; empty from an older leader. */
  computers: z.array(computerSchema).max(LIMITS.memberComputersMax).default([]),
});

export type Report = z.output<typeof reportSchema>;
export type News = z.output<typeof newsSchema>;
type ViewFields = z.input<typeof viewSchema>;

const kind = <S extends z.ZodType>(what: string, schema: S) =>
  ({ what, schema, bytesMax: LIMITS.memberBodyBytesMax, code: 'MEMBER_MESSAGE_INVALID' }) as const;

export const parseReport = (bytes: Uint8Array): Report =>
  parseDocument(kind('report of a member', reportSchema), bytes);
export const parseNews = (bytes: Uint8Array): News =>
  parseDocument(kind('news of the leader', newsSchema), bytes);

export interface ReportFields {
  readonly epoch: string;
  readonly nth: number;
  readonly heard?: string;
  readonly state: RobotStateFields | null;
  readonly views: readonly ViewFields[];
}

export const encodeReport = (report: ReportFields): Uint8Array => utf8(JSON.stringify(report));

export const encodeNews = (
  news: Omit<News, 'views'> & { readonly views: readonly ViewFields[] },
): Uint8Array =>
  utf8(
    JSON.stringify({
      ...news,
      orders: news.orders.map(({ topic, payload }) => ({ topic, payload: bytesToBase64(payload) })),
    }),
  );

/**
 * An event of a member, without the number that its own agent gave it.
 * @throws DroverError MEMBER_REFUSED for one of a component that the pair file does not name
 */
export function eventOf(
  { computer, components }: { readonly computer: string; readonly components: readonly string[] },
  body: Uint8Array,
  robot: RobotId,
): Omit<RobotEventFields, 'event_seq'> {
  const { component, robot_id: from } = parseRobotEvent(body);
  if (!components.includes(component) || from !== robot) {
    const what = `${component} of robot ${from}`;
    throw new DroverError('MEMBER_REFUSED', `take event of ${computer}: it is of ${what}`);
  }
  const fields = JSON.parse(new TextDecoder().decode(body)) as RobotEventFields;
  const { event_seq: _seq, event_epoch: _epoch, ...event } = fields;
  return event;
}

/** @param machine of the computer that it is on, unless the view says it */
export function viewFields(name: string, view: MemberView | null, machine: Elsewhere): ViewFields {
  const { arch, compatible, computer = null, roots = [] } = view?.elsewhere ?? machine;
  const shown = roots.filter(({ root }) => root.length <= LIMITS.memberRootCharsMax);
  const at = { name, arch, compatible: [...compatible], computer, roots: [...shown] };
  if (view === null) return { ...at, state: null, active: null, rollback: null, doubt: null };
  const { active, rollback, doubt, isUnkept: unkept = false, state: whole } = view;
  const state = { ...whole, job: slim(whole.job), installed: slim(whole.installed) };
  const text = new TextDecoder().decode(encodeMachineState(state));
  return { ...at, state: text, active, rollback, doubt, unkept };
}

/** Changes when other components may be judged in another way. */
export const whatRuns = (views: ReadonlyMap<string, MemberView | null>): string =>
  JSON.stringify(
    [...views].map(([name, view]) => [name, view?.active, view?.state.phase, view?.state.blocked]),
  );

/** Without what only its own computer needs. */
const slim = (job: Job | null): Job | null =>
  job && { ...job, signatures: [], offers: [], delta: null };
