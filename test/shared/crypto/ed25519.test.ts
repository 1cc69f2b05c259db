import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { test } from 'node:test';
import * as ed from '@noble/ed25519';
import fc from 'fast-check';
import { bytesToHex, concatBytes, hexToBytes, utf8 } from '../../../shared/crypto/bytes.ts';
import {
  keyIdOf,
  publicKeyOf,
  signatureIsValid,
  signBytes,
} from '../../../shared/crypto/ed25519.ts';
import { fixedSeed } from '../../helpers/fleet.ts';

const hex = (text: string) => hexToBytes(text.replaceAll(/\s/g, '')) ?? assert.fail('not hex');

/** RFC 8032 §7.1, TEST 1, 2, 3 and SHA(abc). */
const VECTORS = [
  {
    seed: '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    key: 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    message: '',
    signature: `e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155
      5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b`,
  },
  {
    seed: '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    key: '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    message: '72',
    signature: `92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da
      085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00`,
  },
  {
    seed: 'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
    key: 'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
    message: 'af82',
    signature: `6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac
      18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a`,
  },
  {
    seed: '833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42',
    key: 'ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf',
    message: `ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a
      2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f`,
    signature: `dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589
      09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704`,
  },
];

for (const [at, vector] of VECTORS.entries()) {
  test(`vector ${at + 1} of RFC 8032 comes out byte for byte and verifies`, () => {
    const message = hex(vector.message);
    assert.equal(publicKeyOf(hex(vector.seed)), vector.key);
    const signature = signBytes(message, hex(vector.seed));
    assert.deepEqual(signature, hex(vector.signature));
    assert.equal(signatureIsValid(signature, message, vector.key), true);
    assert.equal(signatureIsValid(signature, concatBytes(message, utf8('x')), vector.key), false);
  });
}

const PKCS8 = '302e020100300506032b657004220420';
const SPKI = '302a300506032b6570032100';
const der = (prefix: string, raw: Uint8Array) => Buffer.concat([Buffer.from(prefix, 'hex'), raw]);

/** The verdict of OpenSSL; false for a key that it cannot read. */
function opensslAgrees(signature: Uint8Array, message: Uint8Array, key: Uint8Array): boolean {
  try {
    const publicKey = createPublicKey({ key: der(SPKI, key), format: 'der', type: 'spki' });
    return verify(null, message, publicKey, signature);
  } catch {
    return false; // OpenSSL throws on some malformed keys and says false to others
  }
}

test('signatures are those of OpenSSL, and both accept the other', () => {
  const seed = fc.uint8Array({ minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(seed, fc.uint8Array({ maxLength: 100 }), (own, message) => {
      const key = createPrivateKey({ key: der(PKCS8, own), format: 'der', type: 'pkcs8' });
      const ours = signBytes(message, own);
      assert.deepEqual(ours, new Uint8Array(sign(null, message, key)));
      assert.ok(opensslAgrees(ours, message, hex(publicKeyOf(own))));
    }),
    { numRuns: 30 },
  );
});

const SEED = fixedSeed(7);
const KEY = publicKeyOf(SEED);
const MESSAGE = utf8('a bundle');
const SIGNATURE = signBytes(MESSAGE, SEED);

test('one flipped bit anywhere in signature, message or key is noticed', () => {
  const flip = (bytes: Uint8Array, bit: number) => {
    const flipped = bytes.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    return flipped;
  };
  for (let at = 0; at < 64; at += 1) {
    const flipped = flip(SIGNATURE, at * 8 + (at % 8));
    assert.equal(signatureIsValid(flipped, MESSAGE, KEY), false);
  }
  for (let bit = 0; bit < MESSAGE.length * 8; bit += 5) {
    assert.equal(signatureIsValid(SIGNATURE, flip(MESSAGE, bit), KEY), false);
  }
  for (let at = 0; at < 32; at += 1) {
    const flipped = bytesToHex(flip(hex(KEY), at * 8 + (at % 8)));
    assert.equal(signatureIsValid(SIGNATURE, MESSAGE, flipped), false);
  }
});

test('input of any shape is a verdict, never an exception', () => {
  const bytes = fc.uint8Array({ maxLength: 70 });
  fc.assert(
    fc.property(bytes, bytes, fc.string({ maxLength: 70 }), (signature, message, key) => {
      assert.equal(signatureIsValid(signature, message, key), false);
      assert.equal(signatureIsValid(signature, message, KEY), false);
      assert.equal(signatureIsValid(SIGNATURE, MESSAGE, key), false);
    }),
    { numRuns: 200 },
  );
});

const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const toNumber = (bytes: Uint8Array) => BigInt(`0x${bytesToHex(bytes.toReversed()) || '0'}`);
const toBytes = (value: bigint) => hex(value.toString(16).padStart(64, '0')).toReversed();

test('a second text of the same signature, with S above the group order, is refused', () => {
  const s = toNumber(SIGNATURE.subarray(32));
  const malleable = concatBytes(SIGNATURE.subarray(0, 32), toBytes(s + ORDER));
  assert.equal(signatureIsValid(malleable, MESSAGE, KEY), false);
});

/** The eight points of small order, and the y = p and y = p + 1 texts of two of them. */
const SMALL_ORDER = [
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0000000000000000000000000000000000000000000000000000000000000080',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
];

test('a key of small order, under which one signature fits many messages, is refused', () => {
  for (const key of SMALL_ORDER) {
    for (const r of SMALL_ORDER) {
      const forged = concatBytes(hex(r), new Uint8Array(32));
      for (let at = 0; at < 8; at += 1) {
        assert.equal(signatureIsValid(forged, utf8(`message ${at}`), key), false, `${key} ${r}`);
      }
    }
  }
});

test('a signature that only a verifier with cofactor would take is refused, as OpenSSL does', async () => {
  // R' = R + T with T of order 8 and S for R': sound after multiplying by 8, and not before.
  const scalar = (await ed.utils.getExtendedPublicKeyAsync(SEED)).scalar;
  const nonce = 123456789n;
  const torsion = ed.Point.fromHex(SMALL_ORDER[4] ?? '');
  const r = ed.Point.BASE.multiply(nonce).add(torsion).toBytes();
  const { sha512 } = ed.hashes;
  const k = toNumber(sha512?.(concatBytes(r, hex(KEY), MESSAGE)) ?? assert.fail()) % ORDER;
  const crafted = concatBytes(r, toBytes((nonce + k * scalar) % ORDER));
  assert.equal(ed.verify(crafted, MESSAGE, hex(KEY), { zip215: false }), true, 'the craft works');
  assert.equal(opensslAgrees(crafted, MESSAGE, hex(KEY)), false);
  assert.equal(signatureIsValid(crafted, MESSAGE, KEY), false);
});

test('the name of a key is 16 hex digits of its hash', () => {
  assert.match(keyIdOf(KEY), /^[0-9a-f]{16}$/);
  assert.notEqual(keyIdOf(KEY), keyIdOf(publicKeyOf(fixedSeed(8))));
  assert.throws(() => keyIdOf('no key'), TypeError);
});
