/**
 * Who may publish and subscribe what. Pure, and closed by default: what no rule allows is denied
 * with its reason. Nobody, whatever the role, may subscribe to a filter that would sweep the chunk
 * store, since one such subscription asks for everything that is stored.
 */

import { robotClientId, ROBOT_CLIENT_PREFIX } from '../../shared/client-id.ts';
import { LIMITS } from '../../shared/limits.ts';
import type { RobotId } from '../../shared/ids.ts';
import {
  filterSweepsChunks,
  parseTopic,
  PROGRESS_FILTER,
  TRUST_FILTER,
  type Topic,
} from '../../shared/topics.ts';

export type Role = 'publisher' | 'robot' | 'technician' | 'relay';

/** `anyone` exists only on a broker that was given no credentials file. */
export type Identity =
  | { readonly kind: 'anyone' }
  | {
      readonly kind: 'user';
      readonly username: string;
      readonly role: Role;
      /** The robot that this credential belongs to; null for other roles. */
      readonly robot: RobotId | null;
    };

export type AccessDecision =
  { readonly kind: 'allow' } | { readonly kind: 'deny'; readonly reason: string };

const ALLOW: AccessDecision = { kind: 'allow' };
const deny = (reason: string): AccessDecision => ({ kind: 'deny', reason });

/** Filters with wildcards that a reader of announcements may use. */
const READER_FILTERS: readonly string[] = [PROGRESS_FILTER, TRUST_FILTER];
const TOPIC_LENGTH_MAX = LIMITS.idLengthMax * 4;

export function decidePublish(identity: Identity, clientId: string, text: string): AccessDecision {
  const topic = parseTopic(text);
  if (!topic) return deny('no topic of Drover');
  if (topic.kind === 'refusals') return deny('only the broker writes refusals');
  if (identity.kind === 'anyone') return ALLOW;
  switch (identity.role) {
    case 'technician':
      return deny('a technician only reads');
    case 'publisher':
      return topic.kind === 'robot' ? deny('only a robot reports for itself') : ALLOW;
    case 'relay':
      if (topic.kind === 'robot' || topic.kind === 'relay') return ALLOW;
      return deny('a relay carries reports of robots, no orders');
    case 'robot':
      if (topic.kind !== 'robot') return deny('a robot writes only its own topics');
      return topic.robot === identity.robot ? ALLOW : deny(`${clientId} is not that robot`);
  }
}

export function decideSubscribe(
  identity: Identity,
  clientId: string,
  filter: string,
): AccessDecision {
  if (filter.length > TOPIC_LENGTH_MAX) return deny('the filter is too long');
  if (filterSweepsChunks(filter)) return deny('chunks are read one by one, by their address');
  const topic = parseTopic(filter);
  if (topic?.kind === 'refusals') {
    return topic.client === clientId ? ALLOW : deny('refusals of another connection');
  }
  if (filter.startsWith('fleet/refusals')) return deny('refusals of other connections');
  if (identity.kind === 'anyone') return watch(filter, ['fleet', '$SYS']);
  switch (identity.role) {
    case 'technician':
      return watch(filter, ['fleet', '$SYS']);
    case 'publisher':
      return watch(filter, ['fleet']);
    case 'relay':
      if (filter === 'fleet/robots/+/want') return ALLOW;
      return read(topic, filter, null);
    case 'robot':
      return read(topic, filter, identity.robot);
  }
}

/**
 * Whether a message of this topic may be handed to this client, however it came to be queued: a
 * session can be taken over with its client id, or outlive a change of roles.
 */
export function decideReceive(identity: Identity, clientId: string, text: string): AccessDecision {
  if (identity.kind === 'anyone') return ALLOW;
  const topic = parseTopic(text);
  const isWant = topic?.kind === 'robot' && topic.leaf === 'want';
  if (identity.role === 'relay' && isWant) return ALLOW; // its filter has a wildcard, a topic none
  return decideSubscribe(identity, clientId, text);
}

/**
 * Whose client id it is. One that is in use belongs to its user, and those that robots use to their
 * robots even while they are away: otherwise one robot could keep all others from connecting.
 * @param holder who is connected with it now
 */
export function decideClientId(
  identity: Identity,
  clientId: string,
  holder: Identity | null,
): AccessDecision {
  if (identity.kind === 'anyone') return ALLOW;
  if (holder?.kind === 'user' && !isSame(holder, identity)) {
    return deny('another user is connected with it');
  }
  if (!clientId.startsWith(ROBOT_CLIENT_PREFIX)) return ALLOW;
  const isOwn = identity.robot !== null && clientId === robotClientId(identity.robot);
  return isOwn ? ALLOW : deny('it is kept for another robot');
}

/** A robot may come with a credential at one time and with a certificate at another. */
type User = Extract<Identity, { kind: 'user' }>;

const isSame = (a: User, b: User): boolean =>
  a.username === b.username || (a.robot !== null && a.robot === b.robot);

/**
 * Everything below the roots, and chunks by address. Refusals pass no wildcard such as `fleet/#`:
 * the engine hands each to its one client and never routes it.
 */
function watch(filter: string, roots: readonly string[]): AccessDecision {
  const root = filter.split('/', 1)[0] ?? '';
  if (roots.includes(root) || parseTopic(filter)?.kind === 'chunk') return ALLOW;
  return deny('no topic of Drover that this role reads');
}

/** What a robot needs: announcements, progress, trust, chunks by address, and its own topics. */
function read(topic: Topic | null, filter: string, own: RobotId | null): AccessDecision {
  if (READER_FILTERS.includes(filter)) return ALLOW;
  if (!topic) return deny('not a topic that robots read');
  if (topic.kind !== 'robot') return ALLOW;
  return topic.robot === own ? ALLOW : deny('topics of another robot');
}
