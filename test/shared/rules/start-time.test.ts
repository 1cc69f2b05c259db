/** The start of a rollout: at an instant, or by the wall clock of each robot. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { localTimeOf } from '../../../robot-client/local/windows.ts';
import {
  msToFirstStart,
  parseStartAt,
  parseStartLocal,
  startAwaited,
  startWait,
} from '../../../shared/rules/start-time.ts';

const at = (text: string): number => Date.parse(text);
const NOW = at('2026-12-01T12:00:00Z');

describe('the start of a rollout [P-6.12]', () => {
  it('at an instant is awaited until then, and not after it', () => {
    const rules = { start_at: at('2026-12-01T21:00:00Z') };
    const wait = startWait(rules, { now: NOW });
    assert.equal(wait?.untilMs, rules.start_at);
    assert.match(wait.why, /2026-12-01T21:00:00Z/);
    assert.equal(startWait(rules, { now: rules.start_at }), null);
    assert.equal(startWait({}, { now: NOW }), null);
  });

  it('by the wall clock comes to each robot in its own zone', () => {
    const rules = { start_local: '2026-12-01T22:00' };
    const wait = (zone: string, now: number) =>
      startWait(rules, { now, localTime: localTimeOf(zone) });
    const berlin = at('2026-12-01T21:00:00Z');
    assert.equal(wait('Europe/Berlin', NOW)?.untilMs, berlin);
    assert.equal(wait('Europe/Berlin', berlin), null);
    assert.match(wait('America/New_York', berlin)?.why ?? '', /22:00 .* at 2026-12-01T16:00/);
    assert.equal(wait('Asia/Tokyo', at('2026-12-01T13:00:00Z')), null);
  });

  it('is the earliest of all zones for a controller, which opens no wave before', () => {
    const rules = { start_local: '2026-12-01T22:00' };
    assert.equal(msToFirstStart(rules, at('2026-12-01T07:59:00Z')), 60_000);
    assert.equal(msToFirstStart(rules, NOW), 0);
    assert.equal(msToFirstStart({ start_at: NOW + 5 }, NOW), 5);
    assert.equal(msToFirstStart({}, NOW), 0);
  });

  it('is shown with the span until then, and as a wall clock where it is one', () => {
    const told = startAwaited({ start_at: at('2026-12-02T22:54:00Z') }, { now: NOW });
    assert.equal(told, '2026-12-02T22:54:00Z, in 34 hours (--start-at)');
    assert.equal(startAwaited({ start_at: NOW }, { now: NOW }), null);
    const local = startAwaited({ start_local: '2026-12-05T22:00' }, { now: NOW });
    assert.equal(local, "2026-12-05T22:00 of each robot's wall clock (--start-local)");
  });
});

describe('the options of a start', () => {
  it('take a time with its zone, and one without for the wall clock', () => {
    assert.equal(parseStartAt('2026-12-01T22:00+01:00', NOW), '2026-12-01T21:00:00Z');
    assert.equal(parseStartAt('2026-12-01T22:00:30Z', NOW), '2026-12-01T22:00:30Z');
    assert.equal(parseStartLocal('2026-12-01T22:00', NOW), '2026-12-01T22:00');
  });

  it('refuse what has no zone, or one too many, is no date, is over, or is a season away', () => {
    const refused = [
      ...['2026-12-01T22:00', '22:00', 'tomorrow', '2026-12-32T00:00Z', '2026-12-01T22:00+15:00'],
      ...['2026-12-01T11:59Z', '2027-12-01T22:00Z'],
    ];
    for (const text of refused) {
      assert.throws(() => parseStartAt(text, NOW), { code: 'USAGE' }, text);
    }
    const local = ['2026-12-01T22:00Z', '22:00', '2026-02-30T10:00', '2026-11-30T10:00'];
    for (const text of [...local, '2027-12-01T22:00']) {
      assert.throws(() => parseStartLocal(text, NOW), { code: 'USAGE' }, text);
    }
  });
});
