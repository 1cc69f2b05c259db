import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Fleet, mainComponent } from '../../../broker/control/fleet.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { AT_MS, makeEvent, makeState, makeWant, robotId } from '../reports.ts';

const later = (ms: number): string => new Date(AT_MS + ms).toISOString();

describe('the fleet', () => {
  it('lists robots by id, whatever the order in which they spoke', () => {
    const anyName = fc.stringMatching(/^[A-Za-z0-9_-]{1,6}$/);
    fc.assert(
      fc.property(fc.uniqueArray(anyName, { maxLength: 20 }), (names) => {
        const fleet = new Fleet();
        for (const name of names) fleet.applyState(makeState(name), AT_MS);
        const listed = fleet.robots().map((one) => one.robot);
        assert.deepEqual(listed, [...names].sort());
      }),
      { numRuns: 50 },
    );
  });

  it('puts state, link and last word of a robot together in any order', () => {
    const fleet = new Fleet();
    fleet.applyOnline(robotId('r1'), true, AT_MS);
    fleet.applyState(makeState('r1', { version: '1.2.0' }), AT_MS + 5);
    const record = fleet.get('r1');
    assert.equal(record?.online, true);
    assert.equal(record.lastSeenMs, AT_MS + 5);
    assert.equal(mainComponent(record)?.version, '1.2.0');
    fleet.applyOnline(robotId('r1'), false, AT_MS + 9);
    assert.equal(fleet.get('r1')?.online, false);
    assert.equal(fleet.get('r1')?.state?.components[0]?.version, '1.2.0');
  });

  it('knows robots behind a relay to be online while the relay is there [P-8.9]', () => {
    const fleet = new Fleet();
    const isOnline = (id: string): boolean | undefined => fleet.get(id)?.online;
    fleet.applyOnline(robotId('near'), true, AT_MS);
    fleet.applyOnline(robotId('far'), true, AT_MS, 'site-a');
    assert.equal(isOnline('far'), false, 'that relay is not known');
    fleet.applyRelay('site-a', true);
    fleet.applyRelay('site-b', true);
    assert.equal(isOnline('far'), true);
    fleet.applyRelay('site-a', false);
    assert.deepEqual([isOnline('near'), isOnline('far')], [true, false]);
    fleet.applyRelay('site-a', true);
    assert.equal(isOnline('far'), true);
    fleet.applyOnline(robotId('far'), false, AT_MS, 'site-a');
    fleet.applyRelay('site-a', true);
    assert.equal(isOnline('far'), false, 'the relay itself said that it is gone');
    fleet.applyOnline(robotId('far'), true, AT_MS, 'site-a');
    fleet.applyOnline(robotId('far'), true, AT_MS); // it came here
    fleet.applyRelay('site-a', false);
    assert.equal(isOnline('far'), true);
    assert.equal(fleet.get('far')?.via, null);
  });

  it('names the online robots that refuse progress, and relays that do for their robots', () => {
    const fleet = new Fleet();
    const word = { rollout: 'x', code: 'ANNOUNCEMENT_REPLAYED', seq: 7 };
    const said = (): string[] => fleet.refusedProgress().map(({ voice }) => voice);
    fleet.applyOnline(robotId('r1'), true, AT_MS);
    fleet.applyState({ ...makeState('r1'), progress_refused: [word] }, AT_MS);
    fleet.applyRelay('site-a', true, [word]);
    assert.deepEqual(said(), ['relay site-a', 'r1']);
    fleet.applyOnline(robotId('r2'), true, AT_MS, 'site-a');
    fleet.applyState({ ...makeState('r2'), progress_refused: [word] }, AT_MS);
    assert.equal(said()[2], 'relay site-a', 'it speaks with the credentials of its relay');
    for (const robot of ['r1', 'r2']) fleet.applyOnline(robotId(robot), false, AT_MS);
    fleet.applyRelay('site-a', true);
    assert.deepEqual(said(), []);
  });

  it('knows what a relay says is wrong with it, until it says nothing or is gone', () => {
    const fleet = new Fleet();
    const problem = { code: 'DISK_FULL', message: 'no room', hint: '' };
    const shown = () => fleet.robots().map((record) => fleet.relayProblemOf(record)?.code ?? null);
    fleet.applyOnline(robotId('far'), true, AT_MS, 'site-a');
    fleet.applyOnline(robotId('near'), true, AT_MS);
    fleet.applyRelay('site-a', true, [], problem);
    assert.deepEqual(shown(), ['DISK_FULL', null]);
    assert.deepEqual(fleet.relays(), [{ relay: 'site-a', problem }]);
    fleet.applyRelay('site-a', true);
    assert.deepEqual(shown(), [null, null]);
    fleet.applyRelay('site-a', true, [], problem);
    fleet.applyRelay('site-a', false, [], problem);
    assert.deepEqual([shown(), fleet.relays()], [[null, null], []]);
  });

  it('knows how far the clock of a robot is off, as far as its report can tell', () => {
    const fleet = new Fleet();
    const day = 86_400_000;
    const ahead = (id: string, via: string | null, days: number): number | null => {
      fleet.applyOnline(robotId(id), true, AT_MS, via);
      fleet.applyState({ ...makeState(id), at: AT_MS + days * day }, AT_MS);
      const record = fleet.get(id);
      return record ? fleet.clockAheadMs(record) : null;
    };
    fleet.applyRelay('site-a', true);
    assert.equal(ahead('r1', null, -20_000), -20_000 * day);
    assert.equal(ahead('r2', 'site-a', 5_000), 5_000 * day);
    assert.equal(ahead('r3', 'site-a', -20_000), -20_000 * day);
    assert.equal(ahead('r4', 'site-a', -30), null, 'it may have waited at the relay');
    fleet.applyState(makeState('r5'), null);
    assert.equal(ahead('r1', null, 0), 0);
  });

  it('does not claim to have seen a robot that it only remembers', () => {
    const fleet = new Fleet();
    fleet.applyState(makeState('r1'), null);
    assert.equal(fleet.get('r1')?.lastSeenMs, null);
    assert.equal(fleet.get('r1')?.online, false);
  });

  it('lets `app` stand for a robot, else its first component, else nothing', () => {
    const component = (name: string) => ({ name, version: '3.0.0', phase: 'idle' as const });
    const fleet = new Fleet();
    fleet.applyState(makeState('a', {}, { components: [component('x'), component('app')] }), 1);
    fleet.applyState(makeState('b', {}, { components: [component('x'), component('y')] }), 1);
    fleet.applyOnline(robotId('c'), true, 1);
    const names = fleet.robots().map((record) => mainComponent(record)?.name ?? null);
    assert.deepEqual(names, ['app', 'x', null]);
  });

  it('forgets a robot with all that it said', () => {
    const fleet = new Fleet();
    fleet.applyState(makeState('r1'), AT_MS);
    fleet.applyEvent(makeEvent('r1', 7), AT_MS);
    fleet.applyWant(makeWant('r1', '1.0.0'), AT_MS);
    fleet.forget(robotId('r1'));
    assert.equal(fleet.get('r1'), undefined);
    assert.deepEqual(fleet.requests(), []);
    assert.equal(fleet.applyEvent(makeEvent('r1', 7), AT_MS), true, 'a new robot of that name');
  });

  it('is bounded: a robot beyond the limit is not taken, those before it go on', () => {
    const fleet = new Fleet();
    for (let n = 0; n < LIMITS.robotsMax; n += 1) fleet.applyOnline(robotId(`r${n}`), true, 1);
    fleet.applyOnline(robotId('one-too-many'), true, 1);
    assert.equal(fleet.applyEvent(makeEvent('one-too-many', 1), 1), false);
    fleet.applyOnline(robotId('r1'), false, 2);
    assert.equal(fleet.get('one-too-many'), undefined);
    assert.equal(fleet.get('r1')?.online, false);
    assert.equal(fleet.robots().length, LIMITS.robotsMax);
  });

  it('treats names of Object.prototype as names of robots', () => {
    const fleet = new Fleet();
    for (const name of ['__proto__', 'constructor', 'toString']) {
      assert.equal(fleet.get(name), undefined);
      fleet.applyState(makeState(name), 1);
      assert.equal(fleet.get(name)?.robot, name);
    }
  });
});

