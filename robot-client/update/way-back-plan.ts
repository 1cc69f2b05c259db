/**
 * Decides what an update can be undone to, before its swap and when it is undone. A release that
 * lost files is no way back while a whole one is there. Sans-I/O.
 */

import { compareVersions } from '../../shared/base/version.ts';
import type { ReleaseCheck } from '../install/seal.ts';
import { versionOf, wayBackOf, type Slots } from '../install/slots.ts';
import { failedOf, type MachineState } from './state.ts';

export interface WayBack {
  readonly previousVersion: string | null;
  /** The release of `active` when that is not the way back. */
  readonly leftVersion?: string | null;
}

export const wayBackIn = ({ previousVersion, leftVersion = null }: WayBack) => ({
  previousVersion,
  leftVersion,
});

type Found = ReleaseCheck['kind'];
const isLost = (found: Found): boolean => found === 'damaged' || found === 'absent';

/**
 * Before the swap. The running release is the way back, unless it lost files and the one in
 * `rollback` is whole: the swap leaves `rollback` where it is then.
 */
export function planWayBack(slots: Slots, found: { active: Found; rollback: Found }): WayBack {
  const [active, rollback] = [versionOf(slots.active), versionOf(slots.rollback)];
  const isBetter = found.active === 'damaged' && found.rollback === 'whole';
  if (active === null || rollback === null || rollback === active || !isBetter) {
    return { previousVersion: wayBackOf(slots) };
  }
  return { previousVersion: rollback, leftVersion: active };
}

/** True when the swap to a version leaves `rollback` as it is: it is the way back of the job. */
export function keepsRollback(slots: Slots, previousVersion: string | null): boolean {
  const [active, rollback] = [versionOf(slots.active), versionOf(slots.rollback)];
  return previousVersion !== null && rollback === previousVersion && active !== previousVersion;
}

/** True when `active` leads to something else than what is to be undone, or was left for it. */
export function isOther(
  active: string | null,
  job: { readonly version: string; readonly leftVersion?: string | null },
): boolean {
  return active !== null && active !== job.version && active !== job.leftVersion;
}

export interface ReturnFacts {
  /** The version to go back to, and what is left of it. */
  readonly previous: string;
  readonly found: Found;
  /** The active release; `absent` when there is none. */
  readonly runs: Found;
  /** Newest whole release that is older than what is undone; null when there is none. */
  readonly spare: string | null;
}

/**
 * At the undo: an older whole release takes the place of one that lost files. Without one, a whole
 * version is not left for one that lost files, even if the whole one is not healthy: it would be
 * unknown how the other one runs.
 * @returns null to stay
 */
export function planReturn({ previous, found, runs, spare }: ReturnFacts): string | null {
  if (!isLost(found)) return previous;
  if (spare !== null) return spare;
  if (isLost(runs)) return previous;
  return found === 'damaged' ? null : previous;
}

/** The newest of whole releases that is older than a version and did not fail here. */
export function chooseOlder(
  whole: readonly string[],
  { below, failed }: { readonly below: string; readonly failed: readonly string[] },
): string | null {
  const older = whole.filter((one) => compareVersions(one, below) < 0 && !failed.includes(one));
  return older.sort((one, other) => compareVersions(other, one))[0] ?? null;
}

/**
 * The newest whole release that this robot confirmed and that did not fail here, possibly newer
 * than the tried one: a release that never ran here is no way back.
 * @param tried the linked release, and the one left for it
 */
export function chooseConfirmed(
  whole: readonly string[],
  state: MachineState,
  tried: readonly (string | null)[],
): string | null {
  const { highest, installed, lastActive, job } = state;
  const ran = [highest, lastActive, installed?.version ?? null];
  // The version of a job that is under way was not confirmed by it.
  const isConfirmed = (one: string): boolean =>
    ran.includes(one) ||
    (highest !== null && compareVersions(one, highest) < 0 && one !== job?.version);
  const failed = failedOf(state);
  const may = whole.filter((one) => isConfirmed(one) && ![...failed, ...tried].includes(one));
  return may.sort((one, other) => compareVersions(other, one))[0] ?? null;
}
