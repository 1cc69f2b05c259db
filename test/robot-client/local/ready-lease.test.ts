/** The rule for leases of an interlock: any caller may refuse, before the switch and after it. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  AFTER_SWITCH,
  decideHold,
  decideLease,
  describeLeases,
  encodeReadyMark,
  holdersOfMark,
  type ReadyAnswer,
} from '../../../robot-client/local/ready-lease.ts';
import { LIMITS } from '../../../shared/base/limits.ts';

const NOW = 1_000;
const held: ReadyAnswer = { kind: 'lease', untilMs: NOW + 1 };
const lapsed: ReadyAnswer = { kind: 'lease', untilMs: NOW };
const yes: ReadyAnswer = { kind: 'plain', ready: true, reason: '' };
const no: ReadyAnswer = { kind: 'plain', ready: false, reason: 'lifting a pallet' };

/** Every answer that a caller can have given; null for none. */
const ANSWERS = { held, lapsed, yes, no, silent: null };
type Name = keyof typeof ANSWERS;
const NAMES = Object.keys(ANSWERS) as Name[];
const saysNo = (name: Name): boolean => name === 'lapsed' || name === 'no' || name === 'silent';

const answersOf = (given: Record<string, Name>): Map<string, ReadyAnswer> =>
  new Map(
    Object.entries(given).flatMap(([caller, name]) => {
      const answer = ANSWERS[name];
      return answer ? [[caller, answer]] : [];
    }),
  );

describe('the answers of several callers', () => {
  it('are a no when one of them says no, lapsed, or is expected and silent', () => {
    for (const arm of NAMES) {
      for (const base of NAMES) {
        const hold = decideHold(answersOf({ arm, base }), ['arm', 'base'], NOW);
        assert.equal(hold.kind, saysNo(arm) || saysNo(base) ? 'no' : 'ready', `${arm} ${base}`);
      }
    }
  });

  it('are none while no caller is expected and none spoke, as without leases', () => {
    assert.deepEqual(decideHold(new Map(), [], NOW), { kind: 'none' });
    assert.equal(decideHold(answersOf({ arm: 'yes' }), [], NOW).kind, 'ready');
  });

  it('name the caller and the reason', () => {
    const reasonOf = (given: Record<string, Name>, expected: string[] = []): string => {
      const hold = decideHold(answersOf(given), expected, NOW);
      return hold.kind === 'no' ? `${hold.why}: ${hold.reason}` : hold.kind;
    };
    assert.equal(reasonOf({ '': 'no' }), 'refused: lifting a pallet');
    assert.equal(reasonOf({ arm: 'no' }), 'refused: arm: lifting a pallet');
    assert.equal(reasonOf({ '': 'lapsed' }), 'lapsed: the ready lease of the application lapsed');
    assert.match(reasonOf({}, ['arm']), /^unknown: arm holds by a ready lease, and did not renew/);
  });

  it('lapse at their instant, whatever came before or after', () => {
    const offsets = fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(offsets, (all) => {
        const leases = all.map((offset, at): [string, ReadyAnswer] => [
          `c${at}`,
          { kind: 'lease', untilMs: NOW + offset },
        ]);
        const hold = decideHold(new Map(leases), [], NOW);
        assert.equal(hold.kind === 'no', Math.min(...all) <= 0);
        if (hold.kind === 'ready') assert.equal(hold.untilMs, NOW + Math.min(...all));
      }),
    );
  });

  it('are shown to a person while they run', () => {
    const answers = new Map<string, ReadyAnswer>([
      ['', { kind: 'lease', untilMs: NOW + 12_000 }],
      ['arm', lapsed],
    ]);
    assert.equal(describeLeases(answers, NOW), 'held ready by the application (12 s left)');
    assert.equal(describeLeases(answersOf({ arm: 'yes' }), NOW), null);
  });
});

describe('an update that relies on leases', () => {
  it('stops before the switch, and goes back after it only where the site says so', () => {
    for (const arm of NAMES) {
      for (const other of NAMES) {
        for (const isSwitched of [false, true]) {
          for (const afterSwitch of AFTER_SWITCH) {
            const decision = decideLease({
              ...{ holders: ['arm'], answers: answersOf({ arm, other }) },
              ...{ isSwitched, afterSwitch, nowMs: NOW },
            });
            const isLost = saysNo(arm) || (!isSwitched && (other === 'no' || other === 'lapsed'));
            const onLoss = isSwitched ? (afterSwitch === 'back' ? 'goBack' : 'goOn') : 'stop';
            const words = `${arm} ${other} ${isSwitched} ${afterSwitch}`;
            assert.equal(decision.kind, isLost ? onLoss : 'goOn', words);
          }
        }
      }
    }
  });

  it('is nothing that a lease can stop when none was held as it began', () => {
    const facts = fc.record({
      holders: fc.constant([]),
      answers: fc.constantFrom(...NAMES.map((name) => answersOf({ arm: name }))),
      isSwitched: fc.boolean(),
      afterSwitch: fc.constantFrom(...AFTER_SWITCH),
      nowMs: fc.nat(),
    });
    fc.assert(fc.property(facts, (one) => assert.equal(decideLease(one).kind, 'goOn')));
  });
});

describe('the mark of an application that reports whether it is ready', () => {
  it('is empty without a lease, as an older agent writes and reads it', () => {
    assert.equal(encodeReadyMark([]), '');
    assert.deepEqual(holdersOfMark(''), []);
  });

  it('gives the names back, and counts what cannot be read as a lease', () => {
    const names = fc.uniqueArray(fc.constantFrom('', 'arm', 'base', 'x'.repeat(64)));
    fc.assert(
      fc.property(names, (all) =>
        assert.deepEqual(holdersOfMark(encodeReadyMark(all)), [...all].sort()),
      ),
    );
    const many = JSON.stringify({ holders: Array.from({ length: 9 }, (_, at) => `h${at}`) });
    for (const text of ['?', '{}', 'null', '{"holders":[1]}', '{"holders":["a b"]}', many]) {
      assert.deepEqual(holdersOfMark(text), [''], text);
    }
  });

  it('has room for all holders', () => {
    const longest = Array.from({ length: LIMITS.readyHoldersMax }, (_, at) =>
      String(at).padStart(64, 'x'),
    );
    assert.ok(encodeReadyMark(longest).length <= LIMITS.readyMarkBytesMax);
  });
});
