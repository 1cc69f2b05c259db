/**
 * Decides the `seq` of the next announcement: above the one before it and above what robots report,
 * and never so far ahead that robots or brokers would refuse it. Reports are not signed: a report
 * too far ahead is shown to the operator and ignored. Sans-I/O.
 */

import { instantText } from '../../shared/base/durations.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { RobotState } from '../../shared/formats/messages.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { isAhead, seqAt } from '../../shared/rules/freshness.ts';

/**
 * Also above every other announcement of the second before.
 * @param reported by robots, 0 for none
 */
export function nextSeq(previous: number, now: EpochMs, reported = 0): number {
  return Math.max(previous + 1, reported + 1, seqAt('announcement', now));
}

export interface ReportedSeq {
  /** The highest that counts; 0 for none. */
  readonly seq: number;
  /** Robots that report one too far ahead, which is ignored. */
  readonly ahead: readonly string[];
}

/** Of robots that follow this root: under another root they have another floor. */
export function reportedSeq(
  states: readonly RobotState[],
  trust: Pick<TrustRoot, 'version'>,
  now: EpochMs,
): ReportedSeq {
  const latest = seqAt('announcement', now + LIMITS.seqReportedAheadMsMax);
  const told = states.filter((one) => one.trust_version === trust.version);
  const numbers = told.map((one) => one.announcement_seq ?? 0).filter((seq) => seq <= latest);
  const ahead = told.filter((one) => (one.announcement_seq ?? 0) > latest);
  return { seq: Math.max(0, ...numbers), ahead: ahead.map((one) => one.robot_id) };
}

/**
 * The `seq` that the next one must exceed: 0 when the current announcement is ahead of the clock,
 * since no robot with a right clock has taken it.
 * @throws DroverError ANNOUNCEMENT_AHEAD when robots have taken it all the same: our clock is
 *   wrong, or a key is stolen
 */
export function seqToFollow(
  previous: { readonly seq: number; readonly issued_at: EpochMs },
  { robots, now }: { readonly robots: readonly RobotState[]; readonly now: EpochMs },
): number {
  if (!isAhead({ kind: 'announcement', ...previous }, now)) return previous.seq;
  const taken = robots.find((one) => (one.announcement_seq ?? 0) >= previous.seq);
  if (!taken) return 0;
  const got = `got seq ${previous.seq}, now ${instantText(now)}`;
  const message = `announce: robot ${taken.robot_id} has taken an announcement that is ahead of this clock (${got})`;
  throw new DroverError('ANNOUNCEMENT_AHEAD', message);
}

/**
 * For a list that is signed again under another root: above the one before, unless that is ahead.
 * @param previous 0 when no key that signed the one before stays: its floor goes with it
 */
export function seqUnderNextRoot(previous: number, now: EpochMs): number {
  const seq = nextSeq(previous, now);
  const isFar = isAhead({ kind: 'announcement', seq, issued_at: now }, now);
  return isFar ? seqAt('announcement', now) : seq;
}
