import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { fitsMachine, moduleOf } from '../../../shared/formats/apply-strategy.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { encodeManifest, parseManifest } from '../../../shared/formats/manifest.ts';
import { assertRefused, verdictOf } from '../../helpers/refusal.ts';

const REQUIRED = {
  version: '1.4.2',
  min_current_version: '1.2.0',
  target_arch: 'aarch64',
  payload_sha256: 'ab'.repeat(32),
  rollback_version: '1.4.1',
  apply_strategy: 'atomic_swap',
};
/** The values in a manifest that leaves them out. */
const NONE = { compatible: [], requires: {}, deltas: [], attachments: [] };
const parse = (fields: object) => parseManifest(utf8(JSON.stringify(fields)));
const refusedField = (more: Record<string, unknown>, field: string) =>
  assertRefused(
    'MANIFEST_INVALID',
    () => parse({ ...REQUIRED, ...more }),
    new RegExp(`field ${field}:`),
  );

test('the six required fields are enough, and defaults fill the rest', () => {
  assert.deepEqual(parse(REQUIRED), { ...REQUIRED, name: 'app', ...NONE });
});

test('each required field is missed by name', () => {
  for (const field of Object.keys(REQUIRED)) {
    const { [field as 'version']: _, ...rest } = REQUIRED;
    assertRefused('MANIFEST_INVALID', () => parse(rest), new RegExp(`field ${field}:`));
  }
});

test('a wrong type or a value out of range is refused with the name of the field', () => {
  const junk = fc.oneof(
    fc.constantFrom(null, true, 1, -1, 0.5, '', ' ', '../x', 'x\0', 'A'.repeat(200), [], {}),
    fc.string(),
  );
  const field = fc.constantFrom(...Object.keys(REQUIRED), 'name', 'payload_size', 'deltas');
  fc.assert(
    fc.property(field, junk, (name, value) => {
      const verdict = verdictOf(() => parse({ ...REQUIRED, [name]: value }));
      if (verdict === 'taken') return;
      assert.equal(verdict, 'MANIFEST_INVALID');
      refusedField({ [name]: value }, name);
    }),
    { numRuns: 500 },
  );
  refusedField({ payload_sha256: 'AB'.repeat(32) }, 'payload_sha256');
  refusedField({ payload_size: 0 }, 'payload_size');
  refusedField({ payload_size: LIMITS.payloadBytesMax + 1 }, 'payload_size');
  refusedField({ payload_size: 2 ** 53 }, 'payload_size');
  refusedField({ payload_tar_size: LIMITS.archiveBytesMax + 1 }, 'payload_tar_size');
  refusedField({ apply_strategy: 'in_place' }, 'apply_strategy');
  const strategies = ['module/', 'module/../x', 'module/a/b', 'module/A', 'module/-a', 'Module/a'];
  for (const one of [...strategies, 'module/.a', `module/${'a'.repeat(33)}`, 'module/a\n'])
    refusedField({ apply_strategy: one }, 'apply_strategy');
  refusedField({ compatible: ['a board'] }, 'compatible\\.0');
  refusedField({ compatible: Array(LIMITS.compatibleMax + 1).fill('a') }, 'compatible');
  refusedField({ name: 'a/b' }, 'name');
  refusedField({ target_arch: 'x86 64' }, 'target_arch');
  const delta = { from_version: '1.0.0', from_tar_sha256: 'a'.repeat(64), sha256: 'b'.repeat(64) };
  refusedField({ deltas: [{ ...delta, size: 0 }] }, 'deltas\\.0\\.size');
  refusedField({ deltas: Array(LIMITS.deltasMax + 1).fill({ ...delta, size: 1 }) }, 'deltas');
});

test('a module applies it, and machines are named, when the manifest says so [P-3.9] [P-3.10]', () => {
  const more = {
    apply_strategy: 'module/arm-firmware',
    compatible: ['raspberrypi,4-model-b', 'arm3'],
  };
  const { apply_strategy, compatible } = parse({ ...REQUIRED, ...more });
  assert.deepEqual({ apply_strategy, compatible }, more);
  assert.equal(moduleOf(apply_strategy), 'arm-firmware');
  assert.equal(moduleOf('atomic_swap'), null);
  assert.equal(fitsMachine(compatible, ['arm3', 'x']), true);
  assert.equal(fitsMachine(compatible, ['arm4']), false);
  assert.equal(fitsMachine(compatible, []), false);
  assert.equal(fitsMachine(compatible, undefined), true); // an agent that does not look
  assert.equal(fitsMachine([], []), true);
});

