/**
 * Decides whether the version that a component names is known to run. The robot decides by it what
 * another bundle may rely on; the broker, the page and the publisher by it count and forecast. A
 * version that is in doubt counts as no version at all: not as the old one, not as the new one, and
 * not as nothing. Sans-I/O.
 */

import type { ErrorCode } from '../base/error-catalogue.ts';
import { SLOT_CODES } from '../base/error-catalogue-slots.ts';
import type { ComponentState, RobotPhase } from '../formats/messages.ts';

export type RunningFact =
  | { readonly kind: 'runs'; readonly version: string }
  /** Nothing is installed. */
  | { readonly kind: 'nothing' }
  /** A swap, a probation or a way back is under way: `version` is where `active` leads now. */
  | { readonly kind: 'changing'; readonly version: string | null }
  /** @member code why it is not known */
  | { readonly kind: 'unknown'; readonly code: string };

export interface RunningFacts {
  /** Version that `active` leads to. */
  readonly version: string | null;
  readonly phase: RobotPhase;
  /** Code of why it is not known that this version runs; null when it is known. */
  readonly doubt: string | null;
}

/** Phases after which either version may run. */
const CHANGING: readonly RobotPhase[] = [
  ...(['swapping', 'rebooting', 'probation', 'rolling_back', 'reverting'] as const),
];

export const isChanging = (phase: RobotPhase): boolean => CHANGING.includes(phase);

export function runningOf({ version, phase, doubt }: RunningFacts): RunningFact {
  // It could not go back: part of the new version may run, or of the old one, or neither.
  if (phase === 'stuck') return { kind: 'unknown', code: 'ROLLBACK_FAILED' };
  if (isChanging(phase)) return { kind: 'changing', version };
  if (doubt !== null) return { kind: 'unknown', code: doubt };
  return version === null ? { kind: 'nothing' } : { kind: 'runs', version };
}

/**
 * Problems of what a module or the boot loader looks after that leave no doubt about the version:
 * it runs on trial, or its application does not start.
 */
const CERTAIN: readonly string[] = [
  'BOOT_NOT_CONFIRMED',
  'START_FAILED',
] as const satisfies readonly ErrorCode[];

/** @param code of a problem with what a module or the boot loader looks after; null for none */
export const doubtIn = (code: string | null): string | null =>
  code === null || CERTAIN.includes(code) ? null : code;

/** Agents before `version_doubt` report these, without a version, while they do not know. */
const DOUBT_CODES: readonly string[] = [
  ...(['MODULE_UNKNOWN', 'MODULE_DIFFERS', 'MODULE_MISSING', 'MODULE_FAILED'] as const),
  ...(['MODULE_BUSY', 'MODULE_TIMED_OUT', 'BOOT_VERSION_UNKNOWN', 'BOOT_SLOT_UNKNOWN'] as const),
  ...(['BOOT_STATE_DAMAGED', 'BOOT_TOOL_FAILED', 'BOOT_MISSING'] as const),
  ...(['ROOT_REPLACED', 'ROOT_NOT_MOUNTED', 'ROOT_OTHER_COMPONENT', 'STATE_NEWER'] as const),
] as const satisfies readonly ErrorCode[];

type Told = Pick<ComponentState, 'version' | 'phase'> &
  Partial<Pick<ComponentState, 'last_error' | 'version_doubt'>>;

/** Reads from a report whether the version that it names runs. */
export function runningIn(told: Told): RunningFact {
  const { version, phase } = told;
  return runningOf({ version, phase, doubt: told.version_doubt ?? doubtOfError(told) });
}

/** A problem with a version is of one update, which is over: the version before runs. */
function doubtOfError({ version, last_error: error = null }: Told): string | null {
  if (error === null || (error.version ?? null) !== null) return null;
  const isNoRelease = version === null && error.code in SLOT_CODES;
  return isNoRelease || DOUBT_CODES.includes(error.code) ? error.code : null;
}

/** Stands in counts, tables and metrics for a version. No version has this text. */
export const UNKNOWN = 'unknown';

/** The version for counts, tables and metrics; null when nothing is installed. */
export const versionShown = (told: Told): string | null =>
  doubtTold(told) === null ? told.version : UNKNOWN;

/** Code of why it is not known that the reported version runs; null when it is. */
export function doubtTold(told: Told): string | null {
  const running = runningIn(told);
  return running.kind === 'unknown' ? running.code : null;
}
