/** The expiry that a broker reports, and the time at which a controller announces again. */

import fc from 'fast-check';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeExpiry, isDue, renewed, type Renewable } from '../../../broker/control/expiry.ts';
import { AnnouncementKeeper } from '../../../broker/rollout/announcement-keeper.ts';
import { openAnnouncement, type AnnouncementFields } from '../../../shared/formats/announcement.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { announcementNow } from '../../helpers/sign-now.ts';
import { seedSigner } from '../../../shared/crypto/ed25519.ts';

const fleet = makeFleet();
const DAY = 86_400_000;
const NOW = Date.parse('2026-05-01T00:00:00Z');
const rollout = fleet.makeRollout('one', await fleet.makeBundle({ version: '1.0.0' }));

function fieldsOf(lifeMs: number, seq = 7): AnnouncementFields {
  return {
    fleet: fleet.trust.fleet,
    seq,
    issued_at: new Date(NOW).toISOString(),
    expires_at: new Date(NOW + lifeMs).toISOString(),
    rollouts: [rollout],
  };
}

function renewableOf(written: AnnouncementFields): Renewable {
  const bytes = announcementNow(written, [fleet.seeds.rollout]);
  return { written, announcement: openAnnouncement(bytes, fleet.trust) };
}

describe('announcing again', () => {
  it('is due from the middle of a life on, and 15 days before the end of a long one', () => {
    const [short, long] = [renewableOf(fieldsOf(20_000)), renewableOf(fieldsOf(365 * DAY))];
    assert.deepEqual(
      [9_999, 10_000, 19_999, 20_000].map((ms) => isDue(short, NOW + ms)),
      [false, true, true, false],
    );
    assert.deepEqual(
      [349, 350].map((days) => isDue(long, NOW + days * DAY)),
      [false, true],
    );
  });

  it('never happens for what has expired or what names nothing, whatever the clock', () => {
    const lives = fc.integer({ min: 1000, max: 400 * DAY });
    fc.assert(
      fc.property(
        lives,
        fc.integer({ min: -60 * 365 * DAY, max: 60 * 365 * DAY }),
        (life, skew) => {
          const one = renewableOf(fieldsOf(life));
          const due = isDue(one, NOW + skew);
          if (skew >= life || skew < 0) assert.equal(due, false);
          assert.equal(isDue(renewableOf({ ...fieldsOf(life), rollouts: [] }), NOW + skew), false);
          if (!due) return;
          const again = renewed(one, NOW + skew);
          assert.deepEqual(again.rollouts, one.written.rollouts);
          assert.equal(again.seq, one.announcement.seq + 1);
          assert.equal(isDue(renewableOf(again), NOW + skew), false, 'one renewal is enough');
        },
      ),
      { numRuns: 100 },
    );
  });

  it('is signed by the key that leads, waits between tries, and ends with the trust', async () => {
    const sent: Uint8Array[] = [];
    const warned: string[] = [];
    let now = NOW;
    let mono = 0;
    let fails = true;
    const quiet = { debug() {}, info() {}, error() {} };
    const keeper = new AnnouncementKeeper({
      trust: fleet.trust,
      signers: [seedSigner(fleet.seeds.rollout)],
      log: { ...quiet, warn: (_fields: object, text?: string) => void warned.push(text ?? '') },
      now: () => now,
      mono: () => mono,
      publish: async (_topic, payload) => {
        if (fails) throw new Error('away');
        sent.push(payload);
      },
    });
    const bytes = announcementNow(fieldsOf(20_000), [fleet.seeds.rollout]);
    keeper.heard(openAnnouncement(bytes, fleet.trust), bytes);
    await keeper.renew();
    assert.equal(warned.length, 0, 'it is not due');
    now += 12_000;
    await keeper.renew();
    await keeper.renew();
    assert.equal(warned.length, 1, 'one try a minute');
    fails = false;
    mono += 60_000;
    await keeper.renew();
    assert.equal(sent.length, 1);
    const again = openAnnouncement(sent[0] as Uint8Array, fleet.trust);
    assert.deepEqual([again.seq, again.expires_at], [8, now + 20_000]);
  });
});

describe('a document that expires', () => {
  const announcement = openAnnouncement(
    announcementNow(fieldsOf(30 * DAY), [fleet.seeds.rollout]),
    fleet.trust,
  );
  const trust = { version: 3, expires: NOW + 100 * DAY };
  const codesAt = (days: number, renews: boolean): string[] =>
    describeExpiry({ trust, announcement, renews, now: NOW + days * DAY }).problems.map(
      ({ code }) => code,
    );

  it('is reported in time: an announcement for a week, unless a controller renews it', () => {
    assert.deepEqual(codesAt(22, false), []);
    assert.deepEqual(codesAt(24, false), ['ANNOUNCEMENT_EXPIRING']);
    assert.deepEqual(codesAt(24, true), []);
    assert.deepEqual(codesAt(31, false), ['ANNOUNCEMENT_EXPIRED']);
  });

  it('is not renewed once it is over', () => {
    const renews = (days: number): boolean | undefined =>
      describeExpiry({ trust, announcement, renews: true, now: NOW + days * DAY }).announcement
        ?.renews;
    assert.deepEqual([renews(29), renews(31)], [true, false]);
  });

  it('is reported in time: a trust.json for 60 days', () => {
    assert.deepEqual(codesAt(39, true), ['ANNOUNCEMENT_EXPIRED']);
    assert.deepEqual(codesAt(41, true), ['TRUST_EXPIRING', 'ANNOUNCEMENT_EXPIRED']);
    assert.deepEqual(codesAt(101, true), ['TRUST_EXPIRED', 'ANNOUNCEMENT_EXPIRED']);
  });

  it('has its days as numbers, by any clock', () => {
    const view = describeExpiry({ trust, announcement, renews: false, now: 0 });
    assert.equal(view.trust?.days_left, Math.floor((NOW + 100 * DAY) / DAY));
    assert.deepEqual(view.problems, []);
    assert.deepEqual(describeExpiry({ trust: null, announcement: null, renews: false, now: NOW }), {
      trust: null,
      announcement: null,
      problems: [],
    });
  });
});
