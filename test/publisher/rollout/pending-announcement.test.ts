/** An announcement in a file between two people: what it replaces, and what makes it stale. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  encodePending,
  mayReplace,
  parsePending,
  readPending,
  replacing,
  signaturesOf,
} from '../../../publisher/rollout/pending-announcement.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { publicKeyOf } from '../../../shared/crypto/ed25519.ts';
import { announcementNow } from '../../helpers/sign-now.ts';
import { fixedSeed, makeFleet } from '../../helpers/fleet.ts';
import { assertRefused, verdictOf } from '../../helpers/refusal.ts';

const fleet = makeFleet();
const bundle = await fleet.makeBundle({ version: '1.0.0' });
const envelope = fleet.announce(7, [fleet.makeRollout('app-1', bundle)]);
const before = fleet.announce(6, []);
const { trust } = fleet;

test('a file comes back as it was written, and nothing else is one', () => {
  const pending = replacing(before, envelope);
  const bytes = encodePending(pending);
  assert.deepEqual(parsePending(bytes), pending);
  assert.deepEqual(parsePending(encodePending(replacing(null, envelope))).replaces, null);
  for (const other of [envelope, utf8('{}'), utf8('{"kind":"drover-announcement"}')]) {
    assertRefused('ANNOUNCEMENT_INVALID', () => parsePending(other));
  }
});

test('any changed byte is refused, or says the same', () => {
  const bytes = encodePending(replacing(before, envelope));
  fc.assert(
    fc.property(fc.nat(bytes.byteLength - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const changed = bytes.slice();
      changed[at] = (changed[at] ?? 0) ^ change;
      const read = () => mayReplace(parsePending(changed), before, trust);
      if (verdictOf(read) === 'taken') {
        assert.deepEqual(readPending(parsePending(changed), trust).seq, 7);
      }
    }),
    { numRuns: 400 },
  );
});

test('it takes the place only of what it was planned on', () => {
  const pending = replacing(before, envelope);
  assert.equal(mayReplace(pending, before, trust), true);
  assert.equal(mayReplace(pending, envelope, trust), false, 'it is out already');
  const first = replacing(null, envelope);
  assert.equal(mayReplace(first, null, trust), true);
  for (const [file, current] of [
    [pending, fleet.announce(8, [])],
    [pending, null],
    [first, before],
  ] as const) {
    assertRefused('SEQ_CONFLICT', () => mayReplace(file, current, trust));
  }
});

test('a bundle that no release key signed, and another fleet, are refused before a person signs', async () => {
  const forged = { ...bundle, signature: new Uint8Array(64) };
  const rollout = fleet.makeRollout('app-1', forged);
  const bad = replacing(null, fleet.announce(7, [rollout]));
  assertRefused('BUNDLE_SIGNATURE_BAD', () => readPending(bad, trust));
  const other = makeFleet('other');
  const theirs = replacing(null, other.announce(7, []));
  assertRefused('FLEET_WRONG', () => readPending(theirs, trust));
});

test('signatures are counted by keys of the role', () => {
  const [a, b] = [fixedSeed(3), fixedSeed(4)];
  const rollout = { keys: [a, b].map(publicKeyOf), threshold: 2 };
  const two = { ...trust, roles: { ...trust.roles, rollout } };
  const fields = {
    fleet: 'test',
    seq: 1,
    issued_at: '2026-01-01T00:00:00Z',
    expires_at: '2099-01-01T00:00:00Z',
    rollouts: [],
  };
  const count = (...seeds: Uint8Array[]) =>
    signaturesOf(replacing(null, announcementNow(fields, seeds)), two);
  assert.deepEqual(count(a), { got: 1, want: 2 });
  assert.deepEqual(count(a, a), { got: 1, want: 2 });
  assert.deepEqual(count(a, b, fixedSeed(9)), { got: 2, want: 2 });
  const alone = replacing(null, announcementNow(fields, [a]));
  assertRefused('ENVELOPE_SIGNATURES_TOO_FEW', () => mayReplace(alone, null, two));
});
