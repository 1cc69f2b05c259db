import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bytesToBase64, utf8 } from '../../../shared/crypto/bytes.ts';
import { keyIdOf, publicKeyOf, signBytes, seedSigner } from '../../../shared/crypto/ed25519.ts';
import {
  openEnvelope,
  PAYLOAD_TYPES,
  preAuthEncoding,
  type PayloadType,
  signEnvelope,
} from '../../../shared/formats/envelope.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { fixedSeed } from '../../helpers/fleet.ts';
import { assertRefused, verdictOf } from '../../helpers/refusal.ts';

const seeds = [fixedSeed(1), fixedSeed(2), fixedSeed(3)] as const;
const keys = seeds.map(publicKeyOf);
const [one] = seeds;
const sign = (type: PayloadType, bytes: Uint8Array, ...by: Uint8Array[]) =>
  signEnvelope(type, bytes, by.map(seedSigner));
const TYPE = PAYLOAD_TYPES.announcement;
const payload = utf8('{"seq":1}');
const role = (threshold: number, count = 2) => ({ keys: keys.slice(0, count), threshold });
const text = (envelope: Uint8Array) => new TextDecoder().decode(envelope);

interface Written {
  payloadType: string;
  payload: string;
  signatures: { keyid?: string; sig: string }[];
}
const written = async (...by: Uint8Array[]) =>
  JSON.parse(text(await sign(TYPE, payload, ...by))) as Written;
const open = (envelope: unknown, threshold = 1) =>
  openEnvelope(utf8(JSON.stringify(envelope)), TYPE, role(threshold));

test('the pre-authentication encoding is that of the DSSE specification', () => {
  assert.equal(
    text(preAuthEncoding('http://example.com/HelloWorld', utf8('hello world'))),
    'DSSEv1 29 http://example.com/HelloWorld 11 hello world',
  );
  assert.equal(text(preAuthEncoding('ü', utf8(''))), 'DSSEv1 2 ü 0 ');
});

test('no two pairs of type and payload have one encoding', () => {
  const part = fc.stringMatching(/^[0-9 a]{0,6}$/);
  fc.assert(
    fc.property(part, part, part, part, (typeA, payloadA, typeB, payloadB) => {
      fc.pre(typeA !== typeB || payloadA !== payloadB);
      const a = preAuthEncoding(typeA, utf8(payloadA));
      assert.notDeepEqual(a, preAuthEncoding(typeB, utf8(payloadB)));
    }),
  );
});

test('any sealed bytes come out byte for byte', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 100 }), async (bytes) => {
      assert.deepEqual(openEnvelope(await sign(TYPE, bytes, one), TYPE, role(1)), bytes);
    }),
    { numRuns: 30 },
  );
});

test('a signed document of one kind does not pass for another', async () => {
  const progress = await sign(PAYLOAD_TYPES.progress, payload, one);
  assertRefused('ENVELOPE_TYPE_WRONG', () => openEnvelope(progress, TYPE, role(1)), /progress/);
  const renamed = { ...(JSON.parse(text(progress)) as Written), payloadType: TYPE };
  assertRefused('ENVELOPE_SIGNATURE_BAD', () => open(renamed));
  const bare = await written(one);
  bare.signatures = [
    { keyid: keyIdOf(keys[0] ?? ''), sig: bytesToBase64(signBytes(payload, one)) },
  ];
  assertRefused('ENVELOPE_SIGNATURE_BAD', () => open(bare));
});

test('a threshold counts keys, not signatures', async () => {
  const once = await written(seeds[0]);
  assertRefused('ENVELOPE_SIGNATURES_TOO_FEW', () => open(once, 2), /got 1, want 2/);
  const doubled = { ...once, signatures: [...once.signatures, ...once.signatures] };
  assertRefused('ENVELOPE_SIGNATURES_TOO_FEW', () => open(doubled, 2));
  const disguised = once.signatures.map(({ sig }) => ({ keyid: keyIdOf(keys[1] ?? ''), sig }));
  assertRefused('ENVELOPE_SIGNATURES_TOO_FEW', () =>
    open({ ...once, signatures: [...once.signatures, ...disguised] }, 2),
  );
  const [few, enough] = [await written(seeds[0], seeds[2]), await written(seeds[1], seeds[2], one)];
  assertRefused('ENVELOPE_SIGNATURES_TOO_FEW', () => open(few, 2));
  assert.deepEqual(open(enough, 2), payload);
});

test('the key id is a hint only: what counts is the key that signed', async () => {
  const unnamed = await written(one);
  delete unnamed.signatures[0]?.keyid;
  assert.deepEqual(open(unnamed), payload);
  const misnamed = { ...unnamed, signatures: [{ ...unnamed.signatures[0], keyid: 'nobody' }] };
  assert.deepEqual(open(misnamed), payload);
  const strange = await written(seeds[2]);
  assertRefused('ENVELOPE_KEY_UNKNOWN', () => open(strange), /outside the role/);
});

test('an envelope that is not one is malformed', async () => {
  const good = await written(one);
  const malformed = (more: object) =>
    assertRefused('ENVELOPE_MALFORMED', () => open({ ...good, ...more }));
  malformed({ signatures: [] });
  malformed({ signatures: 'none' });
  malformed({ signatures: Array(LIMITS.signaturesMax + 1).fill(good.signatures[0]) });
  malformed({ signatures: [{ sig: 'AA' }] });
  malformed({ signatures: [{ sig: bytesToBase64(new Uint8Array(65)) }] });
  malformed({ payload: '' });
  malformed({ payload: 'eyJ9' + '=' });
  malformed({ payload: undefined });
  malformed({ payloadType: 7 });
  malformed({ payload: bytesToBase64(new Uint8Array(LIMITS.announcementBytesMax + 1)) });
  assertRefused('ENVELOPE_MALFORMED', () => open([good]));
  const twice = utf8(text(await sign(TYPE, payload, one)).replace('{', '{"payload":"e30=",'));
  assertRefused('JSON_INVALID', () => openEnvelope(twice, TYPE, role(1)), /duplicate/);
  const huge = new Uint8Array(LIMITS.announcementBytesMax * 2 + 1);
  assertRefused('DOCUMENT_TOO_LARGE', () => openEnvelope(huge, TYPE, role(1)));
});

test('any change to a good envelope is refused or changes nothing that was signed', async () => {
  const good = await sign(TYPE, payload, one);
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.nat(255), (at, byte) => {
      const changed = good.slice();
      changed[at] = byte;
      let opened;
      const verdict = verdictOf(() => {
        opened = openEnvelope(changed, TYPE, role(1));
      });
      if (verdict === 'taken') assert.deepEqual(opened, payload);
    }),
    { numRuns: 300 },
  );
});

test('any bytes are a typed refusal', () => {
  fc.assert(
    fc.property(fc.json(), fc.uint8Array({ maxLength: 80 }), (json, bytes) => {
      assert.notEqual(
        verdictOf(() => openEnvelope(utf8(json), TYPE, role(1))),
        'taken',
      );
      assert.notEqual(
        verdictOf(() => openEnvelope(bytes, TYPE, role(1))),
        'taken',
      );
    }),
  );
});