describe('events of the fleet', () => {
  it('takes each once, however often and in whatever mix copies come', () => {
    const anyCopies = fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 60 });
    fc.assert(
      fc.property(anyCopies, (copies) => {
        const fleet = new Fleet();
        let sent = 0;
        for (const copy of copies) {
          if (copy <= sent) fleet.applyEvent(makeEvent('r1', copy, { at: later(copy) }), AT_MS);
          sent += 1;
          fleet.applyEvent(makeEvent('r1', sent, { at: later(sent) }), AT_MS);
        }
        const numbers = fleet.recentEvents().map((event) => event.event_seq);
        const once = numbers.filter((seq) => seq > 0);
        assert.deepEqual(
          once,
          Array.from({ length: sent }, (_, i) => i + 1),
        );
      }),
      { numRuns: 50 },
    );
  });

  it('counts from the beginning for a robot whose disk was replaced', () => {
    const fleet = new Fleet();
    assert.ok(fleet.applyEvent(makeEvent('r1', 40), AT_MS));
    assert.ok(fleet.applyEvent(makeEvent('r1', 1, { at: later(1) }), AT_MS));
    assert.ok(fleet.applyEvent(makeEvent('r1', 2, { at: later(2) }), AT_MS));
    assert.equal(fleet.applyEvent(makeEvent('r1', 1, { at: later(1) }), AT_MS), false, 'a copy');
  });

  it('knows a copy also when the clock of the robot was put back in between', () => {
    const fleet = new Fleet();
    assert.ok(fleet.applyEvent(makeEvent('r1', 1, { at: later(9_000) }), AT_MS));
    assert.ok(fleet.applyEvent(makeEvent('r1', 2, { at: later(10) }), AT_MS));
    assert.equal(fleet.applyEvent(makeEvent('r1', 1, { at: later(9_000) }), AT_MS), false);
  });

  it('keeps the newest of them', () => {
    const fleet = new Fleet();
    const count = LIMITS.recentEventsMax + 3;
    for (let seq = 1; seq <= count; seq += 1) fleet.applyEvent(makeEvent('r1', seq), AT_MS);
    assert.equal(fleet.recentEvents().length, LIMITS.recentEventsMax);
    assert.equal(fleet.recentEvents()[0]?.event_seq, 4);
    assert.equal(fleet.recentEvents().at(-1)?.event_seq, count);
  });
});

