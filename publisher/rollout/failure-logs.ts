/**
 * Gets the logs of failed updates of one robot: from a drover-broker, which keeps what came, or
 * from the robot itself over any MQTT engine. Both ask the robot only for what it says that it
 * keeps. A robot may send anything: text is returned as it came, and the caller shows it with
 * `printable`.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { DroverError, nullIfRefused } from '../../shared/base/errors.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { printable } from '../../shared/base/printable.ts';
import {
  encodeAsk,
  failureHeadSchema,
  headFields,
  LogJoiner,
  logElsewhere,
  noLog,
  type LogPlace,
  type FailureHeadFields,
  type ReceivedLog,
} from '../../shared/formats/failure-log.ts';
import { parseRobotState, type RobotState } from '../../shared/formats/messages.ts';
import { answerKind, instantSchema, parseDocument } from '../../shared/formats/schema.ts';
import { robotTopic } from '../../shared/formats/topics.ts';
import { unpackLog } from '../../shared/io/packed-log.ts';
import type { BrokerLink } from '../transfer/broker-link.ts';
import type { ApiClient } from './api-client.ts';
import { Subscription } from './subscription.ts';

export interface FailureLog {
  readonly head: FailureHeadFields;
  readonly text: string;
}

export interface LogsAsked {
  readonly robot: RobotId;
  /** Null for all components. */
  readonly component: string | null;
  /** Told why an older log is returned than the robot keeps. */
  onOlder?(problem: DroverError): void;
  /** Told of a log that lies on another computer of the robot, when others are returned. */
  onElsewhere?(problem: DroverError): void;
}

const POLL_MS = 300;

const answerSchema = z.object({
  logs: z.array(failureHeadSchema),
  kept: z.array(z.object({ component: z.string(), rollout: z.string(), at: instantSchema })),
});
const ANSWER = answerKind('logs of a robot', answerSchema);

const ROBOT = answerKind(
  'answer on a robot',
  z.object({
    components: z.array(
      z.object({
        name: z.string(),
        // Absent from an older broker.
        computer: z.string().nullish(),
        log_folder: z.string().nullish(),
      }),
    ),
  }),
);

type Answer = z.output<typeof answerSchema>;

/** @param components that the robot has: a name that was mistyped is none of them */
const none = ({ robot, component }: LogsAsked, components: readonly LogPlace[]): DroverError => {
  const own = components.filter(({ name }) => component === null || name === component);
  if (component !== null && components.length > 0 && own.length === 0) {
    const has = components.slice(0, 16).map(({ name }) => printable(name, 64));
    const message = `find component ${component} of ${robot}: it has ${has.join(', ')}`;
    return new DroverError('NOT_FOUND', message, { hint: 'give --component one of these names' });
  }
  const what = component === null ? robot : `${robot}, ${component}`;
  return noLog(`read log of ${what}`, own);
};

/** Logs that are on other computers of the robot: those that came are not all. */
function tellElsewhere({ robot, component, onElsewhere }: LogsAsked, all: readonly LogPlace[]) {
  if (component !== null) return;
  for (const one of all) {
    const problem = logElsewhere(`read log of ${robot}, ${printable(one.name, 64)}`, one);
    if (problem) onElsewhere?.(problem);
  }
}

const unanswered = ({ robot }: LogsAsked): DroverError => {
  const seconds = LIMITS.failureLogAnswerMs / 1000;
  const message = `ask ${robot} for its log: no answer in ${seconds} s`;
  return new DroverError('FAILURE_LOG_UNANSWERED', message);
};

/** @throws DroverError FAILURE_LOG_NONE, FAILURE_LOG_UNANSWERED, NOT_FOUND, or of the API */
export async function logsFromApi(api: ApiClient, asked: LogsAsked): Promise<FailureLog[]> {
  const path = `/robots/${encodeURIComponent(asked.robot)}/logs`;
  const look = async (): Promise<Answer> => only(parseDocument(ANSWER, await api.get(path)), asked);
  let answer = await look();
  if (missing(answer).length > 0) {
    try {
      answer = await askOverApi(api, path, { asked, look });
    } catch (thrown) {
      if (!(thrown instanceof DroverError) || answer.logs.length === 0) throw thrown;
      asked.onOlder?.(thrown);
    }
  }
  if (answer.logs.length === 0) throw none(asked, await componentsOf(api, asked));
  const found: FailureLog[] = [];
  for (const head of answer.logs) {
    const bytes = await api.get(`${path}/${encodeURIComponent(head.component)}`);
    found.push({ head: headFields(head), text: Buffer.from(bytes).toString('utf8') });
  }
  if (asked.component === null) tellElsewhere(asked, await componentsOf(api, asked));
  return found;
}

