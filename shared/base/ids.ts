/**
 * Branded names. Each topic level matches ID, without dots: NATS before 2.10 refuses them.
 * Sans-I/O.
 */

import { DroverError } from './errors.ts';

declare const brand: unique symbol;
type Branded<T, Name> = T & { readonly [brand]: Name };

export type RobotId = Branded<string, 'RobotId'>;
export type RolloutId = Branded<string, 'RolloutId'>;
export type ComponentName = Branded<string, 'ComponentName'>;
/** Lower-case hex of a SHA-256. */
export type Sha256Hex = Branded<string, 'Sha256Hex'>;

declare const clock: unique symbol;
/** Milliseconds of one clock. A plain number fits any clock, a value of another clock does not. */
export type ClockMs<Name> = number & { readonly [clock]?: Name };

/** Milliseconds since 1970-01-01 UTC (`Date.now()`): it jumps when the clock of the machine is set. */
export type EpochMs = ClockMs<'EpochMs'>;
/** Milliseconds since a start (`performance.now()`): it never jumps, and means nothing elsewhere. */
export type MonoMs = ClockMs<'MonoMs'>;

export const ID_PATTERN = /^[A-Za-z0-9_-]{1,64}$/;
export const SHA256_PATTERN = /^[0-9a-f]{64}$/;

export function isId(text: string): boolean {
  return ID_PATTERN.test(text);
}

export function isRobotId(text: string): text is RobotId {
  return isId(text);
}

export function isSha256Hex(text: string): text is Sha256Hex {
  return SHA256_PATTERN.test(text);
}

function parseId(what: string, text: string): string {
  if (isId(text)) return text;
  throw new DroverError(
    'USAGE',
    `read ${what}: not an id (got ${JSON.stringify(text.slice(0, 80))}, want 1 to 64 of A-Z a-z 0-9 _ -)`,
  );
}

export const parseRobotId = (text: string): RobotId => parseId('robot id', text) as RobotId;
export const parseRolloutId = (text: string): RolloutId => parseId('rollout id', text) as RolloutId;
export const parseComponentName = (text: string): ComponentName =>
  parseId('component name', text) as ComponentName;

/** A hash in a message for people: twelve digits are enough to tell hashes apart. */
export function shortHash(hash: string): string {
  return hash.slice(0, 12);
}
