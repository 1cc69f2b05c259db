import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CATALOGUE } from '../../../shared/base/error-catalogue.ts';
import { DroverError, isErrorCode, toProblem } from '../../../shared/base/errors.ts';

test('every code has a hint that says what to do, and an exit that fits it', () => {
  for (const [code, entry] of Object.entries(CATALOGUE)) {
    assert.match(code, /^[A-Z][A-Z0-9_]{1,63}$/);
    assert.match(entry.hint, /^[^ ].{8,}[^.]$/, code);
    assert.ok([1, 2, 3, 4, 5].includes(entry.exit), code);
  }
});

test('a hint that sends a person to look says with what', () => {
  const looks =
    /\b(check|look at|look whether|find out|read the|list what|see who|see that|see what)\b/;
  const with_ =
    /(--[a-z]|\bdrover\b|drover-|\bdmesg\b|\bdf -|\bls -|journalctl|findmnt|find |fuser|docs\/|message)/;
  const vague = Object.entries(CATALOGUE)
    .filter(([, { hint }]) => looks.test(hint) && !with_.test(hint))
    .map(([code, { hint }]) => `${code}: ${hint}`);
  assert.deepEqual(vague, []);
  for (const code of ['HTTP_UNAUTHORIZED', 'BROKER_AUTH_REFUSED', 'NOT_FOUND'] as const) {
    assert.match(CATALOGUE[code].hint, /--[a-z-]+ [A-Z]+/, code);
  }
});

test('a hint that explain may print says more than to type explain', () => {
  const circular = Object.entries(CATALOGUE).filter(([, { hint }]) => /robot explain/.test(hint));
  assert.deepEqual(circular, []);
  assert.match(CATALOGUE.ROLLBACK_FAILED.hint, /ls -l.*drover-robot retry/);
});

test('the hint of a link that was changed holds on probation and at rest', () => {
  assert.doesNotMatch(CATALOGUE.ACTIVE_CHANGED.hint, /probation/);
  assert.match(CATALOGUE.ACTIVE_CHANGED.hint, /drover-robot retry takes it after all/);
});

test('an error carries what its catalogue entry says, unless a better hint is given', () => {
  const error = new DroverError('TOO_OLD', 'take 2.0.0: too old', { facts: { got: '1.0.0' } });
  assert.deepEqual([error.fault, error.retry, error.exit], ['operator', 'never', 3]);
  assert.equal(error.hint, CATALOGUE.TOO_OLD.hint);
  assert.deepEqual(error.facts, { got: '1.0.0' });
  assert.equal(new DroverError('TOO_OLD', 'x', { hint: 'do y' }).hint, 'do y');
});

test('names that every object has are not codes', () => {
  for (const name of ['toString', 'constructor', '__proto__', 'hasOwnProperty', '']) {
    assert.equal(isErrorCode(name), false, name);
  }
  assert.equal(isErrorCode('TOO_OLD'), true);
});

test('any thrown value becomes a problem that can be sent', () => {
  const known = toProblem(new DroverError('TOO_OLD', 'take 2.0.0: too old'));
  assert.deepEqual(known, {
    code: 'TOO_OLD',
    message: 'take 2.0.0: too old',
    hint: CATALOGUE.TOO_OLD.hint,
  });
  fc.assert(
    fc.property(fc.anything({ withNullPrototype: false }), (thrown) => {
      fc.pre(!isUnprintable(thrown));
      const problem = toProblem(thrown);
      assert.equal(problem.code, 'INTERNAL');
      assert.equal(typeof problem.message, 'string');
    }),
  );
});

/** An object whose own toString is broken cannot be shown by anybody. */
function isUnprintable(value: unknown): boolean {
  try {
    return String(value).length < 0;
  } catch {
    return true; // this is the question that was asked
  }
}
