/** The life of a trust.json: how short it may be, and what people are told before its end. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trustEndLines, trustLifeMs } from '../../../publisher/trust/plan-trust.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { assertRefused } from '../../helpers/refusal.ts';

const DAY = 86_400_000;

test('a trust.json lives a day at least, since nobody could rotate it before it ends', () => {
  assert.equal(trustLifeMs('365d'), 365 * DAY);
  assert.equal(trustLifeMs('1d'), DAY);
  for (const short of ['0', '0d', '1s', '23h']) {
    assertRefused('USAGE', () => trustLifeMs(short), /too short, robots would take nothing before/);
  }
});

test('its end is told in days, and on the last day in hours', () => {
  const { trust } = makeFleet();
  const lines = (leftMs: number): string[] => trustEndLines(trust, trust.expires - leftMs);
  assert.match(lines(20 * DAY)[0] ?? '', /^trust\.json version \d+ expires in 20 days, at /);
  assert.match(lines(DAY / 2)[0] ?? '', /expires in 12 hours/);
  assert.doesNotMatch(lines(DAY)[0] ?? '', /warning/, 'who prints it says that');
  assert.deepEqual(lines(0), []);
  assert.deepEqual(lines(100 * DAY), []);
});
