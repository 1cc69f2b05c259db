/** All findings of `drover doctor` from the facts, as people read them. Sans-I/O. */

import { printable } from '../../shared/base/printable.ts';
import { checkFleet } from './check-fleet.ts';
import { checkHere } from './check-here.ts';
import { checkReach } from './check-reach.ts';
import type { DoctorFacts } from './facts.ts';
import type { Finding, FindingVerdict } from './finding.ts';

export const examine = (facts: DoctorFacts): Finding[] => [
  ...checkHere(facts),
  ...checkReach(facts),
  ...checkFleet(facts),
];

export const hasFailed = (findings: readonly Finding[]): boolean =>
  findings.some(({ verdict }) => verdict === 'fail');

const TEXT_CHARS_MAX = 500;
const VERDICTS: readonly FindingVerdict[] = ['ok', 'warn', 'fail', 'skip'];

/** `ok|warn|fail|skip  sentence`, a hint below it, and a line with the numbers at the end. */
export function findingLines(findings: readonly Finding[]): string[] {
  const lines = findings.flatMap(({ verdict, text, hint }) => [
    `${verdict.padEnd(4)}  ${printable(text, TEXT_CHARS_MAX)}`,
    ...(hint === null ? [] : [`      hint: ${printable(hint, TEXT_CHARS_MAX)}`]),
  ]);
  const counts = VERDICTS.map(
    (one) => `${findings.filter(({ verdict }) => verdict === one).length} ${one}`,
  );
  return [...lines, counts.join(', ')];
}
