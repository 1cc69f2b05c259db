/** A site accepts an air-gap file, or refuses it as too old, foreign or assembled by a stranger. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  assertOrder,
  assertTogether,
  importedAfterRotation,
  importFloor,
  newestTaken,
  judgeAnnouncement,
} from '../../../publisher/airgap/plan-import.ts';
import type { ParcelIndex } from '../../../publisher/airgap/parcel.ts';
import { chooseRollouts } from '../../../publisher/airgap/plan-export.ts';
import { planAnnouncement } from '../../../publisher/rollout/plan-announcement.ts';
import { openAnnouncement } from '../../../shared/formats/announcement.ts';
import { parseManifest } from '../../../shared/formats/manifest.ts';
import { fixedSeed, makeFleet } from '../../helpers/fleet.ts';
import { assertRefused } from '../../helpers/refusal.ts';
import { announcementNow } from '../../helpers/sign-now.ts';
import { seedSigner } from '../../../shared/crypto/ed25519.ts';

const fleet = makeFleet();
const { trust, seeds } = fleet;
const NOW = Date.parse('2026-06-01T00:00:00Z');
const indexOf = (seq: number, name = 'test'): ParcelIndex => ({
  kind: 'drover-export',
  format: 1,
  fleet: name,
  seq,
  created_at: NOW,
  members: [],
});
const one = await fleet.makeBundle({ version: '1.0.0' });
const two = await fleet.makeBundle({ version: '1.1.0' });
const rollouts = [fleet.makeRollout('a', one), fleet.makeRollout('b', two)];

test('the floor is what came in before, or what others announced here [P-13.5]', () => {
  assert.equal(importFloor(null, trust, []), 0);
  const current = fleet.announce(50, rollouts);
  assert.equal(importFloor(current, trust, []), 50);
  assert.equal(importFloor(current, trust, [seedSigner(fixedSeed(99))]), 50);
  assert.equal(importFloor(current, trust, [seedSigner(seeds.rollout)]), 0);
  const own = fleet.announce(50, rollouts, { imported: { seq: 7 } });
  assert.equal(importFloor(own, trust, [seedSigner(seeds.rollout)]), 7);
  // Without a key the file's own announcement is put up: robots have accepted 50 already.
  assert.equal(importFloor(own, trust, []), 50);
  assertRefused('ENVELOPE_KEY_UNKNOWN', () => {
    const fields = { fleet: 'test', seq: 1, rollouts: [] };
    const window = { issued_at: '2026-01-01T00:00:00Z', expires_at: '2099-01-01T00:00:00Z' };
    importFloor(announcementNow({ ...fields, ...window }, [fixedSeed(99)]), trust, []);
  });
});

test('a rotation keeps the floor of files, and what a replaced key said of it no further than now [P-13.5]', () => {
  const kept = {
    before: trust,
    after: { ...trust, roles: { ...trust.roles, root: trust.roles.release } },
  };
  const gone = {
    before: trust,
    after: { ...trust, roles: { ...trust.roles, rollout: trust.roles.root } },
  };
  const [second, day] = [Math.floor(NOW / 1000), 86_400];
  const after = (seq: number, roots: typeof kept): number | undefined =>
    importedAfterRotation(fleet.announce(50, rollouts, { imported: { seq } }), roots, NOW)?.seq;
  assert.equal(importedAfterRotation(fleet.announce(50, rollouts), kept, NOW), null);
  for (const roots of [kept, gone]) assert.equal(after(second - 10, roots), second - 10);
  assert.equal(after(second + 60, kept), second + 60);
  assert.equal(after(second + 60, gone), second);
  // Set up by a thief to be dropped, so that an old file could come in again.
  assert.equal(after(2 ** 52, kept), second + day);
  assert.equal(after(2 ** 52, gone), second);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 50 }), fc.boolean(), (seq, isGone) => {
      const floor = after(seq, isGone ? gone : kept) ?? 0;
      // No file that is made from now on is shut out for long, and none of before comes in again.
      assert.ok(floor <= second + (isGone ? 0 : day));
      assert.ok(floor >= Math.min(seq, second));
    }),
    { numRuns: 30 },
  );
});

test('an older file, one of another fleet and one from the future are refused [P-13.4]', () => {
  const proven = { isProven: true, now: NOW };
  assertOrder(indexOf(50), { trust, floor: 50 }, proven);
  assertRefused('PARCEL_OLD', () => assertOrder(indexOf(49), { trust, floor: 50 }, proven));
  assertRefused('FLEET_WRONG', () => assertOrder(indexOf(50, 'x'), { trust, floor: 0 }, proven));
  const future = indexOf(NOW / 1000 + 2 * 86_400);
  assertOrder(future, { trust, floor: 0 }, proven);
  const claim = { isProven: false, now: NOW };
  assertRefused('PARCEL_INVALID', () => assertOrder(future, { trust, floor: 0 }, claim));
});

test('a file that is older only than what the site announces itself wants the key of the site', () => {
  const proven = { isProven: true, now: NOW };
  const own = fleet.announce(60, rollouts, { imported: { seq: 50 } });
  const floor = importFloor(own, trust, []);
  const taken = newestTaken(own, trust);
  const come = (seq: number) => () => assertOrder(indexOf(seq), { trust, floor, taken }, proven);
  assertRefused('PARCEL_OLD', come(50), /announces with a key of its own, and did so later/);
  assertRefused('PARCEL_OLD', come(49), /older than what this site has/);
  come(60)();
  assert.equal(newestTaken(fleet.announce(60, rollouts), trust), null);
  assert.equal(newestTaken(null, trust), null);
});

test('only the announcement inside vouches for the order [P-13.4]', () => {
  const bytes = fleet.announce(50, rollouts);
  const site = { trust, isResigned: false, now: NOW };
  assert.equal(judgeAnnouncement(bytes, site, indexOf(50))?.seq, 50);
  assertRefused('PARCEL_DAMAGED', () => judgeAnnouncement(bytes, site, indexOf(51)));
  const late = { ...site, now: Date.parse('2100-01-01T00:00:00Z') };
  assertRefused('ANNOUNCEMENT_EXPIRED', () => judgeAnnouncement(bytes, late, indexOf(50)));
  const foreign = { ...trust, roles: { ...trust.roles, rollout: trust.roles.root } };
  const other = { ...site, trust: foreign };
  assertRefused('ENVELOPE_KEY_UNKNOWN', () => judgeAnnouncement(bytes, other, indexOf(50)));
  assert.equal(judgeAnnouncement(bytes, { ...other, isResigned: true }, indexOf(50)), null);
});

test('bundles and announcement of a file belong together', () => {
  const both = openAnnouncement(fleet.announce(50, rollouts), trust);
  const first = openAnnouncement(fleet.announce(50, rollouts.slice(0, 1)), trust);
  assertTogether(both, [one.manifestBytes, two.manifestBytes], false);
  assertRefused('PARCEL_INCOMPLETE', () => assertTogether(both, [one.manifestBytes], false));
  assertTogether(both, [one.manifestBytes], true);
  const mixed = [one.manifestBytes, two.manifestBytes];
  assertRefused('PARCEL_DAMAGED', () => assertTogether(first, mixed, true));
});

test('a rollout that was halted stays at home unless it is named', () => {
  const announcement = openAnnouncement(fleet.announce(50, rollouts), trust);
  const choice = chooseRollouts(announcement, new Map([['a', { status: 'halted' as const }]]), []);
  assert.deepEqual(
    choice.taken.map(({ id }) => id),
    ['b'],
  );
  assert.deepEqual(choice.left, [{ rollout: 'a', status: 'halted' }]);
  const named = chooseRollouts(announcement, new Map([['a', { status: 'halted' as const }]]), [
    'a',
  ]);
  assert.equal(named.taken[0]?.id, 'a');
  assertRefused('NOT_FOUND', () => chooseRollouts(announcement, new Map(), ['c']));
});

test('the highest file that came in is kept by every later announcement [P-13.5]', () => {
  const plan = (previous: number | undefined, imported: number | undefined) =>
    planAnnouncement({
      now: NOW,
      fleet: 'test',
      lifeMs: 1_000,
      previous: {
        seq: 1,
        ...(previous !== undefined && { imported: { seq: previous } }),
        rollouts: [],
      },
      rollout: fleet.makeRollout('a', one),
      manifest: parseManifest(one.manifestBytes),
      statuses: new Map(),
      supersede: [],
      alongside: false,
      robots: null,
      ...(imported !== undefined && { imported: { seq: imported } }),
    }).fields.imported;
  assert.deepEqual(plan(5, 7), { seq: 7 });
  assert.deepEqual(plan(7, 5), { seq: 7 });
  assert.deepEqual(plan(7, undefined), { seq: 7 });
  assert.equal(plan(undefined, undefined), undefined);
});
