import fc from 'fast-check';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Member, MemberKind } from '../../../broker/rollout/classify.ts';
import { planThreshold, somebodyIsLeft } from '../../../broker/rollout/waves.ts';
import type { RobotId } from '../../../shared/base/ids.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { parseRobotState } from '../../../shared/formats/messages.ts';
import { cohortFraction } from '../../../shared/rules/rollout-rules.ts';

const WAVES = [0.01, 0.1, 0.5, 1];
const [COMPONENT] = parseRobotState(
  Buffer.from(
    JSON.stringify({
      robot_id: 'r',
      at: '2026-06-01T00:00:00Z',
      components: [{ name: 'app', version: '1.0.0', phase: 'idle' }],
    }),
  ),
).components;

function member(at: number, more: { kind?: MemberKind; online?: boolean } = {}): Member {
  const robot = `r${at}` as RobotId;
  if (!COMPONENT) throw new Error('no component');
  return {
    robot,
    kind: more.kind ?? 'candidate',
    why: null,
    fraction: cohortFraction('salt', robot),
    isCanary: false,
    isComing: false,
    online: more.online ?? true,
    component: COMPONENT,
    counterEpoch: '',
  };
}

const within = (members: readonly Member[], threshold: number): number =>
  members.filter((one) => one.fraction < threshold).length;

describe('the waves of a rollout', () => {
  for (const size of [1, 2, 3, 20, 5_000]) {
    for (const minCanaries of [1, 3, 10]) {
      it(`of ${size} robots never have fewer than ${minCanaries} new ones while there are any`, () => {
        const members = Array.from({ length: size }, (_, at) => member(at));
        let previous = 0;
        for (const share of WAVES) {
          const threshold = planThreshold({ members, share, previous, minCanaries });
          const fresh = within(members, threshold) - within(members, previous);
          const left = size - within(members, previous);
          assert.ok(fresh >= Math.min(minCanaries, left), `${fresh} new at ${share}`);
          assert.ok(threshold >= share && threshold >= previous && threshold <= 1);
          previous = threshold;
        }
        assert.equal(within(members, previous), size);
        assert.ok(!somebodyIsLeft(members, previous));
      });
    }
  }
});

describe('how far a wave reaches', () => {
  it('is exactly as announced where the fleet is large enough', () => {
    const members = Array.from({ length: 5_000 }, (_, at) => member(at));
    const open = planThreshold({ members, share: 0.01, previous: 0, minCanaries: 1 });
    assert.equal(open, 0.01);
  });

  it('steps over robots that are away, but not over half of the fleet to find one', () => {
    const away = Array.from({ length: 100 }, (_, at) => member(at, { online: false }));
    const order = away.toSorted((a, b) => a.fraction - b.fraction);
    const third = order.map((one, at) => (at === 2 ? { ...one, online: true } : one));
    const near = planThreshold({ members: third, share: 0.001, previous: 0, minCanaries: 1 });
    assert.equal(within(third, near), 3, 'the third is the first that can answer');
    const far = order.map((one, at) => (at === 60 ? { ...one, online: true } : one));
    const open = planThreshold({ members: far, share: 0.001, previous: 0, minCanaries: 1 });
    assert.equal(within(far, open), 1, 'better to wait for one that is away');
  });

  it('is never more than a few times min_canaries beyond its share', () => {
    const robots = fc.array(fc.record({ online: fc.boolean() }), { minLength: 1, maxLength: 60 });
    const canaries = fc.integer({ min: 1, max: 5 });
    fc.assert(
      fc.property(robots, canaries, fc.constantFrom(...WAVES), (list, minCanaries, share) => {
        const members = list.map((one, at) => member(at, one));
        const threshold = planThreshold({ members, share, previous: 0, minCanaries });
        const extra = within(members, threshold) - within(members, share);
        assert.ok(extra <= minCanaries * LIMITS.canaryReach);
      }),
    );
  });

  it('is nothing for a wave of explicit canaries: it lets no other robot in', () => {
    const members = [member(1), member(2)];
    assert.equal(planThreshold({ members, share: 0, previous: 0, minCanaries: 5 }), 0);
  });
});
