/** Reads the last state of each robot as the broker retains it. */

import { DroverError } from '../../shared/base/errors.ts';
import { parseRobotState, type RobotState } from '../../shared/formats/messages.ts';
import type { Log } from '../../shared/base/ports.ts';
import { parseTopic, robotFilter } from '../../shared/formats/topics.ts';
import type { BrokerLink } from '../transfer/broker-link.ts';
import { Subscription } from './subscription.ts';

export interface RetainedStates {
  /** By robot id, not parsed. */
  readonly states: ReadonlyMap<string, Uint8Array>;
  /** False when reports were still arriving when the wait ended. */
  readonly isWhole: boolean;
}

/** @throws DroverError ACCESS_DENIED, BROKER_UNREACHABLE */
export async function readRetainedStates(link: BrokerLink): Promise<RetainedStates> {
  const states = new Map<string, Uint8Array>();
  const subscription = await Subscription.open(link, {
    filters: [robotFilter('state')],
    onMessage: (topic, payload) => {
      const parsed = parseTopic(topic);
      if (parsed?.kind !== 'robot' || parsed.leaf !== 'state') return;
      if (payload.byteLength === 0) states.delete(parsed.robot);
      else states.set(parsed.robot, payload.slice());
    },
  });
  const isWhole = await subscription.settle();
  subscription.close();
  return { states, isWhole };
}

/**
 * For a forecast, which works without: null when this user may not read the states, or when not all
 * have arrived.
 * @throws DroverError BROKER_UNREACHABLE
 */
export async function readRobots(link: BrokerLink, log: Log): Promise<RobotState[] | null> {
  let found: RetainedStates;
  try {
    found = await readRetainedStates(link);
  } catch (error) {
    if (!(error instanceof DroverError) || error.code !== 'ACCESS_DENIED') throw error;
    log.warn({ reason: error.message }, 'could not read robots, so the forecast is unknown');
    return null;
  }
  if (!found.isWhole) return null;
  return [...found.states].flatMap(([robot, payload]) => {
    try {
      return [{ ...parseRobotState(payload), robot_id: robot as RobotState['robot_id'] }];
    } catch {
      return []; // `drover fleet` reports those
    }
  });
}
