/**
 * Decides what each client may publish and subscribe on our own broker, by the rules of
 * access-rules.ts and by facts that only this broker has. Denied by default, with a reason. No role
 * may subscribe to a filter that matches all chunks, since one such subscription asks for
 * everything that is stored. Sans-I/O.
 */

import { isRobotId, type RobotId } from '../../shared/base/ids.ts';
import type { PublicKeyHex } from '../../shared/crypto/ed25519.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { claimOf } from '../../shared/formats/client-ids.ts';
import { filterSweepsChunks, parseTopic } from '../../shared/formats/topics.ts';
import { patternCovers, rulesOf, type AccessRole, type AccessRules } from './access-rules.ts';

export type Role = Exclude<AccessRole, 'anyone' | 'broker'>;

/** `anyone` exists only on a broker without a credentials file. */
export type Identity =
  | { readonly kind: 'anyone' }
  | {
      readonly kind: 'user';
      readonly username: string;
      readonly role: Role;
      /** The robot that owns this credential; null for other roles. */
      readonly robot: RobotId | null;
      /** Approvals of this user have to be signed by it; absent for a user without one. */
      readonly approvalKey?: PublicKeyHex;
    };

/** Name of a user; `local` where the broker knows none. */
export const nameOf = (identity: Identity): string =>
  identity.kind === 'user' ? identity.username : 'local';

export type AccessDecision =
  { readonly kind: 'allow' } | { readonly kind: 'deny'; readonly reason: string };

const ALLOW: AccessDecision = { kind: 'allow' };
const deny = (reason: string): AccessDecision => ({ kind: 'deny', reason });

const TOPIC_LENGTH_MAX = LIMITS.idLengthMax * 4;

/** Why a role may not publish on a topic without a rule. */
const NO_PUBLISH: Readonly<Record<Role, string>> = {
  technician: 'a technician only reads',
  publisher: 'only a robot reports for itself',
  relay: 'a relay carries reports of robots, no orders',
  robot: 'a robot writes only its own topics',
  metrics: 'it only reads /metrics over HTTP',
};

export function decidePublish(identity: Identity, clientId: string, text: string): AccessDecision {
  const topic = parseTopic(text);
  if (!topic) return deny('no topic of Drover');
  if (topic.kind === 'refusals') return deny('only the broker writes refusals');
  if (rulesFor(identity).publish.some((pattern) => patternCovers(pattern, text))) return ALLOW;
  if (identity.kind === 'anyone') return deny('nobody may publish there');
  const isOther = identity.role === 'robot' && topic.kind === 'robot';
  return deny(isOther ? `${clientId} is not that robot` : NO_PUBLISH[identity.role]);
}

/**
 * Refusals match no wildcard such as `fleet/#`: the engine hands each to its one client and never
 * routes it.
 */
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
  const grants = (pattern: string): boolean =>
    patternCovers(pattern, filter) &&
    // A filter with a wildcard is allowed only when a rule names it or its pattern ends in `#`.
    (pattern.endsWith('#') || pattern === filter || topic !== null);
  if (rulesFor(identity).subscribe.some(grants)) return ALLOW;
  if (identity.kind === 'user' && identity.role === 'robot' && topic?.kind === 'robot') {
    return deny('topics of another robot');
  }
  return deny('no topic of Drover that this role reads');
}

/**
 * Decides whether a message of this topic may be sent to this client, however it was queued: a
 * session can be taken over with its client id, or outlive a change of roles.
 */
export function decideReceive(identity: Identity, clientId: string, text: string): AccessDecision {
  return identity.kind === 'anyone' ? ALLOW : decideSubscribe(identity, clientId, text);
}

const rulesFor = (identity: Identity): AccessRules =>
  identity.kind === 'anyone' ? rulesOf('anyone', null) : rulesOf(identity.role, identity.robot);

/** Facts by which a broker decides on a client id. */
export interface ClientIdFacts {
  /** The user that is connected with this id now. */
  readonly holder: Identity | null;
  /** True for a user name of the credentials file. */
  isUser(name: string): boolean;
}

/**
 * Decides whether a user may use a client id. An id in use belongs to its user. An id that our
 * programs use, or that is the name of a user, belongs to the user that the credentials name, even
 * before that user has connected: otherwise one robot could keep a site or all other robots from
 * connecting.
 */
export function decideClientId(
  identity: Identity,
  clientId: string,
  { holder, isUser }: ClientIdFacts,
): AccessDecision {
  if (clientId.length > LIMITS.clientIdLengthMax) return deny('it is too long');
  if (identity.kind === 'anyone') return ALLOW;
  if (holder?.kind === 'user' && !isSame(holder, identity)) {
    return deny('another user is connected with it');
  }
  const { role, robot, username } = identity;
  const claim = claimOf(clientId);
  switch (claim.kind) {
    case 'robot':
      return claim.isOf(robot) ? ALLOW : deny('it is kept for another robot');
    case 'relay':
      if (role !== 'relay') return deny('it is kept for relays');
      return claim.isOf(username) ? ALLOW : deny('it is kept for the relay of another user');
    case 'broker':
      return role === 'publisher' ? ALLOW : deny('it is kept for brokers');
    case 'names': {
      const [first] = claim.names.filter((name) => name === username || isUser(name));
      const isFree = first === undefined || first === username;
      return isFree ? ALLOW : deny('it is the name of another user');
    }
  }
}

/**
 * The user that a session belongs to, as text. A robot with a certificate has no user in any file.
 */
export function ownerOf(identity: Identity, isCertified: boolean): string {
  if (identity.kind === 'anyone') return ANYONE;
  return isCertified ? `certificate:${identity.username}` : `${USER}${identity.username}`;
}

/** Owner on a broker without credentials, where all users count as one. */
export const ANYONE = 'anyone';
const USER = 'user:';

/** The user name of an owner; null when the owner is in no credentials file. */
export const userOfOwner = (owner: string): string | null =>
  owner.startsWith(USER) ? owner.slice(USER.length) : null;

/** A robot may connect with a credential at one time and with a certificate at another. */
type User = Extract<Identity, { kind: 'user' }>;

const isSame = (a: User, b: User): boolean =>
  a.username === b.username || (a.robot !== null && a.robot === b.robot);

/** As Node's TLS shows a verified certificate. */
export interface CertificateNames {
  /** Common name; a list when the certificate has several. */
  readonly commonName: string | readonly string[] | undefined;
  /** `DNS:r1, IP Address:10.0.0.7`; a name with odd characters is in double quotes. */
  readonly subjectAltName: string | undefined;
}

/**
 * The common name when it is a robot id, else the only DNS name among the alternative names.
 * @returns null when the certificate names no robot, or more than one
 */
export function robotOfCertificate(names: CertificateNames): Identity | null {
  const { commonName } = names;
  const candidates =
    typeof commonName === 'string' && isRobotId(commonName)
      ? [commonName]
      : dnsNames(names.subjectAltName ?? '');
  const [robot, ...others] = candidates;
  if (robot === undefined || others.length > 0 || !isRobotId(robot)) return null;
  return { kind: 'user', username: robot, role: 'robot', robot };
}

/** A quoted name could hide a second one in its text: none of ours needs quotes. */
function dnsNames(subjectAltName: string): string[] {
  if (subjectAltName.includes('"')) return [];
  return subjectAltName
    .split(', ')
    .flatMap((one) => (one.startsWith('DNS:') ? [one.slice('DNS:'.length)] : []));
}
