import assert from 'node:assert/strict';
import { describe, it, test } from 'node:test';
import fc from 'fast-check';
import {
  localTimeOf,
  parseWindow,
  wallClockOf,
  windowState,
} from '../../../robot-client/local/windows.ts';

const MINUTE_MS = 60_000;
const utc = wallClockOf('UTC');
const at = (text: string): number => Date.parse(text);
const kindAt = (windows: string[], instant: string, zone = 'UTC'): string =>
  windowState(windows.map(parseWindow), wallClockOf(zone), at(instant)).kind;

function opensAt(windows: string[], instant: string, zone = 'UTC'): string {
  const state = windowState(windows.map(parseWindow), wallClockOf(zone), at(instant));
  assert.ok(state.kind === 'closed', 'it is open');
  return new Date(state.opensAtMs).toISOString();
}

describe('a maintenance window', () => {
  it('opens at its first minute and is closed from its last on', () => {
    const nightly = ['02:00-04:00'];
    assert.equal(kindAt(nightly, '2026-11-23T01:59:59Z'), 'closed');
    assert.equal(kindAt(nightly, '2026-11-23T02:00:00Z'), 'open');
    assert.equal(kindAt(nightly, '2026-11-23T03:59:59Z'), 'open');
    assert.equal(kindAt(nightly, '2026-11-23T04:00:00Z'), 'closed');
  });

  it('reaches over midnight into a day on which it does not open', () => {
    const weekdays = ['mon-fri 22:00-05:00'];
    assert.equal(kindAt(weekdays, '2026-11-28T04:59:00Z'), 'open', 'Saturday, from Friday');
    assert.equal(kindAt(weekdays, '2026-11-28T22:30:00Z'), 'closed', 'Saturday night');
    assert.equal(opensAt(weekdays, '2026-11-28T22:30:17Z'), '2026-11-30T22:00:00.000Z');
  });

  it('is a whole day, lists of days, and a range that goes over the end of the week', () => {
    assert.equal(kindAt(['sat,sun 00:00-24:00'], '2026-11-29T23:59:00Z'), 'open');
    assert.equal(
      opensAt(['sat,sun 00:00-24:00'], '2026-11-30T00:00:00Z'),
      '2026-12-05T00:00:00.000Z',
    );
    assert.deepEqual(parseWindow('fri-mon 01:00-02:00').days, [0, 1, 5, 6]);
  });

  it('follows the time of the site, summer and winter', () => {
    const night = ['02:00-04:00'];
    assert.equal(kindAt(night, '2026-07-01T00:30:00Z', 'Europe/Berlin'), 'open');
    assert.equal(kindAt(night, '2026-12-01T00:30:00Z', 'Europe/Berlin'), 'closed');
    assert.equal(kindAt(night, '2026-12-01T01:30:00Z', 'Europe/Berlin'), 'open');
    assert.equal(kindAt(['09:00-10:00'], '2026-12-01T03:45:00Z', 'Asia/Kolkata'), 'open');
  });

  it('may be one of several', () => {
    const windows = ['mon 10:00-11:00', 'wed 10:00-11:00'];
    assert.equal(opensAt(windows, '2026-11-23T12:00:00Z'), '2026-11-25T10:00:00.000Z');
  });

  it('is not needed: a robot without one is always open', () => {
    assert.equal(windowState([], utc, 0).kind, 'open');
  });

  it('is refused with an example when it cannot be read', () => {
    const bad = [
      '',
      'night',
      '2:00-4:00',
      '25:00-26:00',
      '24:00-02:00',
      '02:00-02:00',
      '02:60-03:00',
    ];
    for (const text of [...bad, 'mo 02:00-04:00', 'mon-tue-wed 02:00-04:00', 'mon, 02:00-04:00']) {
      assert.throws(() => parseWindow(text), { code: 'USAGE', message: /want for example/ }, text);
    }
    assert.throws(() => wallClockOf('Mars/Olympus'), { code: 'USAGE', message: /Europe\/Berlin/ });
  });

  it('always names the first minute at which it is open', () => {
    const hhmm = (minute: number): string =>
      [Math.floor(minute / 60), minute % 60].map((part) => String(part).padStart(2, '0')).join(':');
    const days = fc.constantFrom('', 'mon ', 'tue-thu ', 'sat-sun ', 'fri,sun ');
    const span = fc.tuple(fc.integer({ min: 0, max: 1439 }), fc.integer({ min: 0, max: 1440 }));
    const window = fc
      .tuple(days, span)
      .filter(([, [from, to]]) => from !== to)
      .map(([on, [from, to]]) => `${on}${hhmm(from)}-${hhmm(to)}`);
    const instant = fc.integer({ min: 0, max: 4_000_000_000_000 });
    fc.assert(
      fc.property(fc.array(window, { minLength: 1, maxLength: 3 }), instant, (texts, now) => {
        const windows = texts.map(parseWindow);
        const state = windowState(windows, utc, now);
        if (state.kind === 'open') return;
        assert.ok(state.opensAtMs > now);
        assert.equal(windowState(windows, utc, state.opensAtMs).kind, 'open');
        assert.equal(windowState(windows, utc, state.opensAtMs - MINUTE_MS).kind, 'closed');
      }),
      { numRuns: 300 },
    );
  });
});

test('the date and time of the machine are those of its own zone', () => {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  for (const at of ['2026-01-05T03:07:59Z', '2026-07-31T22:59:00Z', '2027-12-31T23:30:00Z']) {
    const now = Date.parse(at);
    assert.equal(localTimeOf(undefined)(now), localTimeOf(timeZone)(now));
  }
});