test('a system image needs the size and the hash of its image [P-3.11]', () => {
  const strategy = { apply_strategy: 'slot_image' };
  const image = { size: 4096, sha256: 'ab'.repeat(32) };
  refusedField(strategy, 'image');
  refusedField({ ...strategy, image: { ...image, size: 0 } }, 'image\\.size');
  assert.deepEqual(parse({ ...REQUIRED, ...strategy, image }).image, image);
});

test('unknown fields are ignored, and stay in the bytes', () => {
  assert.deepEqual(parse({ ...REQUIRED, owner: { team: 'nav' }, notes: 'x' }), parse(REQUIRED));
});

test('a duplicate key and a prototype key are refused before anything is read', () => {
  const text = JSON.stringify(REQUIRED);
  assertRefused(
    'JSON_INVALID',
    () => parseManifest(utf8(text.replace('{', '{"version":"9.9.9",'))),
    /duplicate key in field version/,
  );
  assertRefused('JSON_INVALID', () => parseManifest(utf8(text.replace('{', '{"__proto__":{},'))));
});

test('a manifest of ten megabytes is refused by its size', () => {
  const bytes = utf8(JSON.stringify({ ...REQUIRED, notes: 'x'.repeat(10 * 1024 * 1024) }));
  assertRefused('DOCUMENT_TOO_LARGE', () => parseManifest(bytes), /want at most 65536/);
});

test('any bytes are a manifest or a typed refusal, also a good one with changes', () => {
  const good = utf8(JSON.stringify(REQUIRED));
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.uint8Array({ maxLength: 4 }), (at, bytes) => {
      const changed = good.slice();
      changed.set(bytes.subarray(0, good.length - at), at);
      verdictOf(() => parseManifest(changed));
      verdictOf(() => parseManifest(good.subarray(0, at)));
    }),
    { numRuns: 1_000 },
  );
});

test('a written manifest is read back, in the same bytes each time', () => {
  const fields = {
    ...REQUIRED,
    apply_strategy: 'atomic_swap',
    name: 'nav',
    payload_size: 7,
  } as const;
  const bytes = encodeManifest(fields);
  assert.deepEqual(parseManifest(bytes), { ...fields, ...NONE });
  assert.deepEqual(encodeManifest(fields), bytes);
  assert.equal(new TextDecoder().decode(bytes).split('\n')[1], '  "version": "1.4.2",');
  assertRefused('MANIFEST_INVALID', () => encodeManifest({ ...fields, version: 'latest' }));
});

test('deltas that add stand in a list that agents of 0.1 do not read [P-12.6]', () => {
  const delta = { from_version: '1.0.0', from_tar_sha256: 'a'.repeat(64), size: 1 };
  const zstd = { ...delta, sha256: 'b'.repeat(64) };
  const add = { ...delta, sha256: 'c'.repeat(64) };
  assert.deepEqual(parse({ ...REQUIRED, deltas: [zstd], add_deltas: [add] }).deltas, [
    { ...zstd, coding: 'zstd' },
    { ...add, coding: 'add' },
  ]);
  const most = Array(LIMITS.deltasMax).fill(add);
  assert.equal(parse({ ...REQUIRED, add_deltas: most }).deltas.length, LIMITS.deltasMax);
  refusedField({ deltas: [zstd], add_deltas: most }, 'add_deltas');
});

test('its requirements stand in the manifest, and at the end of its strategy [P-3.12]', () => {
  const requires = { system: '>=2.1 <3', arm: '^1.4.0' };
  const { apply_strategy: strategy, ...fields } = parse({
    ...REQUIRED,
    requires,
    apply_strategy: 'module/arm+requires',
  });
  assert.equal(strategy, 'module/arm');
  assert.deepEqual(fields.requires, requires);
  refusedField({ requires }, 'apply_strategy');
  refusedField({ apply_strategy: 'atomic_swap+requires' }, 'apply_strategy');
  refusedField({ requires, apply_strategy: 'atomic_swap+requires+more' }, 'apply_strategy');
  const written = { apply_strategy: 'atomic_swap+requires' };
  refusedField({ ...written, requires: { app: '>=1' } }, 'requires');
  for (const range of ['', ' ', '>=2.1\n<3', 'latest', '>=two', '>'.repeat(200)]) {
    refusedField({ ...written, requires: { system: range } }, 'requires.system');
  }
  const many = Object.fromEntries(
    Array.from({ length: LIMITS.requiresMax + 1 }, (_, nth) => [`c${nth}`, '*']),
  );
  refusedField({ ...written, requires: many }, 'requires');
});
