/** One component of a robot swaps at a time: the rule over generated worlds, and the claim. */

import assert from 'node:assert/strict';
import { setImmediate as turnOfLoop } from 'node:timers/promises';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { goesFirst, type SwapWish } from '../../../robot-client/update/swap-order.ts';
import { SwapClaims } from '../../../robot-client/update/swap-claims.ts';

const NAMES = ['app', 'nav', 'arm', 'map'];
const kind = fc.constantFrom<SwapWish['kind']>('swap', 'rollback');
const wishes = fc.uniqueArray(
  fc.record({ component: fc.constantFrom(...NAMES), kind, nth: fc.nat(99) }),
  { selector: ({ component }) => component },
);
const distinct = wishes.map((all) => all.map((one, at) => ({ ...one, nth: one.nth * 10 + at })));

function start(turns: SwapClaims, component: string, what: SwapWish['kind'] = 'swap') {
  const [stop, said] = [new AbortController(), [] as (string | null)[]];
  const on = { signal: stop.signal, onWaiting: (reason: string | null) => void said.push(reason) };
  const done = turns.of(component).take(what, on);
  done.catch(() => {}); // whoever wants to know awaits it
  return { done, said, stop: () => stop.abort(new Error('stop')) };
}

describe('the order of swaps on one robot', () => {
  it('lets exactly one begin while none is busy, and none beside a busy one', () => {
    fc.assert(
      fc.property(distinct, fc.subarray(NAMES), (all, busyNames) => {
        const facts = { busy: new Map(busyNames.map((name) => [name, null])), wishes: all };
        const may = all.filter((wish) => goesFirst(wish, facts) === null);
        if (busyNames.length === 0) assert.equal(may.length, Math.min(1, all.length));
        for (const { component } of may) {
          assert.ok(busyNames.every((name) => name === component));
        }
      }),
    );
  });

  it('lets a rollback go before a swap, and of one kind the oldest wish', () => {
    fc.assert(
      fc.property(distinct, (all) => {
        const chosen = all.find(
          (wish) => goesFirst(wish, { busy: new Map(), wishes: all }) === null,
        );
        for (const other of all) {
          if (!chosen || other === chosen) continue;
          const isBefore = chosen.kind === other.kind && chosen.nth < other.nth;
          assert.ok(isBefore || (chosen.kind === 'rollback' && other.kind === 'swap'));
        }
      }),
    );
  });
});

describe('the claim of a swap', () => {
  it('makes the second wait, says for whom, and lets a rollback overtake', async () => {
    const turns = new SwapClaims();
    assert.equal(await start(turns, 'app').done, false);
    const nav = start(turns, 'nav');
    const arm = start(turns, 'arm', 'rollback');
    await turnOfLoop();
    const forApp = 'another component of this robot to end its swap (app)';
    assert.deepEqual([nav.said, arm.said], [[forApp], [forApp]]);
    turns.of('app').follow('idle');
    assert.equal(await arm.done, true);
    await turnOfLoop();
    assert.match(String(nav.said.at(-1)), /\(arm\)/);
    turns.of('arm').follow('stuck');
    assert.equal(await nav.done, true);
    assert.equal(nav.said.at(-1), null);
  });

  it('is kept from waiting to the end of probation, and goes with the phase', async () => {
    const turns = new SwapClaims();
    const app = turns.of('app');
    await start(turns, 'app').done;
    for (const phase of ['waiting', 'swapping', 'probation', 'rolling_back'] as const) {
      app.follow(phase);
      assert.ok(app.isHeld, phase);
    }
    app.failed('probation', { hasEffectEnded: false });
    assert.ok(app.isHeld);
    app.failed('probation', { hasEffectEnded: true });
    assert.ok(!app.isHeld);
  });

  it('is not asked for by what a restart interrupted', async () => {
    const turns = new SwapClaims();
    turns.of('app').recover('probation');
    turns.of('nav').recover('rolling_back');
    turns.of('arm').recover('stuck');
    assert.deepEqual(
      ['app', 'nav', 'arm'].map((name) => turns.has(name)),
      [true, true, false],
    );
    assert.equal(await start(turns, 'nav', 'rollback').done, false);
  });

  it('never has two holders, and serves each that stays, whatever ends or is given up', async () => {
    const step = fc.record({
      name: fc.constantFrom(...NAMES),
      what: kind,
      isAborted: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const turns = new SwapClaims();
        let holders = 0;
        const runs = steps.map(async ({ name, what, isAborted }, at) => {
          const component = `${name}-${at}`;
          const { done, stop } = start(turns, component, what);
          const stopped = isAborted ? turnOfLoop().then(stop) : null;
          try {
            await Promise.all([done, stopped]);
          } catch {
            return;
          }
          holders += 1;
          assert.equal(holders, 1);
          await turnOfLoop();
          holders -= 1;
          turns.of(component).release();
        });
        await Promise.all(runs);
        assert.equal(await start(turns, 'last').done, false);
      }),
      { numRuns: 50 },
    );
  });
});
