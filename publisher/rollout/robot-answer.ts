/**
 * Makes the details of a robot from `GET /robots/ID` and `GET /rollouts` of a broker, both of them
 * untrusted input. Its state is parsed as a robot would send it. Sans-I/O.
 */

import { z } from 'zod';
import { toSecond } from '../../shared/base/durations.ts';
import { utf8 } from '../../shared/crypto/bytes.ts';
import { parseAnsweredState, type RobotState } from '../../shared/formats/messages.ts';
import { answerKind, instantSchema, parseDocument } from '../../shared/formats/schema.ts';
import { eventText } from '../../shared/rules/event-words.ts';
import { isTargeted } from '../../shared/rules/rollout-rules.ts';
import { stateWord, stillRunWord } from '../../shared/rules/rollout-words.ts';
import {
  doing,
  type RobotDetails,
  type RobotEventLine,
  type RobotRollout,
} from './robot-details.ts';

export const problemSchema = z.object({
  code: z.string(),
  message: z.string(),
  hint: z.string().default(''),
});

const eventSchema = z.object({
  at: z.string(),
  component: z.string(),
  from: z.string(),
  to: z.string(),
  event: z.string(),
  version: z.string().nullish(),
  target_version: z.string().nullish(),
  problem: z.object({ code: z.string() }).nullish(),
});

export const robotSchema = z.looseObject({
  robot_id: z.string(),
  online: z.boolean(),
  via: z.string().nullable().default(null),
  via_problem: problemSchema.nullable().default(null),
  clock: problemSchema.nullable().default(null),
  twins: problemSchema.nullable().default(null),
  last_seen: instantSchema.nullable(),
  reported_at: z.string().nullable(),
  components: z.array(z.looseObject({})),
  events: z.array(eventSchema).default([]),
});

const rolloutSchema = z.object({
  id: z.string(),
  component: z.string().nullable(),
  version: z.string().nullable(),
  status: z.string(),
  run: z.object({ status: z.string(), recall: z.boolean().default(false) }).nullish(),
  robots: z.object({ running: z.number().default(0) }).default({ running: 0 }),
  target: z.object({
    tags: z.array(z.string()).default([]),
    robots: z.array(z.string()).default([]),
    arch: z.string().optional(),
  }),
});

const ROBOT = answerKind('answer on a robot', robotSchema);
const ROLLOUTS = answerKind('list of rollouts', z.object({ rollouts: z.array(rolloutSchema) }));

/** @throws DroverError JSON_INVALID, DOCUMENT_TOO_LARGE */
export function answeredDetails(robotBytes: Uint8Array, rolloutBytes: Uint8Array): RobotDetails {
  const robot = parseDocument(ROBOT, robotBytes);
  const { rollouts } = parseDocument(ROLLOUTS, rolloutBytes);
  const state = stateOf(robot);
  const { via_problem: relay, clock, twins, events } = robot;
  return {
    ...{ id: robot.robot_id, state, online: robot.online, via: robot.via },
    lastSeenMs: robot.last_seen,
    problems: [
      ...(twins ? [twins] : []),
      ...(clock ? [clock] : []),
      ...(relay ? [{ ...relay, message: `relay: ${relay.message}` }] : []),
    ],
    rollouts: state ? rollouts.flatMap((one) => rolloutFor(one, state)) : [],
    events: events.map(eventLine),
  };
}

/** Null for a robot that has not reported. The API sends null where a report leaves a field out. */
export function stateOf(robot: z.output<typeof robotSchema>): RobotState | null {
  if (robot.reported_at === null || robot.components.length === 0) return null;
  // The history is no part of the report: it grows with every update.
  const { components: answered, events: _history, ...machine } = robot;
  const components = answered.map((one) => ({ version: null, ...filled(one) }));
  const report = { ...filled(machine), at: robot.reported_at, components };
  return parseAnsweredState(utf8(JSON.stringify(report)));
}

/** Without the fields that are null, also those of the objects in it. */
function filled(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const shallow = (value: unknown): unknown =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? filled(value as Record<string, unknown>)
      : value;
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) =>
      value === null ? [] : [[name, shallow(value)] as const],
    ),
  );
}

function rolloutFor(
  {
    id,
    component: name,
    version,
    status,
    run = null,
    robots,
    target,
  }: z.output<typeof rolloutSchema>,
  state: RobotState,
): RobotRollout[] {
  const asked = { robot: state.robot_id, arch: state.arch, tags: state.tags };
  const aimed = { tags: target.tags, robots: target.robots as RobotState['robot_id'][] };
  const { arch } = target;
  if (!isTargeted({ target: { ...aimed, ...(arch !== undefined && { arch }) } }, asked)) return [];
  const component = state.components.find((one) => one.name === name);
  if (!component) return [];
  const isUnderWay = component.rollout === id && component.phase !== 'idle';
  const own = isUnderWay
    ? `; ${doing(component)}`
    : component.version === version
      ? '; runs it'
      : '';
  const says = `${stillRunWord({ run, robots }) ?? stateWord(run ?? { status })}${own}`;
  return [{ id, component: component.name, version: version ?? 'unknown', says }];
}

const eventLine = (event: z.output<typeof eventSchema>): RobotEventLine => ({
  at: toSecond(event.at),
  text: eventText(event),
});
