import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { parseStrictJson } from '../../../shared/formats/strict-json.ts';
import { assertRefused, verdictOf } from '../../helpers/refusal.ts';

const MiB = 1024 * 1024;
const parse = (text: string | Uint8Array, bytesMax = 64 * MiB) =>
  parseStrictJson(typeof text === 'string' ? utf8(text) : text, 'document', bytesMax);
const refused = (text: string | Uint8Array, words?: RegExp) =>
  assertRefused('JSON_INVALID', () => parse(text), words);

const forbidden = ['__proto__', 'constructor', 'prototype'];
const key = fc.string({ unit: 'grapheme', maxLength: 8 }).filter((k) => !forbidden.includes(k));
const { tree: document } = fc.letrec((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small', maxDepth: 8, withCrossShrink: true },
    fc.constantFrom(null, true, false, 0, -0, 1e-7, 1e300),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string({ unit: 'grapheme' }),
    fc.array(tie('tree'), { maxLength: 4 }),
    fc.dictionary(key, tie('tree'), { maxKeys: 4, noNullPrototype: true }),
  ),
}));

test('agrees with JSON.parse on every document without duplicate keys', () => {
  fc.assert(
    fc.property(document, fc.nat(3), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      assert.deepEqual(parse(text), JSON.parse(text));
    }),
    { numRuns: 500 },
  );
});

test('takes nothing that JSON.parse refuses', () => {
  const piece = fc.constantFrom(
    ...['{', '}', '[', ']', ',', ':', '"', '\\', '"a"', '1', '-', '0', '.5', 'e9', 'true', 'nul'],
    ...[' ', '\n', '\t', '\u00a0', '\u2028', '\\u00', '\\ud800', "'a'", '//', 'NaN', '\u0000'],
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = pieces.join('');
      if (verdictOf(() => parse(text)) !== 'taken') return;
      assert.deepEqual(parse(text), JSON.parse(text));
    }),
    { numRuns: 5_000 },
  );
});

test('any bytes are either a value or a typed refusal', () => {
  const start = fc.constantFrom('', '{"a":', '[', '"', '{"a":1,"', '[1e');
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 60 }), (before, bytes) => {
      verdictOf(() => parse(new Uint8Array([...utf8(before), ...bytes])));
    }),
    { numRuns: 2_000 },
  );
});

test('a key that stands twice is refused and named, however it is spelled', () => {
  refused('{"a":1,"b":{"c":1,"c":2}}', /duplicate key in field b\.c$/);
  refused('{"a":1,"\\u0061":2}', /duplicate key in field a$/);
  refused('[0,{"":1,"":2}]', /duplicate key/);
  refused('{"10":1,"1":2,"10":3}', /duplicate key/);
  assert.deepEqual(parse('{"a":{"k":1},"b":{"k":1}}'), { a: { k: 1 }, b: { k: 1 } });
});

test('keys that reach into prototypes are refused at any depth, however they are spelled', () => {
  for (const name of [...forbidden, '\\u005f_proto__']) {
    refused(`{"${name}":{"admin":true}}`, /forbidden key/);
    refused(`[[{"x":{"${name}":1}}]]`, /forbidden key in field \[0\]\[0\]\.x\./);
  }
  assert.equal(({} as { admin?: boolean }).admin, undefined);
  assert.deepEqual(parse('{"hasOwnProperty":1,"toString":2}'), { hasOwnProperty: 1, toString: 2 });
});

test('nesting stops at the limit, in arrays and objects alike', () => {
  const arrays = (depth: number) => '['.repeat(depth) + '1' + ']'.repeat(depth);
  const objects = (depth: number) => '{"a":'.repeat(depth) + '1' + '}'.repeat(depth);
  for (const nested of [arrays, objects]) {
    assert.equal(
      verdictOf(() => parse(nested(LIMITS.jsonDepthMax))),
      'taken',
    );
    refused(nested(LIMITS.jsonDepthMax + 1), /nested too deeply/);
  }
  refused('['.repeat(1_000_000), /nested too deeply/);
});

