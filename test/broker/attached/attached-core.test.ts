/** The small decisions of a broker that is attached to an external engine. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DeafCheck } from '../../../broker/attached/deaf-check.ts';
import { EchoCheck } from '../../../broker/attached/echo-check.ts';
import { ENGINE_NAMES, engineProfile } from '../../../broker/mqtt/engine-profile.ts';
import { afterCheck, UNCHECKED } from '../../../broker/attached/store-state.ts';
import { WantLedger } from '../../../broker/attached/engine-chunks.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { LIMITS } from '../../../shared/base/limits.ts';

const hash = (n: number) => sha256Hex(utf8(String(n)));
const LATE = LIMITS.echoMsMax;

describe('the echo of our own words', () => {
  it('is late only when the same bytes have not come back in time', () => {
    const echo = new EchoCheck();
    echo.sending('fleet/controller', utf8('a'), 0);
    assert.equal(echo.heard('fleet/controller', utf8('b')), false);
    assert.deepEqual(echo.late(LATE - 1), []);
    assert.deepEqual(echo.late(LATE), ['fleet/controller']);
    assert.equal(echo.heard('fleet/controller', utf8('a')), true);
    assert.deepEqual(echo.late(LATE), []);
  });

  it('is not put off by saying the next word', () => {
    const echo = new EchoCheck();
    echo.sending('fleet/controller', utf8('a'), 0);
    echo.sending('fleet/controller', utf8('b'), LATE - 1);
    assert.deepEqual(echo.late(LATE), ['fleet/controller']);
    assert.equal(echo.heard('fleet/controller', utf8('b')), true);
  });

  it('is not waited for after a send that failed, or on a new link', () => {
    const echo = new EchoCheck();
    echo.sending('a', utf8('1'), 0);
    echo.sending('b', utf8('1'), 0);
    echo.forget('a');
    assert.deepEqual(echo.late(LATE), ['b']);
    echo.clear();
    assert.deepEqual(echo.late(LATE), []);
  });

  it('remembers bytes, not a buffer that its caller uses again', () => {
    const echo = new EchoCheck();
    const buffer = utf8('a');
    echo.sending('t', buffer, 0);
    buffer.fill(0);
    assert.equal(echo.heard('t', utf8('a')), true);
  });
});

describe('an engine that delivers nothing with QoS 1', () => {
  const [one, two] = [utf8('lease 1'), utf8('lease 2')];

  it('is noticed when a lease has come with QoS 0 only, for a while, and not after it is repaired', () => {
    const deaf = new DeafCheck();
    deaf.subscribed();
    assert.equal(deaf.isDeaf(LATE), false, 'no controller leads: nothing has to come');
    deaf.heard(0, one, 5);
    deaf.heard(0, two, 6);
    assert.equal(deaf.isDeaf(4 + LATE), false);
    assert.equal(deaf.isDeaf(5 + LATE), true);
    deaf.heard(1, two, 6 + LATE);
    assert.equal(deaf.isDeaf(7 + LATE), false);
  });

  it('is not seen in copies that come late or first', () => {
    const deaf = new DeafCheck();
    deaf.subscribed();
    deaf.heard(0, one, 0);
    deaf.heard(1, one, LATE - 1);
    deaf.heard(1, two, LATE);
    deaf.heard(0, two, LATE + 1);
    assert.equal(deaf.isDeaf(3 * LATE), false);
  });

  it('is not claimed while there is no subscription with QoS 1', () => {
    const deaf = new DeafCheck();
    deaf.heard(0, one, 0);
    assert.equal(deaf.isDeaf(LATE), false);
    deaf.subscribed();
    deaf.heard(0, two, LATE);
    deaf.ended();
    assert.equal(deaf.isDeaf(3 * LATE), false);
  });

  it('remembers bytes, not a buffer that its caller uses again', () => {
    const deaf = new DeafCheck();
    deaf.subscribed();
    const buffer = utf8('lease 1');
    deaf.heard(1, buffer, 0);
    buffer.set(two);
    deaf.heard(0, two, 1);
    assert.equal(deaf.isDeaf(1 + LATE), true);
  });
});

describe('wanted chunks', () => {
  it('are answered once for all robots that want the same, and again after a while', () => {
    const ledger = new WantLedger();
    assert.deepEqual(ledger.take([hash(1), hash(2), hash(1)], 0), [hash(1), hash(2)]);
    assert.deepEqual(ledger.take([hash(2), hash(3)], 1), [hash(3)]);
    assert.deepEqual(ledger.take([hash(1)], LIMITS.wantAnswerMsMin - 1), []);
    assert.deepEqual(ledger.take([hash(1), hash(3)], LIMITS.wantAnswerMsMin), [hash(1)]);
  });

  it('cost a bounded number of answers, however many robots ask for however much', () => {
    const wants = fc.array(
      fc.record({
        hashes: fc.array(fc.integer({ min: 0, max: 5_000 }), { maxLength: 300 }),
        afterMs: fc.integer({ min: 0, max: LIMITS.wantAnswerMsMin / 4 }),
      }),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(wants, (asked) => {
        const ledger = new WantLedger();
        const answers: { at: number; hash: string }[] = [];
        let now = 0;
        for (const { hashes, afterMs } of asked) {
          now += afterMs;
          for (const one of ledger.take(hashes.map(hash), now)) {
            const before = answers.findLast((answer) => answer.hash === one);
            assert.ok(!before || now - before.at >= LIMITS.wantAnswerMsMin);
            answers.push({ at: now, hash: one });
          }
          const recent = answers.filter(({ at }) => now - at < LIMITS.wantAnswerMsMin);
          assert.ok(recent.length <= LIMITS.wantAnswersMax);
        }
      }),
      { numRuns: 20 },
    );
  });
});

describe('the view of the chunks of a rollout', () => {
  const lost = { chunks: 9, restored: 2, lost: [hash(1)], refusesThem: false };

  it('is complete when none is lost, with all that was ever put back', () => {
    const once = afterCheck(UNCHECKED, 'app-1', { ...lost, lost: [] }, 5);
    const twice = afterCheck(once, 'app-1', { ...lost, lost: [] }, 6);
    assert.deepEqual([twice.status, twice.present, twice.restored], ['complete', 9, 4]);
    assert.equal(twice.problem, null);
  });

  it('names the rollout and the first chunk when some are lost', () => {
    const state = afterCheck(UNCHECKED, 'app-1', lost, 5);
    assert.deepEqual([state.status, state.present, state.lost], ['lost', 8, 1]);
    assert.equal(state.problem?.code, 'CHUNKS_LOST');
    assert.match(state.problem.message, /app-1: the engine has lost 1 of 9, the first is/);
  });

  it('tells an engine that does not keep what it is given from one that lost something', () => {
    const state = afterCheck(UNCHECKED, 'app-1', { ...lost, refusesThem: true }, 5);
    assert.match(state.problem?.message ?? '', /does not keep/);
    assert.match(state.problem?.hint ?? '', /limits/);
  });
});

describe('the profile of an engine', () => {
  it('stays within what every pull may do', () => {
    for (const name of ENGINE_NAMES) {
      const profile = engineProfile(name);
      assert.equal(profile.name, name);
      assert.ok(profile.windowChunksMax >= 1);
      assert.ok(profile.windowChunksMax <= LIMITS.windowChunksMax);
    }
  });
});
