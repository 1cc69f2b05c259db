/**
 * Applies reports of robots to the fleet registry, for every engine. The registry is no reason to
 * install anything, so a report that cannot be parsed is only missing from it.
 */

import { toProblem } from '../../shared/base/errors.ts';
import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import type { EpochMs, RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import {
  parsePresence,
  parseRobotEvent,
  parseRobotState,
  parseWant,
} from '../../shared/formats/messages.ts';
import type { Log } from '../../shared/base/ports.ts';
import { SeldomLog } from '../../shared/base/seldom-log.ts';
import type { Topic } from '../../shared/formats/topics.ts';
import type { BrokerEvents } from '../events.ts';
import type { Fleet } from './fleet.ts';
import type { TwinAlarm } from './twins.ts';

export type RobotTopic = Extract<Topic, { kind: 'robot' }>;

export interface ReportSinks {
  readonly fleet: Fleet;
  readonly log: Log;
  readonly events: BrokerEvents;
  /** For what a robot may send many times a second. */
  readonly seldom: SeldomLog;
}

export function reportSinks({ fleet, log, events }: Omit<ReportSinks, 'seldom'>): ReportSinks {
  const seldom = new SeldomLog(log, LIMITS.readErrorLogMs, () => performance.now());
  return { fleet, log, events, seldom };
}

/**
 * A relay came or went. A message that cannot be parsed is ignored; an empty one means that it
 * went.
 */
export function noteRelay(
  { fleet, seldom }: Pick<ReportSinks, 'fleet' | 'seldom'>,
  relay: string,
  payload: Uint8Array,
): void {
  try {
    const said = payload.byteLength > 0 ? parsePresence(payload) : null;
    const { online, progress_refused: refused, problem } = said ?? { online: false };
    fleet.applyRelay(relay, online, refused, problem);
  } catch (error) {
    const facts = { relay, problem: toProblem(error) };
    seldom.warn(`relay ${relay}`, facts, 'presence of a relay not understood');
  }
}

/** Logs one line when it begins, one an hour while it lasts, one when it ends. */
function noteTwins(
  { fleet, log }: Pick<ReportSinks, 'fleet' | 'log'>,
  robot: RobotId,
  before: TwinAlarm | null,
): void {
  const alarm = fleet.twinsOf(robot);
  if (alarm === null) {
    if (before) log.info({ robot }, 'one agent speaks under this robot id again');
    return;
  }
  const hours = (one: TwinAlarm): number =>
    Math.floor((one.lastMs - one.sinceMs) / LIMITS.twinWindowMs);
  if (before && hours(before) === hours(alarm)) return;
  const { hint } = CATALOGUE.ROBOT_ID_TWICE;
  const facts = { robot, code: 'ROBOT_ID_TWICE', instances: alarm.instances, hint };
  log.warn(facts, 'two robots use one id: they end the connections of each other');
}

/**
 * @param said.now null for a message retained before we subscribed
 * @param said.isOwn it came over the robot's own connection
 */
export function noteReport(
  { fleet, log, events, seldom }: ReportSinks,
  topic: RobotTopic,
  said: { payload: Uint8Array; now: EpochMs | null; isOwn?: boolean },
): void {
  const { payload, now, isOwn = false } = said;
  try {
    if (payload.byteLength === 0) {
      if (topic.leaf === 'state') fleet.forget(topic.robot);
      return;
    }
    if (topic.leaf === 'state') {
      const before = fleet.twinsOf(topic.robot);
      fleet.applyState({ ...parseRobotState(payload), robot_id: topic.robot }, now);
      noteTwins({ fleet, log }, topic.robot, before);
    } else if (topic.leaf === 'online') {
      const { online, via = null } = parsePresence(payload);
      // No relay reports here: other readers of these topics see that too.
      if (isOwn)
        fleet.applyOnline(topic.robot, online && (via === null || fleet.hasRelay(via)), now);
      else fleet.applyOnline(topic.robot, online, now, via);
    } else if (topic.leaf === 'events') {
      const event = { ...parseRobotEvent(payload), robot_id: topic.robot };
      if (fleet.applyEvent(event, now)) events.emit('robotEvent', event);
    } else if (topic.leaf === 'logs') {
      events.emit('failureLog', topic.robot, payload);
    } else if (topic.leaf === 'want') {
      const want = { ...parseWant(payload), robot_id: topic.robot };
      fleet.applyWant(want, now ?? want.at);
      events.emit('wanted', want.chunks);
    }
  } catch (error) {
    const { leaf, robot } = topic;
    const facts = { topic: leaf, robot, problem: toProblem(error) };
    seldom.warn(`${leaf} ${robot}`, facts, 'report not understood');
  }
}
