/** The findings of `drover doctor`: one for each thing that was checked. Sans-I/O. */

import type { Problem } from '../../shared/base/errors.ts';
import type { Fact } from './facts.ts';

/** `skip`: the check could not be made. */
export type FindingVerdict = 'ok' | 'warn' | 'fail' | 'skip';

export interface Finding {
  /** The subject, for scripts: `trust`, `key`, `clock`. */
  readonly check: string;
  readonly verdict: FindingVerdict;
  readonly text: string;
  /** The next thing to do; null for ok, and for a skip that needs nothing. */
  readonly hint: string | null;
}

export const ok = (check: string, text: string): Finding => ({
  ...{ check, verdict: 'ok', text, hint: null },
});
export const caution = (check: string, text: string, hint: string): Finding => ({
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
