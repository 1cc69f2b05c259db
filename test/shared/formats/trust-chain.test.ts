import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { coSignEnvelope, PAYLOAD_TYPES } from '../../../shared/formats/envelope.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { isSameRole, LiveTrust, openTrustUpdate } from '../../../shared/formats/trust-chain.ts';
import { fixedSeed } from '../../helpers/fleet.ts';
import { assertRefused, verdictOf } from '../../helpers/refusal.ts';
import { rootBytes, rootOf, updateTo, type RootInput } from '../../helpers/trust-roots.ts';
import { seedSigner } from '../../../shared/crypto/ed25519.ts';
import { envelopeNow } from '../../helpers/sign-now.ts';

const [a, b, c, d] = [1, 2, 3, 4].map(fixedSeed) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
  Uint8Array,
];
const others = { release: [fixedSeed(11)], rollout: [fixedSeed(12)] };
const first: RootInput = { version: 1, seeds: { root: [a, b], ...others }, rootThreshold: 2 };
const second: RootInput = { version: 2, seeds: { root: [b, c], ...others }, rootThreshold: 2 };
const current = rootOf(first);

describe('the next trust root', () => {
  it('takes the thresholds of the root before it and of its own [P-4.6]', () => {
    const seeds = [a, b, c, d];
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(3), { minLength: 1 }), (chosen) => {
        const signers = chosen.map((at) => seeds[at] as Uint8Array);
        const verdict = verdictOf(() => openTrustUpdate(updateTo(second, signers), current));
        const isEnough = [a, b, c].every((seed) => signers.includes(seed));
        assert.equal(verdict === 'taken', isEnough, `${chosen.join()}: ${verdict}`);
      }),
    );
  });

  it('is refused when any byte of it is another [P-4.6]', () => {
    const update = updateTo(second, [a, b, c]);
    fc.assert(
      fc.property(fc.nat(update.byteLength - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = update.slice();
        bytes[at] = (bytes[at] ?? 0) ^ change;
        const verdict = verdictOf(() => openTrustUpdate(bytes, current));
        // A label of a key, or the case of an escape, says nothing: what it leads to is the same.
        if (verdict === 'taken') assert.deepEqual(openTrustUpdate(bytes, current), rootOf(second));
      }),
      { numRuns: 400 },
    );
  });

  it('is the very next one, of the same fleet, and a document of its own kind [P-4.7]', () => {
    const skips = updateTo({ ...second, version: 3 }, [a, b, c]);
    assertRefused('TRUST_VERSION_WRONG', () => openTrustUpdate(skips, current), /want 2/);
    const again = updateTo(first, [a, b]);
    assertRefused('TRUST_VERSION_WRONG', () => openTrustUpdate(again, current), /got version 1/);
    const foreign = updateTo({ ...second, fleet: 'other' }, [a, b, c]);
    assertRefused('FLEET_WRONG', () => openTrustUpdate(foreign, current));
    const other = envelopeNow(PAYLOAD_TYPES.progress, rootBytes(second), [a, b, c]);
    assertRefused('ENVELOPE_TYPE_WRONG', () => openTrustUpdate(other, current));
    assertRefused('JSON_INVALID', () => openTrustUpdate(new Uint8Array(), current));
  });

  it('is found from one that has expired [P-4.7]', () => {
    const stale = rootOf({ ...first, expires: '2020-01-01T00:00:00Z' });
    assert.equal(openTrustUpdate(updateTo(second, [a, b, c]), stale).version, 2);
  });
});

describe('a trust root in force', () => {
  it('moves forward only, and every part that holds it sees the new keys', () => {
    const live = new LiveTrust(current);
    const next = openTrustUpdate(updateTo(second, [a, b, c]), live);
    live.moveTo(next);
    assert.deepEqual(
      [live.version, live.roles, live.expires, live.fleet],
      [2, next.roles, next.expires, 'test'],
    );
    assertRefused('TRUST_VERSION_WRONG', () => live.moveTo(current));
    assertRefused('TRUST_VERSION_WRONG', () => live.moveTo(next));
    assert.equal(live.current, next);
  });

  it('tells a role that has changed from one that has not', () => {
    const next = rootOf(second);
    assert.equal(isSameRole(current, next, 'root'), false);
    assert.equal(isSameRole(current, next, 'rollout'), true);
    const turned = rootOf({ ...first, seeds: { ...first.seeds, root: [b, a] } });
    assert.equal(isSameRole(current, turned, 'root'), true, 'the order says nothing');
    assert.equal(isSameRole(current, rootOf({ ...first, rootThreshold: 1 }), 'root'), false);
  });
});

const readJson = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes));

describe('an update that several people sign', () => {
  it('takes signatures one after the other, none twice, no more than anybody reads', async () => {
    const alone = updateTo(second, [a]);
    const coSign = (bytes: Uint8Array, ...by: Uint8Array[]) =>
      coSignEnvelope(bytes, PAYLOAD_TYPES.trust, by.map(seedSigner));
    const all = readJson(await coSign(await coSign(alone, b), c, a, b));
    assert.deepEqual(all, readJson(updateTo(second, [a, b, c])));
    const lease = coSignEnvelope(alone, PAYLOAD_TYPES.lease, [seedSigner(b)]);
    await assert.rejects(lease, { code: 'ENVELOPE_TYPE_WRONG' });
    const many = Array.from({ length: LIMITS.signaturesMax + 1 }, (_, at) => fixedSeed(at + 1));
    await assert.rejects(coSign(alone, ...many), { code: 'ENVELOPE_MALFORMED' });
  });
});
