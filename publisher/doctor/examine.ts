/** All findings of `drover doctor` from the facts, as people read them. Sans-I/O. */

import { formatBytes } from '../../shared/base/byte-sizes.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { oneLine } from '../../shared/base/printable.ts';
import { checkFleet } from './check-fleet.ts';
import { checkReach } from './check-reach.ts';
import { checkTrustAndKeys } from './check-trust.ts';
import type { DoctorFacts } from './facts.ts';
import { about, caution, fail, ok, type Finding, type FindingVerdict } from './finding.ts';

export const examine = (facts: DoctorFacts): Finding[] => [
  checkPrograms(facts),
  ...checkDisk(facts),
  ...checkTrustAndKeys(facts),
  ...checkReach(facts),
  ...checkFleet(facts),
];

function checkPrograms({ node, drover }: DoctorFacts): Finding {
  const text = `drover ${drover} on Node.js ${node}`;
  const [major = 0, minor = 0] = node.split('.').map(Number);
  const [leastMajor, leastMinor] = LIMITS.nodeVersionMin;
  if (major > leastMajor || (major === leastMajor && minor >= leastMinor)) {
    return ok('programs', text);
  }
  const want = `${leastMajor}.${leastMinor}`;
  return fail('programs', `${text}, which is too old`, `install Node.js ${want} or later`);
}

function checkDisk({ disk }: DoctorFacts): readonly Finding[] {
  return about('disk', 'free space', disk, ({ folder, freeBytes }) => {
    const text = `${formatBytes(freeBytes)} are free in ${folder}`;
    const hint = 'a build writes a bundle and its deltas: make room, or work on another disk';
    if (freeBytes < LIMITS.doctorFreeBytesMin) return [fail('disk', text, hint)];
    return [freeBytes < LIMITS.doctorFreeBytesLow ? caution('disk', text, hint) : ok('disk', text)];
  });
}

export const hasFailed = (findings: readonly Finding[]): boolean =>
  findings.some(({ verdict }) => verdict === 'fail');

const TEXT_CHARS_MAX = 500;
const VERDICTS: readonly FindingVerdict[] = ['ok', 'warn', 'fail', 'skip'];

/** `ok|warn|fail|skip  sentence`, a hint below it, and a line with the numbers at the end. */
export function findingLines(findings: readonly Finding[]): string[] {
  const lines = findings.flatMap(({ verdict, text, hint }) => [
    `${verdict.padEnd(4)}  ${oneLine(text, TEXT_CHARS_MAX)}`,
    ...(hint === null ? [] : [`      hint: ${oneLine(hint, TEXT_CHARS_MAX)}`]),
  ]);
  const counts = VERDICTS.map(
    (one) => `${findings.filter(({ verdict }) => verdict === one).length} ${one}`,
  );
  return [...lines, counts.join(', ')];
}