async function componentsOf(api: ApiClient, { robot }: LogsAsked): Promise<LogPlace[]> {
  return parseDocument(ROBOT, await api.get(`/robots/${encodeURIComponent(robot)}`)).components;
}

async function askOverApi(
  api: ApiClient,
  path: string,
  { asked, look }: { asked: LogsAsked; look: () => Promise<Answer> },
): Promise<Answer> {
  const { component } = asked;
  const query = component === null ? '' : `?component=${encodeURIComponent(component)}`;
  await api.post(`${path}${query}`, {});
  const untilMs = performance.now() + LIMITS.failureLogAnswerMs;
  for (;;) {
    const answer = await look();
    if (missing(answer).length === 0) return answer;
    if (performance.now() > untilMs) throw unanswered(asked);
    await sleep(POLL_MS);
  }
}

const only = ({ logs, kept }: Answer, { component }: LogsAsked): Answer => ({
  logs: logs.filter((one) => component === null || one.component === component),
  kept: kept.filter((one) => component === null || one.component === component),
});

/** Logs that the robot keeps and the broker does not have. */
const missing = ({ logs, kept }: Answer): Answer['kept'] =>
  kept.filter(
    (one) =>
      !logs.some(
        ({ component, rollout, failed_at: at }) =>
          component === one.component && rollout === one.rollout && at === one.at,
      ),
  );

/** @throws DroverError FAILURE_LOG_NONE, FAILURE_LOG_UNANSWERED, NOT_FOUND, ACCESS_DENIED */
export async function logsFromRobot(link: BrokerLink, asked: LogsAsked): Promise<FailureLog[]> {
  const { robot, component } = asked;
  const state = await readState(link, robot);
  const kept = keptOf(state);
  const wanted = new Set(kept.filter((one) => component === null || one === component));
  if (wanted.size === 0) throw none(asked, state.components);
  tellElsewhere(asked, state.components);
  const joiner = new LogJoiner();
  const received: ReceivedLog[] = [];
  const topic = robotTopic(robot, 'logs');
  const subscription = await Subscription.open(link, {
    filters: [topic],
    onMessage: (from, payload) => {
      const log = from === topic ? nullIfRefused(() => joiner.take(robot, payload)) : null;
      if (log && wanted.delete(log.head.component)) received.push(log);
    },
  });
  try {
    const question = encodeAsk(component);
    await link.wire.send(robotTopic(robot, 'ask'), question, { retain: false, qos: 1 });
    const untilMs = performance.now() + LIMITS.failureLogAnswerMs;
    while (wanted.size > 0 && performance.now() < untilMs) await sleep(POLL_MS);
  } finally {
    subscription.close();
  }
  if (received.length === 0) throw unanswered(asked);
  if (wanted.size > 0) asked.onOlder?.(unanswered(asked));
  return await Promise.all(
    received.map(async ({ head, packed }) => ({
      head: headFields(head),
      text: await unpackLog(packed),
    })),
  );
}

const keptOf = (state: RobotState): string[] =>
  state.components.flatMap(({ name, failure_log: kept }) => (kept ? [name] : []));

async function readState(link: BrokerLink, robot: RobotId): Promise<RobotState> {
  let state: RobotState | null = null;
  const topic = robotTopic(robot, 'state');
  const subscription = await Subscription.open(link, {
    filters: [topic],
    onMessage: (from, payload) => {
      if (from === topic) state = nullIfRefused(() => parseRobotState(payload)) ?? state;
    },
  });
  await subscription.settle();
  subscription.close();
  if (state) return state;
  throw new DroverError('NOT_FOUND', `find robot ${robot}: it has not reported to this broker`);
}
