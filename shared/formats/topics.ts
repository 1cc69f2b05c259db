/**
 * Every topic of ours, built and parsed here and nowhere else. docs/protocol.md, section 2, is the
 * table.
 * Sans-I/O.
 */

import { isId, isSha256Hex, type RobotId, type RolloutId, type Sha256Hex } from '../base/ids.ts';

export const UPDATES_TOPIC = 'fleet/updates';
/** A root of its own, so that `fleet/#` does not pull the store. [P-2.2] */
export const CHUNKS_ROOT = 'fleet-chunks';

export type RobotLeaf = 'state' | 'online' | 'events' | 'want' | 'logs' | 'ask';
const ROBOT_LEAVES: readonly string[] = ['state', 'online', 'events', 'want', 'logs', 'ask'];
/** Never retained: a log would stay for everybody who comes later, a question be asked again. */
const PASSING_LEAVES: readonly string[] = ['logs', 'ask'];

export type Topic =
  | { readonly kind: 'updates' }
  | { readonly kind: 'progress'; readonly rollout: RolloutId }
  | { readonly kind: 'trust'; readonly version: number }
  | { readonly kind: 'lease' }
  | { readonly kind: 'log-checkpoint' }
  | { readonly kind: 'log-entry'; readonly index: number }
  | { readonly kind: 'robot'; readonly robot: RobotId; readonly leaf: RobotLeaf }
  | { readonly kind: 'relay'; readonly relay: string }
  | { readonly kind: 'refusals'; readonly client: string }
  | { readonly kind: 'chunk'; readonly hash: Sha256Hex };

/** `fleet-chunks/9f86d081…` */
export const chunkTopic = (hash: Sha256Hex): string => `${CHUNKS_ROOT}/${hash}`;
/** `fleet/rollouts/app-1-4-2-k3f9` */
export const progressTopic = (rollout: RolloutId): string => `fleet/rollouts/${rollout}`;
/** The leader of the rollouts of this fleet: a signed lease. */
export const LEASE_TOPIC = 'fleet/controller';
/** The newest signed head of the transparency log. */
export const LOG_CHECKPOINT_TOPIC = 'fleet/log/checkpoint';
/** All of the log. */
export const LOG_FILTER = 'fleet/log/+';
/** `fleet/log/0`: one entry of it, the bytes of a manifest. */
export const logEntryTopic = (index: number): string => `fleet/log/${index}`;
/** Every new trust root. */
export const TRUST_FILTER = 'fleet/trust/+';
/** The progress of every rollout. */
export const PROGRESS_FILTER = 'fleet/rollouts/+';
/** `fleet/trust/2` */
export const trustTopic = (version: number): string => `fleet/trust/${version}`;
/** The filters of a robot from the start: orders, and the trust root after its own. */
export const orderFilters = (nextTrust: number): readonly string[] => [
  UPDATES_TOPIC,
  PROGRESS_FILTER,
  trustTopic(nextTrust),
];
/** `fleet/robots/r1/state` */
export const robotTopic = (robot: RobotId, leaf: RobotLeaf): string =>
  `fleet/robots/${robot}/${leaf}`;
/** All robots' messages of one kind: `fleet/robots/+/state` */
export const robotFilter = (leaf: RobotLeaf): string => `fleet/robots/+/${leaf}`;
/** `fleet/relays/site-7/online`: whether a relay is there to speak for its robots. */
export const relayTopic = (relay: string): string => `fleet/relays/${relay}/online`;
/** The presence of every relay. */
export const RELAY_FILTER = 'fleet/relays/+/online';
/** `fleet/refusals/<client id>`: why the broker did not take a message of this connection. */
export const refusalsTopic = (client: string): string => `fleet/refusals/${client}`;

/** Null for every topic that is not ours. [P-2.1] */
export function parseTopic(text: string): Topic | null {
  const levels = text.split('/');
  const [root, group, id, leaf] = levels;
  if (root === CHUNKS_ROOT) {
    return levels.length === 2 && group !== undefined && isSha256Hex(group)
      ? { kind: 'chunk', hash: group }
      : null;
  }
  if (root !== 'fleet') return null;
  if (text === UPDATES_TOPIC) return { kind: 'updates' };
  if (text === LEASE_TOPIC) return { kind: 'lease' };
  if (text === LOG_CHECKPOINT_TOPIC) return { kind: 'log-checkpoint' };
  if (id === undefined || !isId(id)) return null;
  if (levels.length === 3 && group === 'rollouts') {
    return { kind: 'progress', rollout: id as RolloutId };
  }
  if (levels.length === 3 && group === 'trust' && /^[1-9]\d{0,8}$/.test(id)) {
    return { kind: 'trust', version: Number(id) };
  }
  if (levels.length === 3 && group === 'log' && /^(?:0|[1-9]\d{0,8})$/.test(id)) {
    return { kind: 'log-entry', index: Number(id) };
  }
  if (levels.length === 3 && group === 'refusals') return { kind: 'refusals', client: id };
  if (levels.length === 4 && group === 'relays' && leaf === 'online') {
    return { kind: 'relay', relay: id };
  }
  if (levels.length === 4 && group === 'robots' && ROBOT_LEAVES.includes(leaf ?? '')) {
    return { kind: 'robot', robot: id as RobotId, leaf: leaf as RobotLeaf };
  }
  return null;
}

/** False for a topic that carries nothing to retain. [P-8.13] */
export function mayRetain(text: string): boolean {
  const topic = parseTopic(text);
  return topic?.kind !== 'robot' || !PASSING_LEAVES.includes(topic.leaf);
}

/** The hash a filter names exactly, or null: wildcards never reach the chunk store. */
export function chunkOfFilter(filter: string): Sha256Hex | null {
  const topic = parseTopic(filter);
  return topic?.kind === 'chunk' ? topic.hash : null;
}

/**
 * True when a filter could match a chunk topic without naming one. Below the chunks' own root all
 * that is not one exact address counts; elsewhere only what really matches, so that a filter such
 * as `+/robots/+/state` stays allowed. [P-2.3]
 */
export function filterSweepsChunks(filter: string): boolean {
  const [root, second, ...rest] = filter.split('/');
  if (root === '#') return true;
  if (root === CHUNKS_ROOT) return chunkOfFilter(filter) === null;
  if (root !== '+' || second === undefined) return false;
  if (second === '#') return true;
  const matchesSecond = second === '+' || isSha256Hex(second);
  return matchesSecond && (rest.length === 0 || (rest.length === 1 && rest[0] === '#'));
}

/** `+` is one level, `#` is the parent and everything below; neither matches a topic that begins
 * with `$` at the first level [MQTT-4.7.2-1]. */
export function filterMatches(filter: string, topic: string): boolean {
  const wanted = filter.split('/');
  const levels = topic.split('/');
  if (topic.startsWith('$') && (wanted[0] === '+' || wanted[0] === '#')) return false;
  for (const [at, level] of wanted.entries()) {
    if (level === '#') return at === wanted.length - 1; // also its parent: `a/#` matches `a`
    if (at >= levels.length) return false;
    if (level !== '+' && level !== levels[at]) return false;
  }
  return wanted.length === levels.length;
}
