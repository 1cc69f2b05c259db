/** The record of an enrolled robot: its valid certificates, and the time of the next one. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { changesOf } from '../../../broker/enrolment/certificate-changes.ts';
import {
  afterRestoreOf,
  assertInGrace,
  firstCertified,
  goodOf,
  isRenewable,
  issueForClaim,
  renewal,
  seen,
  type Certified,
  type Draft,
  type Issued,
} from '../../../broker/enrolment/certificate-record.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { assertRefused, verdictOf } from '../../helpers/refusal.ts';

const NOW = Date.parse('2026-11-30T12:00:00Z');
const DAY = 86_400_000;
const LIFE = 90 * DAY;
const [FIRST, SECOND, THIEF] = ['a', 'b', 'c'].map((one) => sha256Hex(utf8(one))) as [
  ReturnType<typeof sha256Hex>,
  ReturnType<typeof sha256Hex>,
  ReturnType<typeof sha256Hex>,
];

const AUTHORITY = sha256Hex(utf8('authority'));
let serials = 0;
const draft = (now: number, more: Partial<Draft> = {}): Draft => ({
  serial: `4${(serials++).toString(16).padStart(31, '0')}`,
  ...{ now, lifeMs: LIFE, authorityEnds: NOW + 3650 * DAY, authority: AUTHORITY, ...more },
});
const shown = (one: Issued) => ({
  ...{ keySha256: one.key_sha256, serial: one.serial },
  ...{ notBefore: one.not_before, notAfter: one.not_after },
});
const must = <T>(value: T | null | undefined): T => {
  assert.ok(value);
  return value;
};
/** A robot with its first certificate. */
const enrolled = (now = NOW) => must(issueForClaim(firstCertified(FIRST, now), FIRST, draft(now)));
const renew = (before: Certified, key: typeof FIRST, now: number) =>
  renewal(before, { robot: 'amr-0001', key }, draft(now));

describe('the first certificate', () => {
  it('is the same one for the robot that asks again, and a fresh one when that is old', () => {
    const { after, issued } = enrolled();
    assert.deepEqual(issueForClaim(after, FIRST, draft(NOW + DAY)), { after, issued });
    const later = must(issueForClaim(after, FIRST, draft(NOW + 80 * DAY)));
    assert.notEqual(later.issued.serial, issued.serial);
    assert.deepEqual(goodOf(later.after), [later.issued]);
  });

  it('begins a little before now, and ends with the authority at the latest', () => {
    const { issued } = enrolled();
    assert.equal(issued.not_before, NOW - LIMITS.certificateBackdateMs);
    assert.equal(issued.not_after, NOW + LIFE);
    const short = draft(NOW, { authorityEnds: NOW + DAY });
    const last = must(issueForClaim(firstCertified(FIRST, NOW), FIRST, short));
    assert.equal(last.issued.not_after, NOW + DAY);
  });
});

describe('a renewal', () => {
  it('waits for half of the lifetime by the clock of the broker', () => {
    const { after } = enrolled();
    assertRefused('CERTIFICATE_NOT_DUE', () => renew(after, SECOND, NOW + 40 * DAY), /2027-01-1/);
    assert.equal(
      verdictOf(() => renew(after, SECOND, NOW + 46 * DAY)),
      'taken',
    );
  });

  it('keeps the old certificate until the new one is seen, and not a moment longer', () => {
    const { after: before, issued: old } = enrolled();
    const { after: between, issued: next } = renew(before, SECOND, NOW + 60 * DAY);
    assert.deepEqual(goodOf(between), [old, next]);
    assert.deepEqual(renew(between, SECOND, NOW + 61 * DAY).issued, next, 'the answer was lost');
    assert.equal(seen(between, shown(old)), between);
    const after = must(seen(between, shown(next)));
    assert.deepEqual(goodOf(after), [next]);
    assert.equal(seen(after, shown(old)), null);
    assert.deepEqual(
      changesOf(between, after).map(({ change, serial, isEnd }) => [change, serial, isEnd]),
      [['replaced', old.serial, true]],
    );
    assert.equal(issueForClaim(after, FIRST, draft(NOW + 61 * DAY)), null, 'nor by its claim');
  });

  it('with another key takes the place of one that was never used', () => {
    const { after: before, issued: old } = enrolled();
    const lost = renew(before, THIEF, NOW + 60 * DAY);
    const { after, issued } = renew(lost.after, SECOND, NOW + 60 * DAY);
    assert.deepEqual(goodOf(after), [old, issued]);
    assert.equal(seen(after, shown(lost.issued)), null);
  });

  it('is possible for some time after the end, and then needs a person', () => {
    const { after, issued } = enrolled();
    const end = issued.not_after + LIMITS.certificateGraceMs;
    assert.equal(
      verdictOf(() => assertInGrace('amr-0001', issued.not_after, end)),
      'taken',
    );
    assertRefused('CERTIFICATE_TOO_OLD', () =>
      assertInGrace('amr-0001', issued.not_after, end + 1000),
    );
    assert.equal(
      verdictOf(() => renew(after, SECOND, end)),
      'taken',
    );
  });

  it('is due at once for a certificate from the future, which a wrong clock made', () => {
    const { after, issued } = enrolled(NOW + 1000 * DAY);
    assert.ok(isRenewable(issued, NOW));
    assert.equal(
      verdictOf(() => renew(after, SECOND, NOW)),
      'taken',
    );
  });
});

describe('a record from a backup', () => {
  const { after: before, issued: old } = enrolled();
  const renewed = renew(before, SECOND, NOW + 60 * DAY);
  const later = shown(renewed.issued);

  it('takes what the authority has signed since, and what it knows', () => {
    const restored = afterRestoreOf(before);
    assert.equal(seen(before, later), null, 'without a restore an unknown one is a stranger');
    const after = must(seen(restored, later));
    const { authority: _, ...known } = renewed.issued;
    assert.deepEqual(goodOf(after), [known], 'it does not know which authority of several');
    assert.equal(changesOf(restored, after)[0]?.change, 'adopted');
    assert.equal(seen(after, shown(old)), null);
    assert.equal(seen(restored, shown(old)), restored);
  });

  it('takes none that is older than what it has', () => {
    const restored = afterRestoreOf(must(seen(renewed.after, later)));
    assert.equal(seen(restored, shown(old)), null);
    assert.equal(seen(restored, { ...later, serial: `4${'9'.repeat(31)}` }), null);
  });
});
