/**
 * Builds reports of robots in the form in which robots write them and the shared parsers read them,
 * so that a test cannot make one that no robot could send.
 */

import type { RobotId } from '../../shared/base/ids.ts';
import {
  encodeMessage,
  parseRobotEvent,
  parseRobotState,
  parseWant,
  type ComponentStateFields,
  type RobotEvent,
  type RobotEventFields,
  type RobotState,
  type RobotStateFields,
  type WantMessage,
} from '../../shared/formats/messages.ts';

export const AT = '2026-05-04T10:00:00Z';
export const AT_MS = Date.parse(AT);
export const robotId = (text: string): RobotId => text as RobotId;

export function makeState(
  robot: string,
  component: Partial<ComponentStateFields> = {},
  more: Partial<RobotStateFields> = {},
): RobotState {
  const app = { name: 'app', version: '1.0.0', phase: 'idle', ...component } as const;
  const fields = { robot_id: robot, at: AT, arch: 'x86_64', components: [app], ...more };
  return parseRobotState(encodeMessage(fields));
}

export function makeEvent(
  robot: string,
  eventSeq: number,
  more: Partial<RobotEventFields> = {},
): RobotEvent {
  return parseRobotEvent(encodeEvent(robot, eventSeq, more));
}

/** As it stands on the wire. */
export function encodeEvent(
  robot: string,
  eventSeq: number,
  more: Partial<RobotEventFields> = {},
): Uint8Array {
  const step = { component: 'app', from: 'idle', to: 'checking', event: 'announced' } as const;
  return encodeMessage({ robot_id: robot, event_seq: eventSeq, at: AT, ...step, ...more });
}

/** A robot that is too old for what is announced asks for a full package. */
export function makeWant(robot: string, current: string | null, component = 'app'): WantMessage {
  const wanted = { wanted_version: '2.0.0', min_current_version: '1.5.0' };
  const asked = { component, arch: 'x86_64', current_version: current, ...wanted };
  return parseWant(encodeMessage({ robot_id: robot, at: AT, package: asked }));
}
