import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LIMITS } from '../../../shared/base/limits.ts';
import {
  daysUntil,
  endedAgo,
  isTrustEnding,
  isTrustExpired,
  trustProblem,
} from '../../../shared/rules/trust-life.ts';

const NOW = Date.parse('2026-06-01T00:00:00Z');
const DAY_MS = 86_400_000;
const codeAt = (leftMs: number): string | undefined =>
  trustProblem({ version: 3, expires: NOW + leftMs }, NOW)?.code;

test('a trust is reported while little of it is left, and when it is over', () => {
  assert.equal(codeAt(LIMITS.trustNoticeMs + 1), undefined);
  assert.equal(codeAt(LIMITS.trustNoticeMs), 'TRUST_EXPIRING');
  assert.equal(codeAt(1), 'TRUST_EXPIRING');
  assert.equal(codeAt(0), 'TRUST_EXPIRED');
  assert.match(
    trustProblem({ version: 3, expires: NOW + 5 * DAY_MS }, NOW)?.message ?? '',
    /5 days/,
  );
  assert.equal(daysUntil(NOW - 1, NOW), -1);
});

test('expired documents count as ending too, and exactly those that end have a text', () => {
  fc.assert(
    fc.property(fc.integer({ min: -400 * DAY_MS, max: 400 * DAY_MS }), (leftMs) => {
      const trust = { version: 1, expires: NOW + leftMs };
      if (isTrustExpired(trust, NOW)) assert.ok(isTrustEnding(trust, NOW));
      assert.equal(trustProblem(trust, NOW) !== null, isTrustEnding(trust, NOW));
    }),
  );
});

test('days that are left, or gone, are the same as a number and in words', () => {
  const DAY = 86_400_000;
  const told = [0, 1, DAY - 1, DAY, DAY + 16_000, 2 * DAY - 1, 2.5 * DAY].map((since) => [
    daysUntil(NOW - since, NOW),
    endedAgo(NOW - since, NOW),
  ]);
  assert.deepEqual(told, [
    ...[1, 2, 3].map(() => [-1, 'less than a day ago']),
    ...[1, 2, 3].map(() => [-1, '1 day ago']),
    [-2, '2 days ago'],
  ]);
  assert.deepEqual([daysUntil(NOW + 1, NOW), daysUntil(NOW + DAY, NOW)], [0, 1]);
});
