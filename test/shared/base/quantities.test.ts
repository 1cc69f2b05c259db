/** Durations and amounts of bytes as people write them. */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'node:test';
import { formatBytes, parseByteSize, parseRate } from '../../../shared/base/byte-sizes.ts';
import { countOf, oneLine } from '../../../shared/base/printable.ts';
import {
  DAY_MS,
  formatDurationMs,
  instantText,
  parseDurationMs,
  shortly,
  timeLeft,
  toSecond,
  withInstants,
} from '../../../shared/base/durations.ts';
import { daysUntil } from '../../../shared/rules/trust-life.ts';
import { assertRefused, verdictOf } from '../../helpers/refusal.ts';

test('durations have a unit', () => {
  const good = { '0': 0, '500ms': 500, '60s': 60_000, '30m': 1_800_000, '1.5h': 5_400_000 };
  for (const [text, ms] of Object.entries(good)) assert.equal(parseDurationMs(text), ms);
  assert.equal(parseDurationMs('365d'), 365 * 86_400_000);
  for (const bad of ['', '30', '-1s', '1 s', '1y', 's', '1e9s', '9999999999s', '1h30m']) {
    assertRefused('USAGE', () => parseDurationMs(bad));
  }
});

test('a duration that was formatted is read back as what it was', () => {
  fc.assert(
    fc.property(fc.nat(999_999_999), (ms) => {
      assert.equal(parseDurationMs(formatDurationMs(ms)), ms);
    }),
  );
});

test('the time left is shown in days, and in hours and minutes once there is less', () => {
  const DAY = 86_400_000;
  const [HOUR, MINUTE] = [DAY / 24, 60_000];
  const told = {
    '71 days': 71.5 * DAY,
    '2 days': 2 * DAY,
    '46 hours': 2 * DAY - HOUR - MINUTE - 1,
  };
  for (const [text, ms] of Object.entries(told)) assert.equal(timeLeft(ms), text);
  assert.equal(timeLeft(90 * 60_000), '90 minutes');
  assert.equal(timeLeft(60_000), '1 minute');
  assert.equal(timeLeft(-5), '0 minutes');
});

test('a span that has just begun is shown whole: 30 days are not 29 in their first minutes', () => {
  const told = { '30 days': 30 * DAY_MS - 5_000, '2 hours': 2 * 3_600_000 - 5_000 };
  for (const [text, ms] of Object.entries(told)) assert.equal(timeLeft(ms), text);
  assert.equal(timeLeft(5 * 60_000 - 900), '5 minutes');
});

test('a number has its noun: one file, two files, one entry', () => {
  assert.deepEqual(
    [
      countOf(1, 'file'),
      countOf(0, 'file'),
      countOf(1, 'entry', 'entries'),
      countOf(2, 'entry', 'entries'),
    ],
    ['1 file', '0 files', '1 entry', '2 entries'],
  );
});

test('amounts of bytes take powers of 1024', () => {
  const good = { '262144': 262_144, '256k': 262_144, '256KiB': 262_144, '2M': 2_097_152 };
  for (const [text, bytes] of Object.entries(good)) assert.equal(parseByteSize(text), bytes);
  assert.equal(parseByteSize('1.5G'), 1.5 * 1024 ** 3);
  for (const bad of ['', '-1', '1 k', 'k', '1x', '1e3', '999999999999999T', 'NaN']) {
    assertRefused('USAGE', () => parseByteSize(bad));
  }
  assert.equal(formatBytes(1_023), '1023 B');
  assert.equal(formatBytes(1_536), '1.5 KiB');
});

test('any other text is refused, never a number that is none', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      for (const parse of [parseByteSize, parseDurationMs]) {
        if (verdictOf(() => parse(text)) === 'taken') assert.ok(Number.isSafeInteger(parse(text)));
      }
    }),
  );
});

test('a rate is more than nothing, and nothing said is no bound', () => {
  assert.equal(parseRate(undefined), null);
  assert.equal(parseRate('20M'), 20 * 1024 ** 2);
  for (const bad of ['0', '-1', 'fast']) assertRefused('USAGE', () => parseRate(bad));
});

test('a coming instant is shown in seconds while they are few, and in hours when it is far off', () => {
  const told = [-5, 4_400, 119_000, 120_000, 20_021_000, 200_000_000].map(shortly);
  assert.deepEqual(told, ['0 s', '4 s', '119 s', '2 minutes', '5 hours', '2 days']);
});

test('an instant is shown in one form, whatever it came as', () => {
  const at = Date.UTC(2026, 10, 30, 9, 27, 6, 373);
  const text = '2026-11-30T09:27:06Z';
  assert.deepEqual(
    [instantText(at), toSecond('2026-11-30T09:27:06.373Z'), toSecond(text)],
    [text, text, text],
  );
  for (const other of ['', 'soon', '30 November 2026']) assert.equal(toSecond(other), other);
  assert.deepEqual(
    withInstants({ at, last_update: { ended_at: at, took_s: 3 }, parts: [{ wake_at: null, at }] }),
    { at: text, last_update: { ended_at: text, took_s: 3 }, parts: [{ wake_at: null, at: text }] },
  );
});

test('days that are left are the same as a number and in a sentence', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2 * DAY_MS, max: 800 * DAY_MS }), (leftMs) => {
      assert.equal(countOf(daysUntil(leftMs, 0), 'day'), timeLeft(leftMs));
    }),
  );
});

test('words of several lines are one line, and nothing in it steers a terminal', () => {
  assert.equal(oneLine(' arm is hot\r\n\n  at joint 3\n'), 'arm is hot / at joint 3');
  assert.equal(oneLine('a\n\u001b[2Jb'), 'a / \\u{1b}[2Jb');
});
