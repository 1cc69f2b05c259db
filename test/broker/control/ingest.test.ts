import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { planIngest, vouchForSigned } from '../../../broker/control/ingest.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { parseTopic } from '../../../shared/formats/topics.ts';
import { fixedSeed, makeFleet, type SignedBundle } from '../../helpers/fleet.ts';
import { assertRefused, verdictOf } from '../../helpers/refusal.ts';
import { updateTo, type RootInput } from '../../helpers/trust-roots.ts';

const HASH = sha256Hex(Buffer.from('a chunk'));
const NOW = Date.parse('2026-06-01T00:00:00Z');
const fleet = makeFleet();
const EMPTY = new Uint8Array(0);

function vouch(text: string, payload: Uint8Array, stored: Uint8Array | null = null): void {
  const topic = parseTopic(text);
  assert.ok(topic, text);
  vouchForSigned({ topic, payload, stored, trust: fleet.trust, now: NOW });
}

describe('the kind of a message', () => {
  const bounds: readonly [string, number, 'CHUNK_TOO_LARGE' | 'DOCUMENT_TOO_LARGE'][] = [
    [`fleet-chunks/${HASH}`, LIMITS.chunkBytesMax, 'CHUNK_TOO_LARGE'],
    ['fleet/updates', LIMITS.controlMessageBytesMax, 'DOCUMENT_TOO_LARGE'],
    ['fleet/trust/2', LIMITS.controlMessageBytesMax, 'DOCUMENT_TOO_LARGE'],
    ['fleet/rollouts/x-1', LIMITS.reportBytesMax, 'DOCUMENT_TOO_LARGE'],
    ['fleet/robots/r1/state', LIMITS.reportBytesMax, 'DOCUMENT_TOO_LARGE'],
  ];
  for (const [topic, bytesMax, code] of bounds) {
    it(`${topic.slice(0, 24)} may have ${bytesMax} bytes and not one more`, () => {
      const plan = planIngest(topic, bytesMax);
      assert.equal(plan.kind, topic.startsWith('fleet-chunks/') ? 'chunk' : 'control');
      assertRefused(code, () => planIngest(topic, bytesMax + 1));
    });
  }

  it('on a topic that is not ours is refused, whatever its size', () => {
    for (const topic of ['', 'foo', 'fleet', 'fleet/robots/r1/secret', 'fleet-chunks/x']) {
      assertRefused('ACCESS_DENIED', () => planIngest(topic, 0));
    }
  });
});

describe('an announcement that a broker vouches for', () => {
  let bundle: SignedBundle;
  before(async () => {
    bundle = await fleet.makeBundle({ version: '1.0.0' });
  });
  const take = (payload: Uint8Array, stored: Uint8Array | null = null): void =>
    vouch('fleet/updates', payload, stored);

  it('is newer than the stored one, or the same bytes again', () => {
    const stored = fleet.announce(10, [fleet.makeRollout('a', bundle)]);
    take(stored);
    take(stored, stored);
    take(fleet.announce(11, []), stored);
    assertRefused('ANNOUNCEMENT_REPLAYED', () => take(fleet.announce(9, []), stored));
    assertRefused('SEQ_CONFLICT', () => take(fleet.announce(10, []), stored));
  });

  it('is not measured against one that this fleet could not have sent', () => {
    const foreign = makeFleet('other').announce(500, []);
    take(fleet.announce(1, []), foreign);
    take(fleet.announce(1, []), Buffer.from('garbage'));
  });

  it('holds only bundles that a release key signed', () => {
    const rollout = fleet.makeRollout('a', bundle);
    const unsigned = { ...rollout, id: 'b', signature: Buffer.alloc(64).toString('base64') };
    assertRefused('BUNDLE_SIGNATURE_BAD', () => take(fleet.announce(1, [rollout, unsigned])));
  });

  it('is signed, of this fleet, not expired and not empty', () => {
    assertRefused('FLEET_WRONG', () => take(makeFleet('other').announce(1, [])));
    const late = { expires_at: new Date(NOW).toISOString() };
    assertRefused('ANNOUNCEMENT_EXPIRED', () => take(fleet.announce(1, [], late)));
    assertRefused('ANNOUNCEMENT_INVALID', () => take(EMPTY));
    assert.notEqual(
      verdictOf(() => take(Buffer.from('{}'))),
      'taken',
    );
  });
});

describe('progress that a broker vouches for', () => {
  const take = (payload: Uint8Array, stored: Uint8Array | null = null): void =>
    vouch('fleet/rollouts/x-1', payload, stored);
  const signed = (seq: number, more: object = {}): Uint8Array =>
    fleet.progress({ rollout: 'x-1', seq, ...more });

  it('is newer than the stored one, or the same bytes again', () => {
    const stored = signed(10);
    take(stored);
    take(stored, stored);
    take(signed(11), stored);
    assertRefused('ANNOUNCEMENT_REPLAYED', () => take(signed(9), stored));
    assertRefused('SEQ_CONFLICT', () => take(signed(10, { wave: 1 }), stored));
  });

  it('is of the rollout that its topic names', () => {
    const other = fleet.progress({ rollout: 'x-2', seq: 1 });
    assertRefused('ANNOUNCEMENT_INVALID', () => take(other));
  });

  it('may be cleared, as a rollout that is over', () => {
    take(EMPTY, signed(10));
  });
});

describe('a report', () => {
  it('is not signed, so there is nothing to vouch for', () => {
    vouch('fleet/robots/r1/state', Buffer.from('{}'));
  });
});

describe('a trust update that a broker vouches for', () => {
  const seeds = { root: [fixedSeed(1)], release: [fixedSeed(2)], rollout: [fixedSeed(3)] };
  const update = (version: number, more: Partial<RootInput> = {}): Uint8Array =>
    updateTo({ version, seeds, ...more }, seeds.root);

  it('is the next one, signed by the root before it', () => {
    vouch('fleet/trust/2', update(2));
    const forged = updateTo({ version: 2, seeds }, [fixedSeed(9)]);
    assertRefused('ENVELOPE_KEY_UNKNOWN', () => vouch('fleet/trust/2', forged));
    assertRefused('TRUST_VERSION_WRONG', () => vouch('fleet/trust/3', update(3)));
    assertRefused('TRUST_VERSION_WRONG', () => vouch('fleet/trust/2', update(3)));
    assertRefused('JSON_INVALID', () => vouch('fleet/trust/2', EMPTY));
  });

  it('is carried when it is older, whole and the first one of its version', () => {
    vouch('fleet/trust/1', update(1));
    vouch('fleet/trust/1', update(1), update(1));
    const other = update(1, { expires: '2098-01-01T00:00:00Z' });
    assertRefused('TRUST_VERSION_WRONG', () => vouch('fleet/trust/1', other, update(1)));
    assertRefused('TRUST_VERSION_WRONG', () => vouch('fleet/trust/1', update(1, { fleet: 'x' })));
    assertRefused('JSON_INVALID', () => vouch('fleet/trust/1', EMPTY, update(1)));
  });
});
