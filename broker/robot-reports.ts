/** What robots say becomes the fleet's picture: one place for every engine. It is no reason to
 * install anything, so a report that cannot be read is only missing from the picture. */

import { toProblem } from '../shared/errors.ts';
import type { EpochMs, Sha256Hex } from '../shared/ids.ts';
import {
  parseOnline,
  parsePresence,
  parseRobotEvent,
  parseRobotState,
  parseWant,
  type RobotEvent,
} from '../shared/messages.ts';
import type { Log } from '../shared/ports.ts';
import type { Topic } from '../shared/topics.ts';
import type { Fleet } from './core/fleet.ts';

export type RobotTopic = Extract<Topic, { kind: 'robot' }>;

export interface ReportSinks {
  readonly fleet: Fleet;
  readonly log: Log;
  onWant(hashes: readonly Sha256Hex[]): void;
  onRobotEvent(event: RobotEvent): void;
}

/** A relay came or went. What cannot be read says nothing; nothing at all says that it went. */
export function noteRelay(
  { fleet, log }: Pick<ReportSinks, 'fleet' | 'log'>,
  relay: string,
  payload: Uint8Array,
): void {
  try {
    fleet.applyRelay(relay, payload.byteLength > 0 && parseOnline(payload));
  } catch (error) {
    log.warn({ relay, problem: toProblem(error) }, 'presence of a relay not understood');
  }
}

/** @param now null for what was retained before we listened */
export function noteReport(
  { fleet, log, onWant, onRobotEvent }: ReportSinks,
  topic: RobotTopic,
  said: { payload: Uint8Array; now: EpochMs | null },
): void {
  const { payload, now } = said;
  try {
    if (payload.byteLength === 0) {
      if (topic.leaf === 'state') fleet.forget(topic.robot);
      return;
    }
    if (topic.leaf === 'state') {
      fleet.applyState({ ...parseRobotState(payload), robot_id: topic.robot }, now);
    } else if (topic.leaf === 'online') {
      const { online, via } = parsePresence(payload);
      fleet.applyOnline(topic.robot, online, now, via ?? null);
    } else if (topic.leaf === 'events') {
      const event = { ...parseRobotEvent(payload), robot_id: topic.robot };
      if (fleet.applyEvent(event, now)) onRobotEvent(event);
    } else {
      const want = { ...parseWant(payload), robot_id: topic.robot };
      fleet.applyWant(want, now ?? want.at);
      onWant(want.chunks);
    }
  } catch (error) {
    log.warn(
      { topic: topic.leaf, robot: topic.robot, problem: toProblem(error) },
      'report not understood',
    );
  }
}
