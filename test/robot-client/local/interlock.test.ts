/** No swap while busy: the rules of the interlock, then a real component with real hooks. */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import {
  ALWAYS_OPEN,
  decideInterlock,
  type InterlockFacts,
  type InterlockRules,
} from '../../../robot-client/local/interlock.ts';
import { parseWindow, wallClockOf } from '../../../robot-client/local/windows.ts';
import { parseInterlock } from '../../../robot-client/commands/options.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet } from '../bench.ts';

const HOUR_MS = 3_600_000;
const NOON = Date.parse('2026-11-23T12:00:00Z');
const FACTS: InterlockFacts = {
  what: 'swap to 1.1.0',
  ignoresWindows: false,
  said: null,
  hook: { kind: 'ready', words: 'succeeded' },
  busyMs: 0,
  now: NOON,
};
const nightly: InterlockRules = {
  ...ALWAYS_OPEN,
  windows: [parseWindow('02:00-04:00')],
  wallClock: wallClockOf('UTC'),
};
const impatient: InterlockRules = { ...ALWAYS_OPEN, readyDeadlineMs: 8 * HOUR_MS };
const busy = { kind: 'busy', words: 'busy (lifting a pallet)' } as const;

describe('the interlock', () => {
  it('asks the ready hook before it lets anything go on', () => {
    assert.equal(decideInterlock(ALWAYS_OPEN, { ...FACTS, hook: null }).kind, 'askHook');
    assert.equal(decideInterlock(ALWAYS_OPEN, FACTS).kind, 'go');
  });

  it('does not even ask outside the window, and says when that opens', () => {
    const decision = decideInterlock(nightly, { ...FACTS, hook: null });
    assert.deepEqual(decision, {
      kind: 'wait',
      reason: 'the maintenance window (02:00-04:00)',
      wakeAtMs: Date.parse('2026-11-24T02:00:00Z'),
      isBusy: false,
    });
  });

  it('lets an emergency pass the window and nothing else', () => {
    const facts = { ...FACTS, ignoresWindows: true };
    assert.equal(decideInterlock(nightly, facts).kind, 'go');
    assert.equal(decideInterlock(nightly, { ...facts, hook: busy }).kind, 'wait');
    const said = { ready: false, reason: 'lifting' };
    assert.equal(decideInterlock(nightly, { ...facts, said }).kind, 'wait');
  });

  it('takes the answer of the application before that of the hook', () => {
    const said = { ready: false, reason: 'a person is near' };
    const decision = decideInterlock(ALWAYS_OPEN, { ...FACTS, said });
    assert.ok(decision.kind === 'wait');
    assert.equal(decision.reason, 'the robot is busy: a person is near');
  });

  it('counts a hook that is broken as a closed interlock', () => {
    const hook = { kind: 'broken', words: 'exit 1 (no ROS)' } as const;
    const decision = decideInterlock(ALWAYS_OPEN, { ...FACTS, hook });
    assert.ok(decision.kind === 'wait');
    assert.equal(decision.reason, 'the ready hook (exit 1 (no ROS))');
  });

  it('waits for a busy robot for ever unless the site has set a deadline', () => {
    const facts = { ...FACTS, hook: busy, busyMs: 8 * HOUR_MS };
    assert.equal(decideInterlock(ALWAYS_OPEN, { ...facts, busyMs: 1e12 }).kind, 'wait');
    assert.equal(decideInterlock(impatient, { ...facts, busyMs: 8 * HOUR_MS - 1 }).kind, 'wait');
    const decision = decideInterlock(impatient, facts);
    assert.ok(decision.kind === 'giveUp');
    assert.equal(decision.problem.code, 'READY_DEADLINE');
    assert.match(
      decision.problem.message,
      /swap to 1.1.0: not ready within 8h; .*lifting a pallet/,
    );
  });

  it('never goes on while anything says no', () => {
    const facts = fc.record({
      what: fc.constant('swap'),
      ignoresWindows: fc.boolean(),
      said: fc.option(fc.record({ ready: fc.boolean(), reason: fc.string() })),
      hook: fc.option(
        fc.record({
          kind: fc.constantFrom('ready' as const, 'busy' as const, 'broken' as const),
          words: fc.string(),
        }),
      ),
      busyMs: fc.nat(),
      now: fc.nat(),
    });
    fc.assert(
      fc.property(fc.constantFrom(ALWAYS_OPEN, nightly, impatient), facts, (rules, one) => {
        if (decideInterlock(rules, one).kind !== 'go') return;
        assert.equal(one.hook?.kind, 'ready');
        assert.notEqual(one.said?.ready, false);
      }),
    );
  });
});

