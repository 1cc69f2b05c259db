/**
 * Access rights as data: the one source for the decisions of our own broker (access.ts), for
 * mosquitto's acl_file and for the permissions of NATS (acl-mosquitto.ts, acl-nats.ts). No right
 * may be given anywhere else, or two engines would answer differently. Patterns are MQTT filters in
 * which `{robot}` stands for the id of the robot that asks. Sans-I/O.
 */

import type { RobotId } from '../../shared/base/ids.ts';
import {
  CHUNKS_ROOT,
  LEASE_TOPIC,
  LOG_FILTER,
  PROGRESS_FILTER,
  RELAY_FILTER,
  TRUST_FILTER,
  UPDATES_TOPIC,
} from '../../shared/formats/topics.ts';

/** `anyone` is every client of an engine without users, `broker` is `drover-broker --engine`. */
export type AccessRole =
  'anyone' | 'publisher' | 'robot' | 'technician' | 'relay' | 'broker' | 'metrics';

export interface AccessRules {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

export const ROBOT_VARIABLE = '{robot}';
/** Only exact addresses, where the engine can enforce it: mosquitto and NATS cannot refuse `+`. */
const CHUNKS = `${CHUNKS_ROOT}/+`;
const leaves = (robot: string): string[] =>
  ['state', 'online', 'events', 'want'].map((leaf) => `fleet/robots/${robot}/${leaf}`);

const OWN = leaves(ROBOT_VARIABLE);
const ALL_ROBOTS = leaves('+');
/** Logs of failed updates are for technicians, publishers and brokers, who read all of `fleet/`. */
const logs = (robot: string): string => `fleet/robots/${robot}/logs`;
/** A question to a robot, which it can only answer with such a log. */
const ask = (robot: string): string => `fleet/robots/${robot}/ask`;
/** Documents that rollout keys sign, and the lease. */
const CONTROL = [UPDATES_TOPIC, LEASE_TOPIC, PROGRESS_FILTER, TRUST_FILTER];

export const ACCESS_RULES: Readonly<Record<AccessRole, AccessRules>> = {
  anyone: {
    publish: [...CONTROL, LOG_FILTER, ...ALL_ROBOTS, logs('+'), ask('+'), RELAY_FILTER, CHUNKS],
    subscribe: ['fleet/#', '$SYS/#', CHUNKS],
  },
  /** A relay or a robot must not be able to claim an entry of the log. */
  publisher: {
    publish: [...CONTROL, LOG_FILTER, ask('+'), RELAY_FILTER, CHUNKS],
    subscribe: ['fleet/#', CHUNKS],
  },
  technician: { publish: [], subscribe: ['fleet/#', '$SYS/#', CHUNKS] },
  /** It leads, puts back what was changed, also of the log, and publishes for no robot. */
  broker: {
    publish: [...CONTROL, LOG_FILTER, ask('+'), CHUNKS],
    subscribe: [...CONTROL, LOG_FILTER, ...ALL_ROBOTS, logs('+'), RELAY_FILTER, CHUNKS],
  },
  /** It carries reports up and reads control messages. */
  relay: {
    publish: [...ALL_ROBOTS, RELAY_FILTER],
    subscribe: [...CONTROL, 'fleet/robots/+/want', CHUNKS],
  },
  robot: {
    publish: [...OWN, logs(ROBOT_VARIABLE)],
    subscribe: [...CONTROL, ...OWN, ask(ROBOT_VARIABLE), CHUNKS],
  },
  /** Prometheus: it reads `/metrics` over HTTP, and nothing over MQTT. */
  metrics: { publish: [], subscribe: [] },
};

/** The rules for this robot id; without one, patterns that need it are dropped. */
export function rulesOf(role: AccessRole, robot: RobotId | null): AccessRules {
  const fill = (patterns: readonly string[]): string[] =>
    patterns
      .filter((one) => robot !== null || !one.includes(ROBOT_VARIABLE))
      .map((one) => one.replace(ROBOT_VARIABLE, robot ?? ''));
  const { publish, subscribe } = ACCESS_RULES[role];
  return { publish: fill(publish), subscribe: fill(subscribe) };
}

/** True when every topic that the filter delivers is one of the pattern. */
export function patternCovers(pattern: string, filter: string): boolean {
  const asked = filter.split('/');
  const levels = pattern.split('/');
  for (const [at, level] of levels.entries()) {
    if (level === '#') return true; // also its parent: `a/#` covers `a`
    if (asked[at] === undefined || asked[at] === '#') return false;
    if (level !== '+' && level !== asked[at]) return false;
  }
  return levels.length === asked.length;
}

/** A user of a stock engine, for whom rules are rendered. */
export interface EngineUser {
  readonly username: string;
  readonly role: Exclude<AccessRole, 'anyone' | 'metrics'>;
  readonly robot: RobotId | null;
}

/** Users that every fleet on a stock engine has; robots and others come from a credentials file. */
export const ENGINE_USERS: readonly EngineUser[] = [
  { username: 'drover-publisher', role: 'publisher', robot: null },
  { username: 'drover-broker', role: 'broker', robot: null },
];
