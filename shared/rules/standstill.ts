/**
 * Codes of a component that takes no update at all, whichever is announced, until what they name is
 * mended, or that cannot go back. The robot stands still by them, the publisher foresees by them,
 * and a rollout waits for such robots by name. Sans-I/O.
 */

import type { ErrorCode } from '../base/error-catalogue.ts';
import { SLOT_CODES } from './slot-codes.ts';

type SlotCode = keyof typeof SLOT_CODES;

/**
 * A release that is gone, or a folder where one version should stand, leaves room for another; a
 * slot that is shared leads to what it should.
 */
const PASSABLE = [
  'RELEASE_LOST',
  'RELEASE_IN_THE_WAY',
  'SLOT_SHARED',
] as const satisfies readonly SlotCode[];

/** `active` or `rollback` is nothing that Drover may touch. */
export type ForeignSlotCode = Exclude<SlotCode, (typeof PASSABLE)[number]>;

const isForeign = (code: string): code is ForeignSlotCode =>
  !PASSABLE.some((passable) => passable === code);

const FOREIGN_SLOT_CODES = Object.keys(SLOT_CODES).filter(isForeign);

/** Told of one version these are the end of one attempt; told of none they hold for every version. */
const HELD_CODES = [
  ...(['TRUST_EXPIRED', 'TRUST_LOST', 'STATE_NEWER', 'STATE_GONE', 'ROOT_REPLACED'] as const),
  ...(['ROBOT_ALREADY_RUNNING', 'FLOCK_MISSING', 'ROOT_LOCK_FAILED', 'SOCKET_UNUSABLE'] as const),
  ...(['ROOT_OTHER_COMPONENT', 'ROOT_NOT_MOUNTED'] as const),
  ...(['DISK_READ_ONLY', 'DISK_FULL', 'DISK_WRITE_FAILED', 'INTERNAL'] as const),
  ...(['PERMISSION_DENIED', 'NOT_A_FILE'] as const),
  // Its clock, or that of who announces: it takes nothing from what it holds stale or untimely.
  ...(['ANNOUNCEMENT_EXPIRED', 'ANNOUNCEMENT_AHEAD'] as const),
] as const satisfies readonly ErrorCode[];

/** Looked at before each download, so the version that it stopped does not matter. */
const ALWAYS = ['ROOT_SPLIT', 'SLOT_SHARED'] as const satisfies readonly ErrorCode[];

export type StandstillCode =
  ForeignSlotCode | (typeof HELD_CODES)[number] | (typeof ALWAYS)[number];

export const STANDSTILL_CODES: readonly StandstillCode[] = [
  ...FOREIGN_SLOT_CODES,
  ...HELD_CODES,
  ...ALWAYS,
];

/**
 * A disk that is full, read-only or broken ends the attempt at one version. It is a fault of that
 * robot, which tries again by itself, and counts again from then on.
 */
const DISK_CODES = [
  'DISK_SPACE_SHORT',
  'DISK_FULL',
  'DISK_READ_ONLY',
  'DISK_WRITE_FAILED',
  // A path of Drover's that its user may not change, or at which something else stands.
  ...(['PERMISSION_DENIED', 'NOT_A_FILE'] as const),
] as const satisfies readonly ErrorCode[];
type DiskCode = (typeof DISK_CODES)[number];

/** Why a robot cannot take a version that it would take: a fault of its own, until it is mended. */
export type UnableCode = StandstillCode | DiskCode;

export const diskCode = (code: string | null | undefined): DiskCode | null =>
  DISK_CODES.find((one) => one === code) ?? null;

export const isUnableCode = (code: string | null): code is UnableCode =>
  diskCode(code) !== null || STANDSTILL_CODES.some((one) => one === code);

/** Null for a component that takes what is offered, as far as it tells. */
export function standstillOf(told: {
  readonly last_error?:
    { readonly code: string; readonly version?: string | null | undefined } | null | undefined;
}): StandstillCode | null {
  const error = told.last_error ?? null;
  const code = STANDSTILL_CODES.find((one) => one === error?.code) ?? null;
  const isOfOneVersion = (error?.version ?? null) !== null;
  return code !== null && isOfOneVersion && !ALWAYS.some((one) => one === code) ? null : code;
}

/** Stand in the way of an announcement or of a download, not of the release that stands ready. */
const BACK_ALL_THE_SAME: readonly string[] = [
  ...ALWAYS,
  'ANNOUNCEMENT_EXPIRED',
  'ANNOUNCEMENT_AHEAD',
] satisfies readonly ErrorCode[];

/**
 * Why a component that a rollout was taken back from keeps the version all the same, until it is
 * mended or takes a fixed version; null when it goes back, as far as it tells.
 */
export function noWayBackOf(
  told: Parameters<typeof standstillOf>[0] & { readonly phase: string },
  version: string,
): ErrorCode | null {
  const code = told.last_error?.code;
  const of = told.last_error?.version ?? version;
  if (code === 'RECALL_IMPOSSIBLE' && of === version) return code;
  if (code === 'ROLLBACK_FAILED' && (told.phase === 'stuck' || told.phase === 'rolling_back')) {
    return code;
  }
  const still = standstillOf(told);
  return still !== null && BACK_ALL_THE_SAME.includes(still) ? null : still;
}
