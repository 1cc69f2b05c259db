import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatBytes, parseByteSize } from '../../../shared/base/byte-sizes.ts';
import { formatDurationMs, parseDurationMs } from '../../../shared/base/durations.ts';
import { assertRefused, verdictOf } from '../../helpers/refusal.ts';

test('an amount of bytes is read in every spelling that people use', () => {
  for (const [text, bytes] of [
    ['0', 0],
    ['262144', 262_144],
    ['256k', 262_144],
    ['256KiB', 262_144],
    ['256KB', 262_144],
    ['2M', 2_097_152],
    ['1.5G', 1_610_612_736],
    ['1t', 2 ** 40],
  ] as const) {
    assert.equal(parseByteSize(text), bytes, text);
  }
  for (const text of [
    '',
    'M',
    '-1',
    '1e3',
    '1,5M',
    '1 M',
    ' 1',
    '1\n',
    '0x10',
    'NaN',
    '9'.repeat(16),
  ]) {
    assertRefused('USAGE', () => parseByteSize(text));
  }
});

test('any text is a whole amount of bytes or a refusal that quotes little of it', () => {
  const text = fc.oneof(fc.string(), fc.stringMatching(/^[0-9.]{1,20}[kmgtKMGTiB]{0,3}$/));
  fc.assert(
    fc.property(text, (given) => {
      if (verdictOf(() => parseByteSize(given)) !== 'taken') return;
      const bytes = parseByteSize(given);
      assert.ok(Number.isSafeInteger(bytes) && bytes >= 0, given);
      assert.match(formatBytes(bytes), /^\d+(\.\d)? ([KMGT]i)?B$/);
    }),
    { numRuns: 1_000 },
  );
  assertRefused('USAGE', () => parseByteSize('x'.repeat(10_000)), /^.{0,200}$/);
});

test('a span of time needs its unit, and is written in the largest one that fits', () => {
  for (const [text, ms] of [
    ['0', 0],
    ['500ms', 500],
    ['60s', 60_000],
    ['1.5h', 5_400_000],
    ['30m', 1_800_000],
    ['365d', 31_536_000_000],
    ['4w', 2_419_200_000],
  ] as const) {
    assert.equal(parseDurationMs(text), ms, text);
  }
  assert.equal(formatDurationMs(90_000), '90s');
  assert.equal(formatDurationMs(1_800_000), '30m');
  for (const text of ['', '30', 's', '-1s', '1 s', '1S', '1e3s', '1y', '1s\n', 'toString']) {
    assertRefused('USAGE', () => parseDurationMs(text), /want for example 60s/);
  }
});

test('any whole number of milliseconds that is written is read back', () => {
  fc.assert(
    fc.property(fc.nat(999_999_999), (ms) => {
      assert.equal(parseDurationMs(formatDurationMs(ms)), ms);
    }),
  );
  fc.assert(fc.property(fc.string(), (text) => void verdictOf(() => parseDurationMs(text))));
});
