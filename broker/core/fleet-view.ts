/**
 * Robots and their events as the HTTP API shows them. Instants are text, and every field is always
 * there: a script that asks for one finds null, never nothing. Pure.
 */

import type { ComponentState, RobotEvent } from '../../shared/messages.ts';
import { mainComponent, type RobotRecord } from './fleet.ts';

const instant = (ms: number | null | undefined): string | null =>
  ms === null || ms === undefined ? null : new Date(ms).toISOString();

/** The main component's facts stand at the top as well, for short lists. */
export function showRobot(record: RobotRecord): object {
  const { state } = record;
  const main = mainComponent(record);
  return {
    robot_id: record.robot,
    online: record.online,
    via: record.via,
    last_seen: instant(record.lastSeenMs),
    reported_at: instant(state?.at),
    arch: state?.arch ?? null,
    model: state?.model ?? null,
    agent: state?.agent ?? null,
    tags: state?.tags ?? [],
    caps: state?.caps ?? [],
    trust_version: state?.trust_version ?? null,
    metrics: state?.metrics ?? {},
    ...(main ? showComponent(main) : SILENT),
    components: (state?.components ?? []).map(showComponent),
  };
}

function showComponent(component: ComponentState) {
  const { last_error: failure, last_update: last = null } = component;
  return {
    name: component.name,
    version: component.version,
    previous_version: component.previous_version ?? null,
    payload_sha256: component.payload_sha256 ?? null,
    phase: component.phase,
    rollout: component.rollout ?? null,
    target_version: component.target_version ?? null,
    transfer: component.transfer ?? null,
    delta: component.delta ?? null,
    waiting_for: component.waiting_for ?? null,
    wake_at: instant(component.wake_at),
    last_error: failure ? { ...failure, at: instant(failure.at) } : null,
    blocked: component.blocked,
    last_update: last && {
      ...last,
      started_at: instant(last.started_at),
      ended_at: instant(last.ended_at),
    },
    usage: component.usage,
  };
}

/** A robot that connected and has not yet said what it runs. */
const SILENT: Record<keyof ReturnType<typeof showComponent>, unknown> = {
  name: null,
  version: null,
  previous_version: null,
  payload_sha256: null,
  phase: 'unknown',
  rollout: null,
  target_version: null,
  transfer: null,
  delta: null,
  waiting_for: null,
  wake_at: null,
  last_error: null,
  blocked: [],
  last_update: null,
  usage: [],
};

export function showEvent(event: RobotEvent): object {
  const { problem } = event;
  const shown = problem ? { ...problem, at: instant(problem.at) } : null;
  return { ...event, at: instant(event.at), problem: shown };
}
