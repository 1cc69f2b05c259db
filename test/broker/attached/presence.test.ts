/** The robots that count as online on an engine that forgets wills. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Presence } from '../../../broker/attached/presence.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { robotId } from '../reports.ts';

const SILENCE = LIMITS.presenceSilenceMs;
const [r1, r2] = [robotId('r1'), robotId('r2')];

describe('presence on an engine that forgets wills', () => {
  it('gives each robot the whole silence from the moment there is a link', () => {
    const presence = new Presence();
    presence.up(1_000);
    assert.deepEqual(presence.sweep([r1], 1_000 + SILENCE), []);
    assert.deepEqual(presence.sweep([r1], 1_001 + SILENCE), [r1]);
  });

  it('keeps a robot that sends messages, and takes back a missed one that sends again', () => {
    const presence = new Presence();
    presence.up(0);
    presence.told(r1, true, 0);
    assert.equal(presence.spoke(r1, SILENCE), false);
    assert.deepEqual(presence.sweep([r1, r2], SILENCE + 1), [r2]);
    assert.equal(presence.spoke(r2, SILENCE + 2), true, 'it was missed, and is there');
    assert.equal(presence.spoke(r2, SILENCE + 3), false, 'once');
  });

  it('misses no robot while there is no link, and counts again on the next one', () => {
    const presence = new Presence();
    presence.up(0);
    presence.down();
    assert.deepEqual(presence.sweep([r1], 10 * SILENCE), []);
    presence.up(10 * SILENCE);
    assert.deepEqual(presence.sweep([r1], 11 * SILENCE), []);
    assert.deepEqual(presence.sweep([r1], 11 * SILENCE + 1), [r1]);
  });

  it('believes the message of a robot, or its will, over its own guess', () => {
    const presence = new Presence();
    presence.up(0);
    presence.sweep([r1], SILENCE + 1);
    presence.told(r1, false, SILENCE + 2);
    assert.equal(presence.spoke(r1, SILENCE + 3), false, 'its will said that it is gone');
    presence.told(r1, true, SILENCE + 4);
    assert.deepEqual(presence.sweep([r1], 2 * SILENCE + 4), []);
  });

  it('counts a robot that speaks as online when nothing says whether it is', () => {
    const presence = new Presence();
    presence.up(0);
    presence.told(r1, false, 1);
    assert.equal(presence.spoke(r1, 2), false, 'it said itself that it is gone');
    presence.forget(r1); // its message was cleared on the engine
    assert.equal(presence.spoke(r1, 3), true);
    assert.equal(presence.spoke(r2, 3), true, 'never heard of before');
    assert.equal(presence.spoke(r2, 4), false, 'once');
  });

  it('never misses a robot that spoke within the silence, in any order of things', () => {
    const step = fc.record({
      robot: fc.constantFrom(r1, r2),
      what: fc.constantFrom('spoke', 'sweep', 'up', 'down', 'told'),
      afterMs: fc.integer({ min: 0, max: SILENCE }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const presence = new Presence();
        const spokeMs = new Map<string, number>();
        let now = 0;
        for (const { robot, what, afterMs } of steps) {
          now += afterMs;
          if (what === 'up') presence.up(now);
          else if (what === 'down') presence.down();
          else if (what === 'told') presence.told(robot, true, now);
          else if (what === 'spoke') presence.spoke(robot, now);
          else {
            for (const gone of presence.sweep([r1, r2], now)) {
              assert.ok(now - (spokeMs.get(gone) ?? -Infinity) > SILENCE);
            }
          }
          if (what === 'spoke' || what === 'told') spokeMs.set(robot, now);
        }
      }),
      { numRuns: 200 },
    );
  });
});
