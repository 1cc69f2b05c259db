/**
 * Codes with which a component takes no update at all until a person fixes what they name, or
 * cannot go back. The robot stops on them, the publisher forecasts by them, and a rollout waits for
 * such robots by name. Sans-I/O.
 */

import type { ErrorCode } from '../base/error-catalogue.ts';
import { SLOT_CODES } from '../base/error-catalogue-slots.ts';

type SlotCode = keyof typeof SLOT_CODES;

/**
 * A release that is gone, or a folder in the place of one version, leaves room for another version;
 * a shared slot leads where it should.
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

/** With a version these end one attempt; without one they hold for every version. */
const HELD_CODES = [
  ...(['TRUST_EXPIRED', 'TRUST_LOST', 'STATE_NEWER', 'STATE_GONE', 'ROOT_REPLACED'] as const),
  ...(['ROBOT_ALREADY_RUNNING', 'FLOCK_MISSING', 'ROOT_LOCK_FAILED', 'SOCKET_UNUSABLE'] as const),
  ...(['ROOT_OTHER_COMPONENT', 'ROOT_NOT_MOUNTED'] as const),
  ...(['DISK_READ_ONLY', 'DISK_FULL', 'DISK_WRITE_FAILED', 'INTERNAL'] as const),
  ...(['PERMISSION_DENIED', 'NOT_A_FILE'] as const),
  // Its clock, or the publisher's: it takes nothing that it considers expired or from the future.
  ...(['ANNOUNCEMENT_EXPIRED', 'ANNOUNCEMENT_AHEAD'] as const),
  // With its clock no place of a budget is in time.
  'ROBOT_CLOCK_OFF',
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
  // A path of Drover's that its user may not change, or that something else occupies.
  ...(['PERMISSION_DENIED', 'NOT_A_FILE'] as const),
] as const satisfies readonly ErrorCode[];
type DiskCode = (typeof DISK_CODES)[number];

/**
 * Why a robot cannot take a version that it would take: a fault of its own, until a person fixes
 * it.
 */
export type UnableCode = StandstillCode | DiskCode;

export const diskCode = (code: string | null | undefined): DiskCode | null =>
  DISK_CODES.find((one) => one === code) ?? null;

export const isUnableCode = (code: string | null): code is UnableCode =>
  diskCode(code) !== null || STANDSTILL_CODES.some((one) => one === code);

/** Null for a component that takes offers, as far as its report shows. */
export function standstillOf(told: {
  readonly last_error?:
    { readonly code: string; readonly version?: string | null | undefined } | null | undefined;
}): StandstillCode | null {
  const error = told.last_error ?? null;
  const code = STANDSTILL_CODES.find((one) => one === error?.code) ?? null;
  const isOfOneVersion = (error?.version ?? null) !== null;
  return code !== null && isOfOneVersion && !ALWAYS.some((one) => one === code) ? null : code;
}

/** These prevent an announcement or a download, but not a swap to a release that is ready. */
const BACK_ALL_THE_SAME: readonly string[] = [
  ...ALWAYS,
  'ANNOUNCEMENT_EXPIRED',
  'ANNOUNCEMENT_AHEAD',
  'ROBOT_CLOCK_OFF',
] satisfies readonly ErrorCode[];

/**
 * Why a component keeps the version of a recalled rollout until a person fixes it or it takes a
 * fixed version; null when it goes back, as far as its report shows.
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
