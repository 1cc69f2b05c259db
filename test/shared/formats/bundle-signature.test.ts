import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bundleMessage, verifyBundle } from '../../../shared/formats/bundle-signature.ts';
import { concatBytes, hexToBytes, utf8 } from '../../../shared/crypto/bytes.ts';
import { publicKeyOf } from '../../../shared/crypto/ed25519.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { encodeManifest } from '../../../shared/formats/manifest.ts';
import type { TrustRoot } from '../../../shared/formats/trust.ts';
import { fixedSeed, makeFleet } from '../../helpers/fleet.ts';
import { assertRefused, verdictOf } from '../../helpers/refusal.ts';
import { bundleSignatureNow } from '../../helpers/sign-now.ts';

const { trust, seeds } = makeFleet();
const payload = utf8('the payload');
const payloadSha256 = sha256Hex(payload);
const manifestBytes = encodeManifest({
  version: '1.4.2',
  min_current_version: '1.2.0',
  target_arch: 'aarch64',
  payload_sha256: payloadSha256,
  rollback_version: '1.4.1',
  apply_strategy: 'atomic_swap',
});
const signature = bundleSignatureNow(manifestBytes, payloadSha256, seeds.release);
const GOOD = { manifestBytes, signatures: [signature], trust };

function trustOf(keys: readonly string[], threshold: number): TrustRoot {
  return { ...trust, roles: { ...trust.roles, release: { keys, threshold } } };
}
const twoSeeds = [fixedSeed(11), fixedSeed(12)] as const;
const [first, second] = twoSeeds.map((seed) =>
  bundleSignatureNow(manifestBytes, payloadSha256, seed),
);
assert.ok(first && second);
const twoOfTwo = trustOf(twoSeeds.map(publicKeyOf), 2);

test('a signature covers the manifest bytes and the raw hash of the payload, nothing more', () => {
  const hash = hexToBytes(payloadSha256) ?? assert.fail();
  assert.deepEqual(bundleMessage(manifestBytes, payloadSha256), concatBytes(manifestBytes, hash));
});

test('a bundle of the release key is verified with the declared hash and with the received one', () => {
  assert.equal(verifyBundle(GOOD).manifest.version, '1.4.2');
  const verified = verifyBundle({ ...GOOD, payloadSha256 });
  assert.equal(verified.manifestBytes, manifestBytes);
});

test('a payload other than the declared one is refused although the signature holds', () => {
  assertRefused(
    'PAYLOAD_HASH_MISMATCH',
    () => verifyBundle({ ...GOOD, payloadSha256: sha256Hex(utf8('another')) }),
    /verify bundle 1\.4\.2/,
  );
});

test('a flipped bit in any byte of the manifest or the signature is refused', () => {
  for (let at = 0; at < manifestBytes.length; at += 1) {
    const flipped = manifestBytes.slice();
    flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8));
    assert.notEqual(
      verdictOf(() => verifyBundle({ ...GOOD, manifestBytes: flipped })),
      'taken',
    );
  }
  for (let at = 0; at < signature.length; at += 1) {
    const flipped = signature.slice();
    flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8));
    assertRefused('BUNDLE_SIGNATURE_BAD', () => verifyBundle({ ...GOOD, signatures: [flipped] }));
  }
});

test('bytes added to the manifest, even blanks that change no field, are refused', () => {
  for (const more of [' ', '\n', '\t\n']) {
    const changed = concatBytes(manifestBytes, utf8(more));
    assertRefused('BUNDLE_SIGNATURE_BAD', () => verifyBundle({ ...GOOD, manifestBytes: changed }));
  }
});

test('a key of another role and an unknown key have different errors', () => {
  for (const seed of [seeds.rollout, seeds.root]) {
    const signatures = [bundleSignatureNow(manifestBytes, payloadSha256, seed)];
    assertRefused(
      'BUNDLE_KEY_UNKNOWN',
      () => verifyBundle({ ...GOOD, signatures }),
      /want release/,
    );
  }
  const stranger = [bundleSignatureNow(manifestBytes, payloadSha256, fixedSeed(99))];
  assertRefused('BUNDLE_SIGNATURE_BAD', () => verifyBundle({ ...GOOD, signatures: stranger }));
  assertRefused('BUNDLE_SIGNATURE_BAD', () => verifyBundle({ ...GOOD, signatures: [] }));
});

test('a threshold counts keys, not signatures', () => {
  const with_ = (signatures: readonly Uint8Array[]) => () =>
    verifyBundle({ manifestBytes, signatures, trust: twoOfTwo });
  assert.equal(verdictOf(with_([first, second])), 'taken');
  assert.equal(verdictOf(with_([second, signature, first])), 'taken');
  assertRefused('BUNDLE_SIGNATURES_TOO_FEW', with_([first]), /got 1, want 2/);
  assertRefused('BUNDLE_SIGNATURES_TOO_FEW', with_([first, first, first]));
  assertRefused('BUNDLE_SIGNATURES_TOO_FEW', with_([first, signature]));
});

test('a signature of any other length is malformed, and no other is looked at', () => {
  for (const length of [0, 1, 63, 65, 128]) {
    const signatures = [signature, new Uint8Array(length)];
    assertRefused(
      'SIGNATURE_MALFORMED',
      () => verifyBundle({ ...GOOD, signatures }),
      new RegExp(`got ${length} bytes`),
    );
  }
});

test('any manifest bytes and signatures are a typed refusal', () => {
  const bytes = fc.uint8Array({ maxLength: 200 });
  const sig = fc.uint8Array({ minLength: 64, maxLength: 64 });
  fc.assert(
    fc.property(bytes, fc.array(sig, { maxLength: 2 }), (junk, signatures) => {
      const verdict = verdictOf(() => verifyBundle({ manifestBytes: junk, signatures, trust }));
      assert.notEqual(verdict, 'taken');
      assert.notEqual(
        verdictOf(() => verifyBundle({ ...GOOD, signatures })),
        'taken',
      );
    }),
    { numRuns: 30 },
  );
});
