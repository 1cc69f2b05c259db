import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  assertPartSize,
  COSIGNATURES_BYTES_MAX,
  isPartName,
} from '../../../shared/formats/bundle-parts.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { verdictOf } from '../../helpers/refusal.ts';

const PARTS = [
  ...['manifest.json', 'payload.tar.gz', 'signature.sig', 'cosignatures.sig'],
  ...['sbom.json', 'provenance.json', 'log.tlog-proof'],
];

test('a bundle holds parts of a few names and nothing else', () => {
  for (const name of [...PARTS, 'deltas/1.4.1.zst', 'deltas/1.0.0-rc.1+b.zst']) {
    assert.equal(isPartName(name), true, name);
  }
  for (const name of [
    '',
    './manifest.json',
    '/manifest.json',
    'manifest.json/',
    'Manifest.json',
    'deltas',
    'deltas/',
    'deltas/.zst',
    'deltas/latest.zst',
    'deltas/../1.4.1.zst',
    'deltas/1.4.1.zst/x',
    'deltas/1.4.1.zst\n',
    'deltas/ 1.4.1.zst',
    '../manifest.json',
    'vex.json',
    'deltas/log.tlog-proof',
    'deltas/sbom.json',
  ]) {
    assert.equal(isPartName(name), false, JSON.stringify(name));
  }
});

test('no name that is taken leads out of the folder of the bundle', () => {
  const piece = fc.constantFrom('deltas', '/', '..', '.', '1.4.1', '.zst', 'manifest.json', '\0');
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
      const name = pieces.join('');
      if (!isPartName(name) || PARTS.includes(name)) return;
      assert.match(name, /^deltas\/[0-9A-Za-z.+-]+\.zst$/);
    }),
    { numRuns: 5_000 },
  );
});

test('each part has its own bound', () => {
  const verdict = (name: string, bytes: number) => verdictOf(() => assertPartSize(name, bytes));
  assert.equal(verdict('log.tlog-proof', 8 * 1024), 'taken');
  assert.equal(verdict('log.tlog-proof', 8 * 1024 + 1), 'DOCUMENT_TOO_LARGE');
  assert.equal(verdict('signature.sig', 64), 'taken');
  for (const bytes of [0, 63, 65, 128]) {
    assert.equal(verdict('signature.sig', bytes), 'SIGNATURE_MALFORMED');
  }
  assert.equal(verdict('cosignatures.sig', 128), 'taken');
  for (const bytes of [0, 100, COSIGNATURES_BYTES_MAX + 64]) {
    assert.equal(verdict('cosignatures.sig', bytes), 'SIGNATURE_MALFORMED');
  }
  assert.equal(verdict('manifest.json', LIMITS.manifestBytesMax), 'taken');
  assert.equal(verdict('manifest.json', LIMITS.manifestBytesMax + 1), 'DOCUMENT_TOO_LARGE');
  assert.equal(verdict('payload.tar.gz', 0), 'BUNDLE_INCOMPLETE');
  assert.equal(verdict('payload.tar.gz', LIMITS.payloadBytesMax), 'taken');
  assert.equal(verdict('payload.tar.gz', LIMITS.payloadBytesMax + 1), 'PAYLOAD_TOO_LARGE');
});
