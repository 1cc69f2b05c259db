/**
 * Robots and their events as the HTTP API shows them. Instants are text, and every field is always
 * present: a script that reads one finds null, never nothing. Sans-I/O.
 */

import { instantText } from '../../shared/base/durations.ts';
import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import type { Problem } from '../../shared/base/errors.ts';
import type { ComponentState, RelayProblem, RobotEvent } from '../../shared/formats/messages.ts';
import { doubtTold } from '../../shared/rules/running-version.ts';
import { eventText } from '../../shared/rules/event-words.ts';
import { isPastProblem, worstFirst } from '../../shared/rules/worst-component.ts';
import { mainComponent, type RobotRecord } from './fleet.ts';
import type { TwinAlarm } from './twins.ts';

const instant = (ms: number | null | undefined): string | null =>
  ms === null || ms === undefined ? null : instantText(ms);

/** Facts about a robot that are not in its record. */
export interface KnownOfRobot {
  readonly twins: TwinAlarm | null;
  /** The problem that its relay reports of itself. */
  readonly relayProblem: RelayProblem | null;
  /** Set when its clock is far off ours. */
  readonly clock: Problem | null;
}

const NOTHING_KNOWN: KnownOfRobot = { twins: null, relayProblem: null, clock: null };

/**
 * Facts of one component stand at the top as well, for short lists: of the main one, or of the
 * worst when another is in trouble. `components` has all, the worst first.
 */
export function showRobot(record: RobotRecord, known: KnownOfRobot = NOTHING_KNOWN): object {
  const { state } = record;
  const components = worstFirst(state?.components ?? []);
  const main = mainComponent(record);
  const worst = components[0] ?? null;
  const shown = worst && main && isTrouble(worst) && !isTrouble(main) ? worst : main;
  return {
    robot_id: record.robot,
    online: record.online,
    via: record.via,
    via_problem: known.relayProblem,
    clock: known.clock,
    last_seen: instant(record.lastSeenMs),
    reported_at: instant(state?.at),
    arch: state?.arch ?? null,
    model: state?.model ?? null,
    agent: state?.agent ?? null,
    tags: state?.tags ?? [],
    caps: state?.caps ?? [],
    compatible: state?.compatible ?? [],
    modules: state?.modules ?? [],
    trust_version: state?.trust_version ?? null,
    trust_expires_at: instant(state?.trust_expires_at),
    certificate_expires_at: instant(state?.certificate_expires_at),
    metrics: state?.metrics ?? {},
    ...(shown ? showComponent(shown) : SILENT),
    components: components.map(showComponent),
    twins: known.twins && showTwins(known.twins),
  };
}

const isTrouble = (component: ComponentState): boolean =>
  component.phase === 'stuck' ||
  component.phase === 'rolling_back' ||
  (component.last_error != null && !isPastProblem(component));

/** Two robots use this id: both send these reports, so no other fact about it is reliable. */
function showTwins({ sinceMs, lastMs, instances }: TwinAlarm): object {
  const code = 'ROBOT_ID_TWICE';
  const message = `${instances} agents take turns under this robot id`;
  const { hint } = CATALOGUE[code];
  return { code, message, hint, since: instant(sinceMs), last: instant(lastMs), instances };
}

function showComponent(component: ComponentState) {
  const { last_error: failure, last_update: last = null } = component;
  return {
    name: component.name,
    version: component.version,
    version_doubt: doubtTold(component),
    previous_version: component.previous_version ?? null,
    payload_sha256: component.payload_sha256 ?? null,
    phase: component.phase,
    rollout: component.rollout ?? null,
    target_version: component.target_version ?? null,
    transfer: component.transfer ?? null,
    delta: component.delta ?? null,
    waiting_for: component.waiting_for ?? null,
    wake_at: instant(component.wake_at),
    last_error: failure
      ? { ...failure, at: instant(failure.at), past: isPastProblem(component) }
      : null,
    blocked: component.blocked,
    last_update: last && {
      ...last,
      started_at: instant(last.started_at),
      ended_at: instant(last.ended_at),
    },
    strategy: component.strategy ?? null,
    failure_log: component.failure_log
      ? { ...component.failure_log, at: instant(component.failure_log.at) }
      : null,
    computer: component.computer ?? null,
    log_folder: component.log_folder ?? null,
    usage: component.usage,
  };
}

/** A robot that connected and has not reported what it runs. */
const SILENT: Record<keyof ReturnType<typeof showComponent>, unknown> = {
  name: null,
  version: null,
  version_doubt: null,
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
  strategy: null,
  failure_log: null,
  computer: null,
  log_folder: null,
  usage: [],
};

export function showEvent(event: RobotEvent): object {
  const { problem } = event;
  const shown = problem ? { ...problem, at: instant(problem.at) } : null;
  return { ...event, at: instant(event.at), problem: shown, text: eventText(event) };
}
