import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { z } from 'zod';
import {
  base64ToBytes,
  bytesToBase64,
  bytesToHex,
  hexToBytes,
  utf8,
} from '../../../shared/crypto/bytes.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { printable } from '../../../shared/base/printable.ts';
import { base64Schema, instantSchema, parseDocument } from '../../../shared/formats/schema.ts';
import { parseSiteAnswer } from '../../../shared/formats/http-api.ts';
import { compareVersions, isVersion, versionMeets } from '../../../shared/base/version.ts';
import { assertRefused } from '../../helpers/refusal.ts';

const takes = (schema: z.ZodType, value: unknown) => schema.safeParse(value).success;

test('an instant is one UTC text of a day that exists', () => {
  assert.equal(instantSchema.parse('2026-01-31T23:59:59Z'), Date.UTC(2026, 0, 31, 23, 59, 59));
  assert.equal(
    instantSchema.parse('2024-02-29T00:00:00.123Z'),
    Date.UTC(2024, 1, 29, 0, 0, 0, 123),
  );
  for (const text of [
    '2026-02-29T00:00:00Z',
    '2026-02-30T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-01-01T00:60:00Z',
    '2026-01-01T00:00:60Z',
    '2026-01-01T00:00:00+01:00',
    '2026-01-01T00:00:00z',
    '2026-01-01 00:00:00Z',
    '2026-01-01T00:00:00.1Z',
    '2026-01-01',
    '+002026-01-01T00:00:00Z',
    '2026-01-01T00:00:00Z\n',
    '',
    0,
    null,
  ]) {
    assert.equal(takes(instantSchema, text), false, String(text));
  }
});

test('an instant reads back what it was written from', () => {
  const instant = fc.date({
    min: new Date('0001-01-01T00:00:00Z'),
    max: new Date('9999-12-31T23:59:59Z'),
    noInvalidDate: true,
  });
  fc.assert(
    fc.property(instant, (date) => {
      assert.equal(instantSchema.parse(date.toISOString()), date.getTime());
    }),
  );
});

test('any text is an instant or refused, never an exception', () => {
  fc.assert(fc.property(fc.anything(), (value) => void instantSchema.safeParse(value)));
});

test('base64 has one text for each bytes, and only that is taken', () => {
  const schema = base64Schema(40);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), (bytes) => {
      const text = bytesToBase64(bytes);
      assert.deepEqual(schema.parse(text), bytes);
      assert.deepEqual(base64ToBytes(text), bytes);
    }),
  );
  fc.assert(
    fc.property(fc.base64String({ maxLength: 60 }), fc.string({ maxLength: 2 }), (text, more) => {
      const decoded = base64ToBytes(text + more);
      if (decoded) assert.equal(bytesToBase64(decoded), text + more);
    }),
  );
  for (const text of ['', 'QQ', 'QR==', 'QQ=', 'QQ===', 'Q_==', 'QQ==\n', 'Q Q=', '====']) {
    assert.equal(takes(schema, text), false, text);
  }
  assert.equal(takes(schema, bytesToBase64(new Uint8Array(41))), false);
  assert.equal(takes(schema, 'A'.repeat(10_000_000)), false);
});

test('hex has one text for each bytes, in lower case', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      assert.deepEqual(hexToBytes(bytesToHex(bytes)), bytes);
    }),
  );
  for (const text of ['A0', 'a', '0x', 'a0 ', 'g0', 'a0\n']) {
    assert.equal(hexToBytes(text), null, text);
  }
});

test('a version is strict semver and nothing else that semver forgives', () => {
  for (const text of [
    '0.0.0',
    '1.4.2',
    '1.0.0-rc.1',
    '1.0.0-alpha-1.x+build.7',
    '10.20.30+g1a2b',
  ]) {
    assert.equal(isVersion(text), true, text);
  }
  for (const text of [
    'v1.2.3',
    '=1.2.3',
    ' 1.2.3',
    '1.2.3 ',
    '1.2.3\n',
    '1.2',
    '01.2.3',
    '1.2.3-01',
    '1.2.3-',
    '1.2.3/../x',
    '1.2.3+a/b',
    '..',
    '',
    '99999999999999999999.0.0',
    `1.0.0-${'a'.repeat(LIMITS.versionLengthMax)}`,
  ]) {
    assert.equal(isVersion(text), false, JSON.stringify(text));
  }
});

test('every version that is taken is one folder name', () => {
  const part = fc.stringMatching(/^[0-9A-Za-z.+\-/\\ \n\0]{0,12}$/);
  fc.assert(
    fc.property(fc.nat(), fc.nat(), part, (major, minor, rest) => {
      const text = `${major}.${minor}.0${rest}`;
      if (isVersion(text)) assert.match(text, /^\d+\.\d+\.[0-9A-Za-z.+-]+$/);
    }),
    { numRuns: 2_000 },
  );
});

test('newer is a strict order and meets is its reflexive one', () => {
  const version = fc
    .tuple(fc.nat(3), fc.nat(3), fc.nat(3), fc.constantFrom('', '-rc.1', '-rc.2', '+b1'))
    .map(([a, b, c, rest]) => `${a}.${b}.${c}${rest}`);
  fc.assert(
    fc.property(version, version, (a, b) => {
      assert.equal(Math.sign(compareVersions(a, b)), 0 - Math.sign(compareVersions(b, a)));
      assert.equal(versionMeets(a, b), compareVersions(a, b) >= 0);
      assert.equal(versionMeets(a, a), true);
    }),
  );
});

const KIND = {
  what: 'thing',
  schema: z.object({ list: z.array(z.object({ size: z.number() })) }),
  bytesMax: 10_000,
  code: 'MANIFEST_INVALID',
} as const;

test('a refused document names its first bad field, in a short and printable way', () => {
  const parse = (text: string) => () => parseDocument(KIND, utf8(text));
  assertRefused(
    'MANIFEST_INVALID',
    parse('{"list":[{"size":1},{"size":"2"}]}'),
    /field list\.1\.size/,
  );
  assertRefused('MANIFEST_INVALID', parse('[]'), /field \(document\)/);
  assertRefused('JSON_INVALID', parse('{'), /parse thing/);
  assertRefused('DOCUMENT_TOO_LARGE', parse(' '.repeat(10_001)), /10001/);
  const strict = { ...KIND, schema: z.strictObject({}) };
  const long = `{"\\u001b[2J${'k'.repeat(5_000)}":1}`;
  assertRefused('MANIFEST_INVALID', () => parseDocument(strict, utf8(long)), /^[^\p{Cc}]{0,300}$/u);
});

test('foreign text is shown short and printable, and keeps plain words', () => {
  assert.equal(printable('bin/größe ☃ 💩'), 'bin/größe ☃ 💩');
  assert.equal(
    printable('a\u001b[31m\r\n\u202e\ud800'),
    'a\\u{1b}[31m\\u{d}\\u{a}\\u{202e}\\u{d800}',
  );
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      assert.doesNotMatch(printable(text), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
    }),
  );
});

test('an answer that is none of a broker says where to look, as JSON and as the page of a proxy', () => {
  for (const text of ['<html>502</html>', '{"doors": 7}', '\xff', '']) {
    assert.throws(() => parseSiteAnswer(Buffer.from(text, 'latin1')), {
      code: 'JSON_INVALID',
      hint: /--url or --api names the HTTP port of a drover-broker/,
    });
  }
});
