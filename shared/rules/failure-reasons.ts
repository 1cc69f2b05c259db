/**
 * Groups failures by their reason. Two robots have the same reason when code and message are equal
 * but for what differs from robot to robot: numbers, hashes, addresses, temporary folders, the name
 * of the robot. Messages come from robots, so they are evidence for people only. Sans-I/O.
 */

import { isId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { printable } from '../base/printable.ts';

/** One robot whose update failed. */
export interface Failure {
  readonly robot: string;
  readonly code: string;
  readonly message: string;
}

export interface FailureGroup {
  readonly fingerprint: string;
  readonly code: string;
  /** Of the first robot, by id. */
  readonly message: string;
  /** How many robots failed so. */
  readonly robots: number;
  /** The first of them, by id. */
  readonly named: readonly string[];
}

type Rule = readonly [pattern: RegExp, replacement: string];

const RULES: readonly Rule[] = [
  [/(?:\/private)?\/(?:tmp|var\/tmp|run\/user\/\d+|dev\/shm)\/[^\s'"():,;]+/gu, 'PATH'],
  [/\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b/giu, 'HEX'],
  [/\b0x[0-9a-f]+\b/giu, 'HEX'],
  [/\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b/giu, 'HEX'],
  // Words such as `facade` have letters only, and numbers digits only: a hash has both.
  [/\b(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{7,}\b/giu, 'HEX'],
  [/\d+(?:[.,:]\d+)*/gu, 'N'],
  [/\s+/gu, ' '],
];

/** Code and normalized message: equal for two failures with one reason. */
export function fingerprintOf({ robot, code, message }: Failure): string {
  let text = printable(message, LIMITS.failureMessageCharsMax);
  if (isId(robot)) text = text.replace(new RegExp(`(?<![\\w-])${robot}(?![\\w-])`, 'gu'), 'ROBOT');
  for (const [pattern, replacement] of RULES) text = text.replace(pattern, replacement);
  return `${code} ${text.trim()}`;
}

/** The largest group first; groups of one size by fingerprint. At most `failureGroupsMax`. */
export function groupFailures(failures: readonly Failure[]): FailureGroup[] {
  const groups = new Map<string, Failure[]>();
  for (const failure of failures) {
    const fingerprint = fingerprintOf(failure);
    const group = groups.get(fingerprint);
    if (group) group.push(failure);
    else groups.set(fingerprint, [failure]);
  }
  const shown = [...groups].map(([fingerprint, members]) => groupOf(fingerprint, members));
  const ordered = shown.sort(
    (a, b) => b.robots - a.robots || (a.fingerprint < b.fingerprint ? -1 : 1),
  );
  return ordered.slice(0, LIMITS.failureGroupsMax);
}

function groupOf(fingerprint: string, members: readonly Failure[]): FailureGroup {
  const sorted = members.toSorted((a, b) => (a.robot < b.robot ? -1 : 1));
  const [first] = sorted;
  return {
    fingerprint,
    code: first?.code ?? '',
    message: printable(first?.message ?? '', LIMITS.failureMessageCharsMax),
    robots: sorted.length,
    named: sorted.slice(0, LIMITS.failureNamedMax).map(({ robot }) => robot),
  };
}

/** `7 robots, same reason: exit 1 (no camera) (HOOK_FAILED)`; null where no two robots share one. */
export function sameReason(groups: readonly FailureGroup[]): string | null {
  const [largest] = groups;
  if (!largest || largest.robots < 2) return null;
  const { robots, code, message } = largest;
  return `${robots} robots, same reason: ${message} (${code})`;
}