test('text that is not plain UTF-8 is refused', () => {
  refused('\ufeff{}', /not a JSON value/);
  refused(new Uint8Array([0x22, 0xff, 0x22]), /not UTF-8/);
  refused(new Uint8Array([0x22, 0xc0, 0xaf, 0x22]), /not UTF-8/); // overlong
  refused(new Uint8Array([0x22, 0xed, 0xa0, 0x80, 0x22]), /not UTF-8/); // encoded surrogate
  refused(new Uint8Array([0xff, 0xfe, 0x7b, 0, 0x7d, 0]), /not UTF-8/); // UTF-16
});

test('half of a surrogate pair is refused, a whole one is a character', () => {
  refused('"\\ud83d"', /half of a surrogate pair/);
  refused('{"\\udc00":1}', /half of a surrogate pair/);
  refused('"\\udca9\\ud83d"', /half of a surrogate pair/);
  assert.equal(parse('"\\ud83d\\udca9"'), '💩');
  assert.equal(parse('"💩"'), '💩');
});

test('numbers that no double can hold are refused', () => {
  refused('1e999', /out of range/);
  refused(`-${'9'.repeat(400)}`, /out of range/);
  for (const text of ['01', '+1', '.5', '1.', '1e', '0x10', 'Infinity', '--1']) refused(text);
  assert.ok(Object.is(parse('-0'), -0));
});

test('a document of more bytes than allowed is not even decoded', () => {
  assertRefused('DOCUMENT_TOO_LARGE', () => parse('{}  ', 3), /got 4 bytes, want at most 3/);
  assert.deepEqual(parse('{} ', 3), {});
});

test('a message about a hostile document stays short and printable', () => {
  const hostile = `\\u001b[31m${'k'.repeat(100_000)}`;
  try {
    parse(`{"${hostile}":{"a":1,"a":2}}`);
    assert.fail('taken');
  } catch (error) {
    assert.ok(error instanceof Error);
    assert.ok(error.message.length < 300);
    assert.doesNotMatch(error.message, /\p{Cc}/u);
  }
});

/**
 * The factor in time for a document of 16 times the size: about 16, or 256 if it were quadratic.
 */
function growth(make: (bytes: number) => string): number {
  const once = (bytes: number) => {
    const encoded = utf8(make(bytes));
    const startedAtMs = performance.now();
    verdictOf(() => parse(encoded));
    return performance.now() - startedAtMs;
  };
  once(MiB / 4); // warm
  return once(10 * MiB) / Math.max(1, once((10 * MiB) / 16));
}

const hostile: Record<string, (bytes: number) => string> = {
  blanks: (bytes) => ' '.repeat(bytes),
  'one string without an end': (bytes) => `"${'a'.repeat(bytes)}`,
  'one string of backslashes': (bytes) => `"${'\\\\'.repeat(bytes / 2)}"`,
  'one number': (bytes) => '1'.repeat(bytes),
  'one number that ends wrongly': (bytes) => `[${'1'.repeat(bytes)}x`,
  'short strings': (bytes) => `[${'"",'.repeat(bytes / 3)}""]`,
  'empty arrays': (bytes) => `[${'[],'.repeat(bytes / 3)}[]]`,
  'half literals': (bytes) => `[${'nul'.repeat(bytes / 3)}`,
  'long keys in long keys': (bytes) => `{"${'k'.repeat(bytes / 2)}":{"${'k'.repeat(bytes / 2)}":x`,
  'many keys': (bytes) =>
    `{${Array.from({ length: bytes / 12 }, (_, at) => `"${at.toString(36)}":1`).join()}}`,
};
for (const [what, make] of Object.entries(hostile)) {
  test(`ten megabytes of ${what} cost time in proportion`, () => {
    // Not a measurement: between 16 (linear) and 256 (quadratic) there is room for a busy machine.
    const tries = [growth(make)];
    while ((tries.at(-1) ?? 0) > 100 && tries.length < 4) tries.push(growth(make));
    assert.ok(Math.min(...tries) <= 100, `grew ${tries.join(', ')} times`);
  });
}
