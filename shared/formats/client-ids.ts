/**
 * MQTT client ids of our programs. A broker with credentials can derive the owner from an id alone,
 * even before its first connection: with an id that anybody could take, anybody could keep its
 * owner out. Sans-I/O.
 */

import type { RobotId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { utf8 } from '../crypto/bytes.ts';
import { sha256Hex } from '../crypto/hash.ts';

const ROBOT_CLIENT_PREFIX = 'robot-';
/** Also of the name that a relay gives itself when its site has none. */
export const RELAY_CLIENT_PREFIX = 'relay-';
/** Prefix of `drover-broker --engine`. The rest is random, drawn once for each data folder. */
export const BROKER_CLIENT_PREFIX = 'drover-broker-';
/** Prefix of a command of `drover`. The rest is random, drawn for each connection. */
export const PUBLISHER_CLIENT_PREFIX = 'drover-';

/** Suffixes of our programs that open several connections. */
const PARTS = ['chunks', 'control', 'events', 'trial', 'trial-away'] as const;
/** A name that is longer is hashed, so that the id of its chunks fits a topic level as well. */
const RELAY_ID_MAX = LIMITS.idLengthMax - '-chunks'.length;
const USER_MARK = /^relay-([0-9a-f]{16})-/;

/** It must fit a topic level; a robot id that leaves no room for the prefix is hashed. */
export function robotClientId(robot: RobotId): string {
  const plain = `${ROBOT_CLIENT_PREFIX}${robot}`;
  return plain.length <= LIMITS.idLengthMax
    ? plain
    : `${ROBOT_CLIENT_PREFIX}${sha256Hex(utf8(robot)).slice(0, 32)}`;
}

/**
 * Contains the user that the relay logs in as. Without one the upstream broker has no users, and
 * the name alone has to do.
 */
export function relayClientId(name: string, username: string | undefined): string {
  if (username === undefined) return name;
  const prefix = `${RELAY_CLIENT_PREFIX}${userMark(username)}-`;
  const fits = prefix.length + name.length <= RELAY_ID_MAX;
  return `${prefix}${fits ? name : sha256Hex(utf8(name)).slice(0, 32)}`;
}

/** The program that has a client id, as far as its form says. */
export type LinkProgram = 'robot' | 'relay' | 'attached broker' | 'drover';

export function programOf(clientId: string): LinkProgram {
  if (clientId.startsWith(ROBOT_CLIENT_PREFIX)) return 'robot';
  if (clientId.startsWith(BROKER_CLIENT_PREFIX)) return 'attached broker';
  return clientId.startsWith(PUBLISHER_CLIENT_PREFIX) ? 'drover' : 'relay';
}

const userMark = (username: string): string => sha256Hex(utf8(username)).slice(0, 16);

export type ClientIdClaim =
  | { readonly kind: 'robot'; isOf(robot: RobotId | null): boolean }
  | { readonly kind: 'relay'; isOf(username: string): boolean }
  | { readonly kind: 'broker' }
  /** Belongs to the user with one of these names, and to no other. */
  | { readonly kind: 'names'; readonly names: readonly string[] };

/** The owner of an id, by its form. */
export function claimOf(clientId: string): ClientIdClaim {
  if (clientId.startsWith(ROBOT_CLIENT_PREFIX)) {
    return { kind: 'robot', isOf: (robot) => robot !== null && clientId === robotClientId(robot) };
  }
  if (clientId.startsWith(RELAY_CLIENT_PREFIX)) {
    const mark = USER_MARK.exec(clientId)?.[1]; // absent from relays of 0.1
    return { kind: 'relay', isOf: (user) => mark === undefined || mark === userMark(user) };
  }
  if (clientId.startsWith(BROKER_CLIENT_PREFIX)) return { kind: 'broker' };
  return { kind: 'names', names: [clientId, baseOf(clientId)] };
}

/**
 * The ids whose stored sessions decide who may have this one: a part of a program belongs to the
 * user of that program. Never the other way round, or an unused part would keep its program out;
 * only a broker has no connection of its bare name.
 */
export function decidersOf(clientId: string): string[] {
  if (clientId.startsWith(ROBOT_CLIENT_PREFIX)) return [clientId]; // also of a robot `x-chunks`
  const base = baseOf(clientId);
  if (!clientId.startsWith(BROKER_CLIENT_PREFIX)) return [clientId, base];
  return PARTS.map((part) => `${base}-${part}`);
}

function baseOf(clientId: string): string {
  const part = PARTS.toSorted((a, b) => b.length - a.length).find((one) =>
    clientId.endsWith(`-${one}`),
  );
  return part === undefined ? clientId : clientId.slice(0, -(part.length + 1));
}
