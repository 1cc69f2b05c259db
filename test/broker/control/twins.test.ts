import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Twins } from '../../../broker/control/twins.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { robotId } from '../reports.ts';

const R1 = robotId('r1');
const HOUR = LIMITS.twinWindowMs;

function hear(names: readonly string[], everyMs = 1_000): Twins {
  const twins = new Twins();
  names.forEach((name, at) => twins.heard(R1, name, at * everyMs));
  return twins;
}

describe('two robots with one id', () => {
  it('are noticed when they take turns', () => {
    const twins = hear(['a', 'b', 'a', 'b']);
    assert.deepEqual(twins.of(R1), { sinceMs: 3_000, lastMs: 3_000, instances: 2 });
    assert.equal(twins.of(robotId('r2')), null);
  });

  it('are noticed however often each sends before the other does', () => {
    assert.ok(hear([...'aabbbaaabbb']).of(R1));
    assert.equal(hear([...'abcabc']).of(R1)?.instances, 3);
  });

  it('are not seen in a robot that restarts, reconnects or is replaced, ever', () => {
    const anyStays = fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 40 });
    fc.assert(
      fc.property(anyStays, (stays) => {
        const names = stays.flatMap((count, start) => Array<string>(count).fill(`start-${start}`));
        assert.equal(hear(names).of(R1), null);
      }),
    );
  });

  it('are not seen in one message that was delivered late', () => {
    assert.equal(hear([...'aaabab']).of(R1)?.instances, 2);
    assert.equal(hear([...'aaabaaaa']).of(R1), null);
  });

  it('are not seen in robots of 0.1, which have no name', () => {
    assert.equal(hear(['', 'a', '', 'a', '']).of(R1), null);
  });

  it('are no longer reported when one of them has been away for an hour', () => {
    const twins = hear([...'ababab']);
    twins.heard(R1, 'b', HOUR / 2);
    assert.ok(twins.of(R1));
    twins.heard(R1, 'b', 6_000 + HOUR);
    assert.equal(twins.of(R1), null);
  });

  it('are forgotten with their robot', () => {
    const twins = hear([...'abab']);
    twins.forget(R1);
    assert.equal(twins.of(R1), null);
  });
});
