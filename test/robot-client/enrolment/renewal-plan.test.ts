/** The time at which a robot renews its certificate, also when its clock is wrong. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  afterFailure,
  certificateProblem,
  isAsked,
  NO_TRIES,
  renewsAt,
  lifeStateOf,
  tickMs,
  type CertificateFacts,
  type CertificateLife,
} from '../../../robot-client/enrolment/renewal-plan.ts';
import { toProblem } from '../../../shared/base/errors.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { LIMITS } from '../../../shared/base/limits.ts';

const DAY = 86_400_000;
const BEGIN = Date.parse('2026-11-30T12:00:00Z');
const life = (spread = 0, days = 90): CertificateLife => {
  return { notBefore: BEGIN, notAfter: BEGIN + days * DAY, spread };
};
const asks = (now: number, tries = NO_TRIES, monoMs = 0): boolean =>
  isAsked(life(), { now, monoMs, tries, refusal: null });
const FAILED = { failure: toProblem(new DroverError('BROKER_UNREACHABLE', 'ask: no route')) };

describe('the renewal of a certificate', () => {
  it('is due after two thirds of its life, and a fleet of one day spreads over a week', () => {
    assert.equal(renewsAt(life()), BEGIN + 60 * DAY);
    assert.equal(renewsAt(life(1)), BEGIN + 67.5 * DAY);
    assert.ok(!asks(BEGIN + 59 * DAY));
    assert.ok(asks(BEGIN + 60 * DAY));
    assert.equal(lifeStateOf(life(), BEGIN + 90 * DAY), 'expired');
    assert.ok(asks(BEGIN + 900 * DAY), 'the broker says whether it is too late');
  });

  it('is tried again with growing waits, and not for ever sooner or later than that', () => {
    const wait = (failed: number, random: number): number =>
      afterFailure(
        life(),
        { code: 'BROKER_UNREACHABLE', now: BEGIN + 61 * DAY, monoMs: 0 },
        { failed, random },
      ).nextAtMs;
    assert.ok(wait(0, 0) >= LIMITS.renewRetryMsMin);
    assert.ok(wait(0, 0.99) < 2 * LIMITS.renewRetryMsMin);
    assert.ok(wait(3, 0.99) > wait(1, 0.99));
    assert.ok(wait(1_000, 0.99) <= LIMITS.renewRetryMsMax);
    const tries = { failed: 1, nextAtMs: 500 };
    assert.ok(!asks(BEGIN + 61 * DAY, tries, 499));
    assert.ok(asks(BEGIN + 61 * DAY, tries, 500));
  });

  it('is asked for seldom while the clock of the robot is wrong, and soon when it was set', () => {
    const in1970 = { code: 'BROKER_UNREACHABLE', now: 0, monoMs: 0 };
    assert.ok(asks(0), 'the broker decides');
    const behind = afterFailure(life(), in1970, { failed: 0, random: 0 });
    assert.equal(behind.nextAtMs, LIMITS.renewRetryMsMax);
    const in2099 = { code: 'CERTIFICATE_NOT_DUE', now: BEGIN + 9000 * DAY, monoMs: 0 };
    const ahead = afterFailure(life(), in2099, { failed: 0, random: 0 });
    assert.equal(ahead.nextAtMs, LIMITS.renewRetryMsMax);
    assert.ok(!asks(BEGIN + DAY, ahead), 'nothing is due by a clock that is right');
  });

  it('has as many tries in a short life', () => {
    const short = { notBefore: BEGIN, notAfter: BEGIN + 40_000, spread: 0 };
    assert.equal(tickMs(short), 200);
    const failure = { code: 'BROKER_UNREACHABLE', now: BEGIN + 39_000, monoMs: 0 };
    const { nextAtMs } = afterFailure(short, failure, { failed: 9, random: 0.99 });
    assert.ok(nextAtMs <= 1_000);
  });
});

describe('the certificate of a robot', () => {
  const codeAt = (days: number, facts: Partial<CertificateFacts>) =>
    certificateProblem(
      { life: life(), renews: true, failure: null, refusal: null, ...facts },
      BEGIN + days * DAY,
    )?.code ?? null;

  it('is no problem while it can be renewed, and one when it cannot', () => {
    assert.equal(codeAt(70, FAILED), null);
    assert.equal(codeAt(80, {}), null);
    assert.equal(codeAt(80, FAILED), 'CERTIFICATE_EXPIRING');
    assert.equal(codeAt(91, FAILED), 'CERTIFICATE_EXPIRED');
    assert.equal(codeAt(-1, {}), 'CERTIFICATE_CLOCK');
  });

  it('that the broker refuses is asked about, and its answer is the problem, whatever its dates say', () => {
    const refusal = toProblem(new DroverError('CERTIFICATE_REFUSED', 'connect: not taken'));
    const now = { now: BEGIN + DAY, monoMs: 0, tries: NO_TRIES };
    assert.ok(isAsked(life(), { ...now, refusal }));
    assert.ok(!isAsked(life(), { ...now, refusal: null }), 'it is not due');
    const failure = toProblem(new DroverError('CERTIFICATE_UNKNOWN', 'renew: revoked'));
    assert.equal(codeAt(1, { refusal, failure }), 'CERTIFICATE_UNKNOWN');
    assert.equal(codeAt(1, { refusal, ...FAILED }), null, 'the link says that it is refused');
  });

  it('that was made by hand is one three weeks before its end', () => {
    assert.equal(codeAt(68, { renews: false }), null);
    assert.equal(codeAt(70, { renews: false }), 'CERTIFICATE_EXPIRING');
  });
});
