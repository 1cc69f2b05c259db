/** Typed refusals: what every trust boundary owes its caller instead of an exception trace. */

import assert from 'node:assert/strict';
import type { ErrorCode } from '../../shared/base/error-catalogue.ts';
import { DroverError } from '../../shared/base/errors.ts';

/** Runs something that has to be refused with this code; the message must match as well. */
export function assertRefused(code: ErrorCode, run: () => unknown, words: RegExp = /./): void {
  assert.throws(run, (error) => {
    assert.ok(error instanceof DroverError, `not a refusal: ${String(error)}`);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, words);
    return true;
  });
}

/** The code of the refusal, or `taken`; anything else that is thrown fails the test. */
export function verdictOf(run: () => unknown): ErrorCode | 'taken' {
  try {
    run();
    return 'taken';
  } catch (error) {
    if (error instanceof DroverError) return error.code;
    throw error;
  }
}