describe('package requests', () => {
  it('are one for each robot and component, the newest last', () => {
    const fleet = new Fleet();
    fleet.applyWant(makeWant('r1', '1.0.0'), 1);
    fleet.applyWant(makeWant('r2', '1.0.0'), 2);
    fleet.applyWant(makeWant('r1', '1.0.0', 'maps'), 3);
    fleet.applyWant(makeWant('r1', '1.0.0'), 4);
    const listed = fleet
      .requests()
      .map((one) => `${one.robot} ${one.wanted.component} ${one.atMs}`);
    assert.deepEqual(listed, ['r2 app 2', 'r1 maps 3', 'r1 app 4']);
  });

  it('are gone as soon as the robot runs something else', () => {
    const fleet = new Fleet();
    fleet.applyState(makeState('r1', { version: '1.0.0' }), 1);
    fleet.applyWant(makeWant('r1', '1.0.0'), 2);
    assert.equal(fleet.requests().length, 1);
    fleet.applyState(makeState('r1', { version: '2.0.0' }), 3);
    assert.deepEqual(fleet.requests(), []);
  });

  it('are bounded, and the oldest goes first', () => {
    const fleet = new Fleet();
    for (let n = 0; n <= LIMITS.requestsMax; n += 1) fleet.applyWant(makeWant(`r${n}`, null), n);
    assert.equal(fleet.requests().length, LIMITS.requestsMax);
    assert.equal(fleet.requests()[0]?.robot, 'r1');
  });

  it('do not come from a want that names only chunks', () => {
    const fleet = new Fleet();
    fleet.applyWant({ ...makeWant('r1', null), package: null }, 1);
    assert.deepEqual(fleet.requests(), []);
  });
});
