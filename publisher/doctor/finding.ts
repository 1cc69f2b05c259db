/** The findings of `drover doctor`, how they are shown, and the verdict on all. Sans-I/O. */

import type { Problem } from '../../shared/base/errors.ts';
import { printable } from '../../shared/base/printable.ts';
import type { Fact } from './facts.ts';

/** `skip`: the check could not be made. */
export type Verdict = 'ok' | 'warn' | 'fail' | 'skip';

export interface Finding {
  /** The subject, for scripts: `trust`, `key`, `clock`. */
  readonly check: string;
  readonly verdict: Verdict;
  readonly text: string;
  /** The next thing to do; null for ok, and for a skip that needs nothing. */
  readonly hint: string | null;
}

export const ok = (check: string, text: string): Finding => ({
  ...{ check, verdict: 'ok', text, hint: null },
});
export const warn = (check: string, text: string, hint: string): Finding => ({
  ...{ check, verdict: 'warn', text, hint },
});
export const fail = (check: string, text: string, hint: string): Finding => ({
  ...{ check, verdict: 'fail', text, hint },
});
export const skip = (check: string, what: string, why: string): Finding => ({
  ...{ check, verdict: 'skip', text: `${what}: ${why}`, hint: null },
});

export const problemText = ({ message, code }: Pick<Problem, 'message' | 'code'>): string =>
  `${message} (${code})`;

/** The findings about a fact; one finding when it failed or is not known. */
export function about<T>(
  check: string,
  what: string,
  fact: Fact<T>,
  judge: (value: T) => readonly Finding[],
): readonly Finding[] {
  switch (fact.kind) {
    case 'known':
      return judge(fact.value);
    case 'failed':
      return [fail(check, problemText(fact.problem), fact.problem.hint)];
    case 'unknown':
      return [skip(check, what, fact.why)];
  }
}

export const hasFailed = (findings: readonly Finding[]): boolean =>
  findings.some(({ verdict }) => verdict === 'fail');

const TEXT_CHARS_MAX = 500;
const VERDICTS: readonly Verdict[] = ['ok', 'warn', 'fail', 'skip'];

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