describe('the words of the command line for it', () => {
  const none = { windows: [], zone: undefined, readyDeadline: undefined };

  it('make rules', () => {
    const given = { windows: ['sat 01:00-02:00'], zone: 'UTC', readyDeadline: '8h' };
    const rules = parseInterlock(given);
    assert.equal(rules.windows[0]?.text, 'sat 01:00-02:00');
    assert.equal(rules.readyDeadlineMs, 8 * HOUR_MS);
    const { localTime, ...open } = parseInterlock(none);
    assert.deepEqual(open, ALWAYS_OPEN);
    assert.match(localTime?.(0) ?? '', /^19(69|70)-/, 'a start goes by the clock of the machine');
  });

  it('are refused when they mean nothing', () => {
    const bad = [
      { ...none, zone: 'Mars/Olympus' },
      { ...none, readyDeadline: '0' },
      { ...none, readyDeadline: 'soon' },
      { ...none, windows: Array.from({ length: 17 }, () => '01:00-02:00') },
    ];
    for (const given of bad) assert.throws(() => parseInterlock(given), { code: 'USAGE' });
  });
});

const rules = (more: Partial<InterlockRules>): { interlock: InterlockRules } => ({
  interlock: { ...ALWAYS_OPEN, readyIntervalMs: 20, ...more },
});

/** Open from an hour ago, or from an hour ahead on: whatever the clock of this machine says. */
function windowNear(offsetMs: number): Pick<InterlockRules, 'windows' | 'wallClock'> {
  const hhmm = (ms: number): string => new Date(ms).toISOString().slice(11, 16);
  const start = Date.now() + offsetMs;
  const windows = [parseWindow(`${hhmm(start)}-${hhmm(start + 2 * HOUR_MS)}`)];
  return { windows, wallClock: wallClockOf('UTC') };
}

async function waiting(bench: Bench, reason: RegExp): Promise<void> {
  await waitUntil(
    `a robot that waits for ${String(reason)}`,
    () => reason.test(bench.component.view.live.waitingFor ?? ''),
    { look: () => bench.describe() },
  );
  assert.equal(bench.component.view.version, '1.0.0', 'nothing is swapped meanwhile');
}

async function announced(t: TestContext, more: Partial<InterlockRules>): Promise<Bench> {
  const bench = await Bench.open(t, rules(more));
  bench.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
  return bench;
}

describe('a robot with an update that is ready', () => {
  it('does not swap outside its window, and does in an emergency', async (t) => {
    const bench = await announced(t, windowNear(HOUR_MS));
    await waiting(bench, /^the maintenance window/);
    const wakeAtMs = bench.component.view.live.wakeAtMs ?? 0;
    assert.ok(wakeAtMs > Date.now() && wakeAtMs <= Date.now() + HOUR_MS);
    bench.announce(await fleet.makeBundle({ version: '1.2.0' }), '1.2.0', { emergency: true });
    await bench.runs('1.2.0');
  });

  it('swaps inside its window', async (t) => {
    const bench = await announced(t, windowNear(-HOUR_MS));
    await bench.runs('1.1.0');
  });

  it('gives up for now when it stays busy past the deadline, keeps what it has, and comes back', async (t) => {
    const bench = await Bench.open(t, rules({ readyDeadlineMs: 100 }));
    await bench.hook('ready', 'echo lifting a pallet; exit 75');
    bench.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
    await waitUntil('the deadline', () => bench.codes.includes('READY_DEADLINE'), {
      look: () => bench.describe(),
    });
    const { lastProblem, blocked, lastUpdate } = bench.component.view.state;
    assert.match(lastProblem?.message ?? '', /lifting a pallet/);
    assert.deepEqual([blocked, lastUpdate?.outcome], [[], 'refused'], 'nothing is blocked by it');
    const { sent } = bench.carrier;
    await bench.heal();
    assert.equal(await bench.component.retry(), true);
    await bench.runs('1.1.0');
    assert.equal(bench.carrier.sent, sent, 'what was downloaded is still there');
  });
});
