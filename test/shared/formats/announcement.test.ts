import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  assertFresh,
  openAnnouncement,
  openAnnouncementPayload,
} from '../../../shared/formats/announcement.ts';
import { bytesToBase64, utf8 } from '../../../shared/crypto/bytes.ts';
import { PAYLOAD_TYPES } from '../../../shared/formats/envelope.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { openProgress, type ProgressFields } from '../../../shared/formats/progress.ts';
import { fixedSeed, makeFleet } from '../../helpers/fleet.ts';
import { assertRefused, verdictOf } from '../../helpers/refusal.ts';
import { announcementNow, envelopeNow, progressNow } from '../../helpers/sign-now.ts';

const fleet = makeFleet();
const { trust, seeds } = fleet;
const bundle = await fleet.makeBundle({ version: '1.4.2' });
const rollout = (more: Record<string, unknown> = {}) => fleet.makeRollout('app-1', bundle, more);
const announce = (more: Record<string, unknown>) => () => fleet.announce(1, [rollout()], more);
const rolls = (more: Record<string, unknown>) => () => fleet.announce(1, [rollout(more)]);

test('an announcement comes back as it was signed, with its defaults filled in', () => {
  const opened = openAnnouncement(fleet.announce(3, [rollout()]), trust);
  assert.equal(opened.seq, 3);
  const [only] = opened.rollouts;
  assert.deepEqual(only?.manifest, bundle.manifestBytes);
  assert.deepEqual(only?.signature, bundle.signature);
  assert.deepEqual(only?.target, { tags: [], robots: [] });
  assert.deepEqual(
    [only?.emergency, only?.min_canaries, only?.waves],
    [false, 1, [{ percent: 100, soak_s: 0 }]],
  );
});

test('rollouts can be carried over unread: the payload is the bytes that were signed', () => {
  const envelope = fleet.announce(3, [rollout()]);
  const carried = openAnnouncementPayload(envelope, trust);
  const again = envelopeNow(PAYLOAD_TYPES.announcement, carried, [seeds.rollout]);
  assert.deepEqual(again, envelope);
});

test('only a rollout key speaks here, not even the release or root key', () => {
  const fields = { seq: 1, fleet: 'test', issued_at: '2026-01-01T00:00:00Z', rollouts: [] };
  const sign = (seed: Uint8Array) =>
    announcementNow({ ...fields, expires_at: '2099-01-01T00:00:00Z' }, [seed]);
  for (const seed of [seeds.release, seeds.root, fixedSeed(77)]) {
    assertRefused('ENVELOPE_KEY_UNKNOWN', () => openAnnouncement(sign(seed), trust));
  }
  assert.equal(openAnnouncement(sign(seeds.rollout), trust).rollouts.length, 0);
});

test('an announcement of another fleet is refused, whoever signed it', () => {
  const other = makeFleet('other').announce(1, []);
  assertRefused('FLEET_WRONG', () => openAnnouncement(other, trust), /got other, want test/);
});

test('a document of the wrong shape is refused by field, also when it is signed', () => {
  const refused = (make: () => Uint8Array, words: RegExp) =>
    assertRefused('ANNOUNCEMENT_INVALID', () => openAnnouncement(make(), trust), words);
  refused(announce({ seq: 0 }), /field seq/);
  refused(announce({ seq: 1.5 }), /field seq/);
  refused(announce({ expires_at: '2026-02-30T00:00:00Z' }), /field expires_at/);
  refused(announce({ rollouts: [rollout(), rollout()] }), /a rollout id twice/);
  refused(announce({ rollouts: 'all' }), /field rollouts/);
  refused(rolls({ id: 'a/b' }), /field rollouts\.0\.id/);
  refused(rolls({ manifest: '' }), /manifest/);
  refused(rolls({ signature: bytesToBase64(new Uint8Array(65)) }), /signature/);
  refused(rolls({ waves: [] }), /waves/);
  refused(rolls({ waves: [{ percent: 101 }] }), /percent/);
  refused(rolls({ waves: Array(LIMITS.wavesMax + 1).fill({ percent: 1 }) }), /waves/);
  refused(rolls({ emergency: 'yes' }), /emergency/);
  refused(rolls({ health_timeout_s: 0 }), /health_timeout_s/);
  refused(rolls({ health_timeout_s: 1e9 }), /health_timeout_s/);
  refused(rolls({ artifacts: [] }), /artifacts/);
  refused(rolls({ target: { robots: ['r/1'] } }), /target\.robots\.0/);
  const { artifact } = bundle;
  const artifacts = (more: object) => rolls({ artifacts: [{ ...artifact, ...more }] });
  refused(artifacts({ chunk_size: LIMITS.chunkBytesMin - 1 }), /chunk_size/);
  refused(artifacts({ chunk_size: LIMITS.chunkBytesMax + 1 }), /chunk_size/);
  refused(artifacts({ size: 0 }), /size/);
  refused(artifacts({ size: LIMITS.payloadBytesMax + 1 }), /size/);
  refused(artifacts({ sha256: 'x' }), /sha256/);
  refused(artifacts({ kind: 'shell' }), /kind/);
});

test('any signed payload is an announcement or a typed refusal', () => {
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.string({ minLength: 1 })), (payload) => {
      const envelope = envelopeNow(PAYLOAD_TYPES.announcement, utf8(payload), [seeds.rollout]);
      assert.notEqual(
        verdictOf(() => openAnnouncement(envelope, trust)),
        'taken',
      );
    }),
    { numRuns: 60 },
  );
});

test('fresh is: not below the highest seq seen, and not expired', () => {
  const instant = fc.integer({ min: 0, max: 10 });
  fc.assert(
    fc.property(instant, instant, instant, instant, (seq, floor, expires_at, now) => {
      const verdict = verdictOf(() => assertFresh({ seq, expires_at }, floor, now));
      if (seq < floor) assert.equal(verdict, 'ANNOUNCEMENT_REPLAYED');
      else if (now >= expires_at) assert.equal(verdict, 'ANNOUNCEMENT_EXPIRED');
      else assert.equal(verdict, 'taken');
    }),
  );
});

const progressFields: ProgressFields = {
  fleet: 'test',
  rollout: 'app-1',
  seq: 1,
  issued_at: '2026-01-01T00:00:00Z',
  expires_at: '2099-01-01T00:00:00Z',
  wave: 1,
  threshold: 0.25,
  status: 'rolling',
};

test('progress comes back as it was signed, and only from a rollout key of this fleet', () => {
  const sign = (more: object, seed = seeds.rollout) =>
    progressNow({ ...progressFields, ...more }, [seed]);
  const opened = openProgress(sign({}), trust);
  assert.deepEqual([opened.threshold, opened.status, opened.reasons], [0.25, 'rolling', []]);
  assertRefused('FLEET_WRONG', () => openProgress(sign({ fleet: 'other' }), trust));
  assertRefused('ENVELOPE_KEY_UNKNOWN', () => openProgress(sign({}, seeds.release), trust));
  assertRefused('ENVELOPE_TYPE_WRONG', () => openProgress(fleet.announce(1, []), trust));
  for (const wrong of [
    { threshold: 1.01 },
    { threshold: -0.01 },
    { threshold: '1' },
    { wave: -1 },
    { status: 'done' },
    { rollout: '' },
    { reasons: ['x'.repeat(501)] },
    { seq: 0 },
  ]) {
    const [field] = Object.keys(wrong);
    const open = () => openProgress(sign(wrong), trust);
    assertRefused('ANNOUNCEMENT_INVALID', open, new RegExp(`field ${field}`));
  }
});
