/** The document with which a person's key approves a wave, without any file or socket. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LIMITS } from '../../../shared/base/limits.ts';
import type { RolloutId, Sha256Hex } from '../../../shared/base/ids.ts';
import { base64ToBytes, bytesToBase64, utf8 } from '../../../shared/crypto/bytes.ts';
import { publicKeyOf, seedSigner } from '../../../shared/crypto/ed25519.ts';
import {
  assertApproves,
  openApproval,
  peekApproval,
  signApproval,
  type ApprovalSubject,
} from '../../../shared/formats/approval.ts';
import { openEnvelope, PAYLOAD_TYPES } from '../../../shared/formats/envelope.ts';
import { fixedSeed } from '../../helpers/fleet.ts';
import { assertRefused, verdictOf } from '../../helpers/refusal.ts';
import { envelopeNow } from '../../helpers/sign-now.ts';

const NOW = Date.parse('2026-11-30T12:00:00Z');
const [MINUTE, DAY] = [60_000, 86_400_000];
const SEED = fixedSeed(41);
const KEY = publicKeyOf(SEED);
const SUBJECT: ApprovalSubject = {
  fleet: 'site-7',
  command: 'approve',
  rollout: 'app-1' as RolloutId,
  release: 'ab'.repeat(32) as Sha256Hex,
  wave: 1,
  opened_at: NOW - MINUTE,
  user: 'ana',
};

const iso = (ms: number): string => new Date(ms).toISOString();
const fields = (more: object = {}): object => ({
  ...{ ...SUBJECT, opened_at: iso(SUBJECT.opened_at) },
  ...{ issued_at: iso(NOW), expires_at: iso(NOW + 60 * MINUTE), ...more },
});
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
/** Signed by the words of the test, whatever is in it. */
const made = (payload: object, seeds = [SEED]): string =>
  text(envelopeNow(PAYLOAD_TYPES.approval, utf8(JSON.stringify(payload)), seeds));
const check = (signed: string, want: Partial<ApprovalSubject> = {}, now = NOW): string =>
  verdictOf(() => assertApproves(openApproval(signed, KEY), { ...SUBJECT, ...want }, now));

describe('a signed approval', () => {
  it('counts for what it names, within its hour [P-6.13]', async () => {
    const signed = await signApproval(SUBJECT, seedSigner(SEED), NOW);
    assert.equal(check(signed), 'taken');
    assert.equal(check(signed, {}, NOW + 59 * MINUTE), 'taken');
    assert.equal(check(made(fields())), 'taken', 'the same from another program');
    assert.deepEqual(peekApproval(signed), openApproval(signed, KEY));
  });

  it('is worth nothing for anything else than it names', async () => {
    const signed = await signApproval(SUBJECT, seedSigner(SEED), NOW);
    const others: { [K in keyof ApprovalSubject]: ApprovalSubject[K] } = {
      fleet: 'site-8',
      command: 'force-open',
      rollout: 'app-2' as RolloutId,
      release: 'cd'.repeat(32) as Sha256Hex,
      wave: 2,
      opened_at: NOW - MINUTE + 1,
      user: 'ben',
    };
    assert.deepEqual(Object.keys(others).sort(), Object.keys(SUBJECT).sort());
    for (const [field, value] of Object.entries(others)) {
      assert.equal(check(signed, { [field]: value }), 'APPROVAL_OF_ANOTHER', field);
    }
    const [mine, want] = [openApproval(signed, KEY), { ...SUBJECT, opened_at: NOW }];
    assertRefused('APPROVAL_OF_ANOTHER', () => assertApproves(mine, want, NOW), /11:59:00.000Z/);
  });

  it('of another hour, of a clock that is a day ahead, or good for longer is refused', () => {
    const at = (issued: number, lifeMs = 60 * MINUTE): string =>
      check(made(fields({ issued_at: iso(issued), expires_at: iso(issued + lifeMs) })));
    assert.equal(at(NOW - 60 * MINUTE), 'APPROVAL_CLOCK');
    assert.equal(at(NOW - 60 * MINUTE + 1), 'taken');
    assert.equal(at(NOW + DAY), 'taken');
    assert.equal(at(NOW + DAY + 1), 'APPROVAL_CLOCK');
    assert.equal(at(NOW, 60 * MINUTE + 1), 'APPROVAL_CLOCK');
  });

  it('with any bit of payload or signature changed is refused', async () => {
    const signed = await signApproval(SUBJECT, seedSigner(SEED), NOW);
    type Parts = { payload: string; signatures: { keyid: string; sig: string }[] };
    const parts = JSON.parse(signed) as Parts;
    const flip = (base64: string, bit: number): string => {
      const bytes = Uint8Array.from(base64ToBytes(base64) ?? []);
      const at = Math.floor(bit / 8) % bytes.length;
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit % 8));
      return bytesToBase64(bytes);
    };
    const [first] = parts.signatures;
    assert.ok(first);
    for (let bit = 0; bit < 6_000; bit += 149) {
      const other = { ...parts, payload: flip(parts.payload, bit) };
      assert.equal(check(JSON.stringify(other)), 'APPROVAL_INVALID', `payload ${bit}`);
      const wrong: Parts = { ...parts, signatures: [{ ...first, sig: flip(first.sig, bit) }] };
      assert.equal(check(JSON.stringify(wrong)), 'APPROVAL_INVALID', `signature ${bit}`);
    }
  });

  it('of another key, of another type or shape, or larger than its record is refused', async () => {
    assert.equal(check(made(fields(), [fixedSeed(42)])), 'APPROVAL_KEY_WRONG');
    assert.equal(check(made(fields({ colour: 'red' }))), 'APPROVAL_INVALID');
    assert.equal(check(made(fields({ wave: -1 }))), 'APPROVAL_INVALID');
    const progress = envelopeNow(PAYLOAD_TYPES.progress, utf8(JSON.stringify(fields())), [SEED]);
    assert.equal(check(text(progress)), 'APPROVAL_INVALID');
    const role = { keys: [KEY], threshold: 1 };
    const asLease = () => openEnvelope(utf8(made(fields())), PAYLOAD_TYPES.lease, role);
    assertRefused('ENVELOPE_TYPE_WRONG', asLease);
    for (const junk of ['', '{', '[]', 'null', '{"payload":1}'])
      assert.equal(check(junk), 'APPROVAL_INVALID');
    assert.equal(check(made(fields()) + ' '.repeat(LIMITS.approvalBytesMax)), 'APPROVAL_INVALID');
  });

  it('with the longest names fits, and sixteen of them fit into one request', async () => {
    const long = 'x'.repeat(LIMITS.idLengthMax);
    const subject = { ...SUBJECT, command: 'force-open', wave: LIMITS.wavesMax } as const;
    const names = { fleet: long, rollout: long as RolloutId, user: long };
    const signed = await signApproval({ ...subject, ...names }, seedSigner(SEED), NOW);
    assert.equal(openApproval(signed, KEY).fleet, long);
    const body = { reason: 'r'.repeat(300), by: 'b'.repeat(LIMITS.speakerCharsMax), wave: 16 };
    const all = JSON.stringify({ ...body, signed: new Array(LIMITS.setMembersMax).fill(signed) });
    assert.ok(utf8(all).byteLength <= LIMITS.localRequestBytesMax, `${utf8(all).byteLength}`);
  });
});
