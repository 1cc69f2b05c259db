import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  brokenBound,
  highestAfter,
  isBelowHighest,
  mayGoDown,
} from '../../../shared/rules/release-word.ts';
import { unfitFor } from '../../../shared/rules/rollout-rules.ts';
import { compareVersions } from '../../../shared/base/version.ts';
import type { Sha256Hex } from '../../../shared/base/ids.ts';

const hash = (digit: string): Sha256Hex => digit.repeat(64) as Sha256Hex;
const offer = (version: string, more: { downgrade_from?: string; payload?: string } = {}) => ({
  version,
  target_arch: 'any',
  min_current_version: '0.0.0',
  payload_sha256: hash(more.payload ?? 'a'),
  ...(more.downgrade_from !== undefined && { downgrade_from: more.downgrade_from }),
});

describe('a robot that was taken back below what it confirmed', () => {
  const robot = {
    arch: 'x86_64',
    running: { version: '1.0.0', payloadSha256: hash('1') },
    highest: '2.0.0',
    ran: [hash('1'), hash('2')],
  };

  it('takes nothing that it never ran below that, although it is newer than what runs', () => {
    assert.equal(unfitFor(offer('1.1.0'), robot), 'BELOW_HIGHEST');
    assert.equal(unfitFor(offer('2.0.1'), robot), null);
    assert.equal(unfitFor(offer('1.1.0'), { ...robot, highest: null }), null); // of an older agent
  });

  it('takes again what ran there, and what a release key has sent down', () => {
    assert.equal(unfitFor(offer('2.0.0', { payload: '2' }), robot), null);
    assert.equal(unfitFor(offer('1.5.0', { payload: '2' }), robot), null);
    assert.equal(unfitFor(offer('1.1.0', { downgrade_from: '2.0.0' }), robot), null);
    assert.equal(unfitFor(offer('1.1.0', { downgrade_from: '1.9.0' }), robot), 'BELOW_HIGHEST');
  });

  it('holds to that with nothing installed, as after the recall of its only release', () => {
    const empty = { ...robot, running: null };
    assert.equal(unfitFor(offer('1.1.0'), empty), 'BELOW_HIGHEST');
    assert.equal(unfitFor(offer('2.0.0'), empty), null);
    assert.equal(unfitFor(offer('1.5.0', { payload: '2' }), empty), null);
    assert.equal(unfitFor(offer('1.1.0', { downgrade_from: '2.0.0' }), empty), null);
    assert.equal(unfitFor(offer('1.1.0'), { arch: 'x86_64', running: null }), null);
  });

  it('goes down from what runs with that word only, and no further than it says', () => {
    const at2 = { ...robot, running: { version: '2.0.0', payloadSha256: hash('2') } };
    assert.equal(unfitFor(offer('1.1.0'), at2), 'NOT_NEWER');
    assert.equal(unfitFor(offer('1.1.0', { downgrade_from: '2.0.0' }), at2), null);
    const at3 = { ...at2, highest: '3.0.0' };
    assert.equal(unfitFor(offer('1.1.0', { downgrade_from: '2.0.0' }), at3), 'BELOW_HIGHEST');
  });
});

describe('the highest version that was confirmed', () => {
  it('only rises, but for a downgrade that a release key signed for it', () => {
    const version = fc.tuple(fc.nat(3), fc.nat(3)).map(([major, minor]) => `${major}.${minor}.0`);
    const step = fc.record({ version, downgradeFrom: fc.option(version) });
    fc.assert(
      fc.property(fc.array(step), version, (steps, next) => {
        let highest: string | null = null;
        for (const one of steps) {
          const after = highestAfter(highest, one);
          const isLower = highest !== null && compareVersions(after, highest) < 0;
          if (isLower) {
            assert.ok(mayGoDown({ downgrade_from: one.downgradeFrom ?? undefined }, highest ?? ''));
          }
          highest = after;
        }
        const isBelow = highest !== null && compareVersions(next, highest) < 0;
        assert.equal(isBelowHighest(offer(next), { highest }), isBelow);
      }),
    );
  });
});

describe('the bound that a manifest sets for its announcement', () => {
  const bounds = {
    health_timeout_min_s: 30,
    gates: { apply_success_min: 0.95, crashes_per_hour_max: 1, auto_rollback: true },
  };
  const fits = { apply_success_min: 0.95, crashes_per_hour_max: 0.5 };

  it('is nothing by default, and at least what it says otherwise', () => {
    assert.equal(brokenBound({}, { health_timeout_s: 1 }), null);
    assert.equal(brokenBound({ bounds }, { health_timeout_s: 30, gates: fits }), null);
    assert.equal(brokenBound({ bounds }, { gates: fits }), null);
    assert.match(brokenBound({ bounds }, { health_timeout_s: 29 }) ?? '', /too short \(got 29/);
    const lax = (gates: object): string =>
      brokenBound({ bounds }, { gates: { ...fits, ...gates } }) ?? '';
    assert.match(lax({ apply_success_min: 0.9 }), /apply_success_min is too lax/);
    assert.match(lax({ crashes_per_hour_max: 2 }), /crashes_per_hour_max/);
    assert.match(lax({ crashes_per_hour_max: null }), /got null, want 1/);
    assert.match(lax({ auto_rollback: false }), /auto_rollback/);
  });
});
