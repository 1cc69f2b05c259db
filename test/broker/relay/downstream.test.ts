/**
 * The messages of its upstream that a relay passes on; each kind of invalid message is one case.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { planDown, type DownInput } from '../../../broker/relay/downstream.ts';
import { publicKeyOf } from '../../../shared/crypto/ed25519.ts';
import { PAYLOAD_TYPES } from '../../../shared/formats/envelope.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { openTrustUpdate } from '../../../shared/formats/trust-chain.ts';
import { parseTopic, type Topic } from '../../../shared/formats/topics.ts';
import { fixedSeed, makeFleet } from '../../helpers/fleet.ts';
import { assertRefused } from '../../helpers/refusal.ts';
import { envelopeNow } from '../../helpers/sign-now.ts';

const fleet = makeFleet();
const NOW = Date.UTC(2026, 5, 1);
const NOTHING = new Uint8Array();
const topicOf = (text: string): Topic => {
  const topic = parseTopic(text);
  assert.ok(topic, text);
  return topic;
};

function plan(text: string, payload: Uint8Array, more: Partial<DownInput> = {}) {
  const { trust } = fleet;
  return planDown({
    ...{ topic: topicOf(text), payload, stored: null, floor: 0, isAnnounced: true },
    ...{ trust, head: trust, now: NOW, ...more },
  });
}

describe('an announcement from above', () => {
  it('is handed on when it is signed, fresh and no older than the one here [P-5.8]', () => {
    const [one, two] = [fleet.announce(1, []), fleet.announce(2, [])];
    assert.equal(plan('fleet/updates', one).kind, 'hand-on');
    assert.equal(plan('fleet/updates', two, { stored: one }).kind, 'hand-on');
    assert.equal(plan('fleet/updates', two, { stored: two }).kind, 'known');
    const old = (): unknown => plan('fleet/updates', one, { stored: two });
    assertRefused('ANNOUNCEMENT_REPLAYED', old);
    assertRefused('ANNOUNCEMENT_INVALID', () => plan('fleet/updates', NOTHING, { stored: one }));
    const late = { now: Date.UTC(2100, 0, 1) };
    assertRefused('ANNOUNCEMENT_EXPIRED', () => plan('fleet/updates', one, late));
    const other = makeFleet('other').announce(3, []);
    assertRefused('FLEET_WRONG', () => plan('fleet/updates', other));
    assertRefused('JSON_INVALID', () => plan('fleet/updates', utf8('nonsense')));
  });

  it('is known again when it has expired meanwhile: nothing is refused that stands here', () => {
    const one = fleet.announce(1, []);
    const late = { stored: one, now: Date.UTC(2100, 0, 1) };
    assert.equal(plan('fleet/updates', one, late).kind, 'known');
  });
});

describe('progress from above', () => {
  const TOPIC = 'fleet/rollouts/r-1';
  const progress = (seq: number): Uint8Array => fleet.progress({ rollout: 'r-1', seq });

  it('raises its floor, which does not fall when the topic is cleared [P-5.8]', () => {
    const handed = plan(TOPIC, progress(5));
    assert.deepEqual(handed, { kind: 'hand-on', floor: { rollout: 'r-1', seq: 5 } });
    const cleared = { isAnnounced: false, stored: progress(5) };
    assert.equal(plan(TOPIC, NOTHING, cleared).kind, 'clear');
    assertRefused('ANNOUNCEMENT_REPLAYED', () => plan(TOPIC, progress(4), { floor: 5 }));
    assert.equal(plan(TOPIC, progress(5), { floor: 5 }).kind, 'hand-on');
  });

  it('is not cleared while its rollout is announced, since an empty message has no signature', () => {
    assertRefused('ANNOUNCEMENT_INVALID', () => plan(TOPIC, NOTHING, { stored: progress(5) }));
    assert.equal(plan(TOPIC, NOTHING).kind, 'known');
  });

  it('of another rollout, another key or another fleet is refused', () => {
    const other = fleet.progress({ rollout: 'r-2', seq: 9 });
    assertRefused('ANNOUNCEMENT_INVALID', () => plan(TOPIC, other));
    const announcement = fleet.announce(1, []);
    assertRefused('ENVELOPE_TYPE_WRONG', () => plan(TOPIC, announcement));
    const elsewhere = makeFleet('other').progress({ rollout: 'r-1', seq: 9 });
    assertRefused('FLEET_WRONG', () => plan(TOPIC, elsewhere));
  });

  it('never goes back, in whatever order old and new ones come', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 20 }), (seqs) => {
        let [floor, highest] = [0, 0];
        let stored: Uint8Array | null = null;
        for (const seq of seqs) {
          const isClear = seq === 0;
          const payload = isClear ? NOTHING : progress(seq);
          try {
            const made = plan(TOPIC, payload, { stored, floor, isAnnounced: false });
            if (made.kind === 'clear') stored = null;
            if (made.kind !== 'hand-on') continue;
            floor = made.floor?.seq ?? floor;
            stored = payload;
          } catch {
            assert.ok(seq < highest, 'only an older one is refused');
            continue;
          }
          assert.ok(seq >= highest, 'an older one was handed on');
          highest = seq;
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('a trust root from above', () => {
  const NEXT_ROOT = fixedSeed(7);
  const rootFields = (version: number, key: Uint8Array, more: object = {}): Uint8Array =>
    utf8(
      JSON.stringify({
        ...{ version, fleet: 'test', expires: '2099-01-01T00:00:00Z' },
        roles: {
          root: { keys: [publicKeyOf(key)], threshold: 1 },
          release: { keys: [fleet.keys.release], threshold: 1 },
          rollout: { keys: [fleet.keys.rollout], threshold: 1 },
        },
        ...more,
      }),
    );
  const sign = (payload: Uint8Array, ...seeds: Uint8Array[]): Uint8Array =>
    envelopeNow(PAYLOAD_TYPES.trust, payload, seeds);
  const two = sign(rootFields(2, NEXT_ROOT), fleet.seeds.root, NEXT_ROOT);
  const three = sign(rootFields(3, fixedSeed(8)), NEXT_ROOT, fixedSeed(8));

  it('is handed on when both the old and the new root keys signed it [P-4.6]', () => {
    const made = plan('fleet/trust/2', two);
    assert.ok(made.kind === 'hand-on-trust');
    assert.equal(made.version, 2);
    const [half, otherHalf] = [
      sign(rootFields(2, NEXT_ROOT), NEXT_ROOT),
      sign(rootFields(2, NEXT_ROOT), fleet.seeds.root),
    ];
    assertRefused('ENVELOPE_KEY_UNKNOWN', () => plan('fleet/trust/2', half));
    assertRefused('ENVELOPE_KEY_UNKNOWN', () => plan('fleet/trust/2', otherHalf));
  });

  it('waits for the one before it, and takes no other in the place of one that stands', () => {
    assert.equal(plan('fleet/trust/3', three).kind, 'later');
    const trust = openTrustUpdate(two, fleet.trust);
    assert.equal(plan('fleet/trust/3', three, { trust }).kind, 'hand-on-trust');
    const twin = sign(rootFields(2, fixedSeed(6)), fleet.seeds.root, fixedSeed(6));
    assertRefused('TRUST_VERSION_WRONG', () => plan('fleet/trust/2', twin, { trust, stored: two }));
    assert.equal(plan('fleet/trust/2', two, { trust, stored: two }).kind, 'known');
    assert.equal(plan('fleet/trust/2', NOTHING, { trust, stored: two }).kind, 'known');
  });

  it('is of the next version and of this fleet', () => {
    const seeds = [fleet.seeds.root, NEXT_ROOT];
    const skipped = sign(rootFields(3, NEXT_ROOT), ...seeds);
    assertRefused('TRUST_VERSION_WRONG', () => plan('fleet/trust/2', skipped));
    const foreign = sign(rootFields(2, NEXT_ROOT, { fleet: 'other' }), ...seeds);
    assertRefused('FLEET_WRONG', () => plan('fleet/trust/2', foreign));
  });
});

it('nothing else comes down from above', () => {
  const others = ['fleet/robots/r1/state', 'fleet/controller', 'fleet/relays/x/online'];
  for (const text of others) assert.equal(plan(text, utf8('{}')).kind, 'ignore', text);
});
