import fc from 'fast-check';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decideOffer, decideRecall } from '../../../robot-client/update/decide.ts';
import { step } from '../../../robot-client/update/machine.ts';
import { freshState, type Job, type MachineState } from '../../../robot-client/update/state.ts';
import { CATALOGUE, type ErrorCode } from '../../../shared/base/error-catalogue.ts';

import { parseRobotId, type RobotId, type RolloutId } from '../../../shared/base/ids.ts';
import { openProgress, type Progress } from '../../../shared/formats/progress.ts';
import { cohortFraction, decideTurn, type TurnRules } from '../../../shared/rules/rollout-rules.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { announce, factsOf, makeRollout, makeWorld, NOW } from '../world.ts';

const fleet = makeFleet();
const ROBOT = parseRobotId('r13');
const ID = 'x' as RolloutId;
const FRACTION = cohortFraction('s', ROBOT);
const RULES: TurnRules = {
  id: ID,
  salt: 's',
  waves: [
    { percent: 10, soak_s: 0 },
    { percent: 100, soak_s: 0 },
  ],
  emergency: false,
  canaries: { robots: [], tags: [] },
  approve_after: [],
  late_spread_s: 300,
};

function told(fields: Partial<Parameters<typeof fleet.progress>[0]> = {}): Progress {
  return openProgress(fleet.progress({ rollout: ID, seq: 1, ...fields }), fleet.trust);
}

function turn(
  rules: Partial<TurnRules>,
  progress?: Progress,
  more: { at?: number; since?: number; hasJoined?: boolean; isAnswered?: boolean } = {},
) {
  return decideTurn(
    { ...RULES, ...rules },
    {
      robot: ROBOT,
      tags: ['lab', 'beta'],
      progress,
      completeSinceMs: more.since,
      hasJoined: more.hasJoined ?? false,
      isAnswered: more.isAnswered ?? true,
      now: more.at ?? NOW,
    },
  );
}

describe('the turn of a robot', () => {
  it('follows the threshold, to the robot', () => {
    assert.equal(turn({}, told({ threshold: FRACTION }))?.problem.code, 'COHORT_CLOSED');
    assert.equal(turn({}, told({ threshold: FRACTION + 1e-9 })), null);
  });

  it('is waited for while the rollout is paused, and never after it was stopped for good', () => {
    const isOver = (of: Parameters<typeof told>[0]) =>
      turn({}, told({ threshold: 1, ...of }))?.isOver;
    assert.equal(isOver({ status: 'paused' }), false);
    assert.equal(isOver({ status: 'halted' }), true);
    assert.equal(isOver({ status: 'rolling_back', recall: true }), true);
    assert.notEqual(turn({}, told({ threshold: 0 }))?.isOver, true);
  });

  it('lets explicit canaries in from wave 0 on, by id or by all of the tags [P-6.5]', () => {
    const first = told({ threshold: 0, wave: 0 });
    assert.equal(turn({}, first)?.problem.code, 'COHORT_CLOSED');
    assert.equal(turn({ canaries: { robots: [ROBOT], tags: [] } }, first), null);
    assert.equal(turn({ canaries: { robots: [], tags: ['lab', 'beta'] } }, first), null);
    const other = turn({ canaries: { robots: [], tags: ['lab', 'gamma'] } }, first);
    assert.equal(other?.problem.code, 'COHORT_CLOSED');
    const stopped = told({ threshold: 0, wave: 0, status: 'paused' });
    const canaries = { robots: [ROBOT], tags: [] };
    assert.equal(turn({ canaries }, stopped)?.problem.code, 'ROLLOUT_STOPPED');
    const taken = told({ threshold: 1, recall: true });
    assert.equal(turn({ canaries }, taken)?.problem.code, 'ROLLOUT_STOPPED');
    assert.equal(turn({ canaries })?.problem.code, 'COHORT_CLOSED', 'no controller has opened it');
  });

  it('does not come before the canaries, even when one wave is meant for all [P-6.5]', () => {
    const waves = [{ percent: 100, soak_s: 0 }];
    assert.equal(turn({ waves }), null, 'without canaries it needs no controller');
    const canaries = { robots: [parseRobotId('other')], tags: [] };
    assert.equal(turn({ waves, canaries })?.problem.code, 'COHORT_CLOSED');
    assert.equal(turn({ waves, approve_after: [1] })?.problem.code, 'COHORT_CLOSED');
  });

  it('has to be asked for first, where a stop would be all that a controller says [P-6.8]', () => {
    const waves = [{ percent: 100, soak_s: 0 }];
    const asking = turn({ waves }, undefined, { isAnswered: false });
    assert.equal(asking?.problem.code, 'COHORT_CLOSED');
    assert.equal(turn({ waves }, told({ threshold: 1 }), { isAnswered: false }), null);
    assert.equal(turn({ waves }, undefined, { isAnswered: false, hasJoined: true }), null);
    assert.equal(turn({ emergency: true }, undefined, { isAnswered: false }) === null, false);
  });

  it('comes at a moment of its own when the rollout is complete already [P-6.6]', () => {
    const done = told({ threshold: 1, status: 'complete', wave: 2 });
    const late = turn({}, done, { since: NOW });
    const ownMs = Math.floor(cohortFraction('s late', ROBOT) * 300_000);
    assert.equal(late?.untilMs, NOW + ownMs);
    assert.equal(turn({}, done, { since: NOW, at: NOW + ownMs }), null);
    const joined = turn({}, done, { since: NOW, hasJoined: true });
    assert.equal(joined, null, 'who has begun goes on');
    const before = turn({}, done, { since: NOW + 86_400_000, at: NOW });
    assert.ok((before?.untilMs ?? 0) <= NOW + 300_000, 'a clock put back does not hold it up');
  });

  it('spreads robots that come late evenly, and each always at the same moment', () => {
    const done = told({ threshold: 1, status: 'complete', wave: 2 });
    const untils = Array.from({ length: 2_000 }, (_, at) => {
      const robot = `n${at}` as RobotId;
      const facts = { robot, tags: [], progress: done, hasJoined: false, isAnswered: true };
      return (
        (decideTurn(RULES, { ...facts, now: NOW, completeSinceMs: NOW })?.untilMs ?? NOW) - NOW
      );
    });
    for (let part = 0; part < 10; part += 1) {
      const within = untils.filter((ms) => ms >= part * 30_000 && ms < (part + 1) * 30_000).length;
      assert.ok(within > 130 && within < 270, `${within} of 2000 in part ${part}`);
    }
  });

  it('once it has come stays while the threshold rises', () => {
    const any = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(any, any, (a, b) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)];
        if (turn({}, told({ threshold: low })) !== null) return;
        assert.equal(turn({}, told({ threshold: high })), null);
      }),
      { numRuns: 30 },
    );
  });
});

/** A state with a release that rollout `x` brought. */
function installed(): { state: MachineState; job: Job } {
  const world = makeWorld();
  const offer = decideOffer(
    announce(world, [makeRollout(world, { version: '1.1.0' })]),
    factsOf(world),
  );
  if (offer.verdict.kind !== 'take') throw new Error('the world is broken');
  const job = { ...offer.verdict.job, rollout: ID, previousVersion: '1.0.0' };
  return { state: { ...freshState(), installed: job }, job };
}

describe('a recall', () => {
  const recalled = (progress: Progress, more: Partial<Parameters<typeof decideRecall>[0]> = {}) =>
    decideRecall({
      state: installed().state,
      active: '1.1.0',
      rollback: '1.0.0',
      progress: new Map([[ID, progress]]),
      now: NOW,
      ...more,
    })?.code ?? null;
  const back = told({ status: 'rolling_back', recall: true });

  it('reaches exactly the robots whose active version the rollout brought [P-6.4]', () => {
    assert.equal(recalled(back), 'ROLLOUT_RECALLED');
    assert.equal(recalled(told({ status: 'halted', recall: true })), 'ROLLOUT_RECALLED');
    assert.equal(recalled(told({ status: 'halted' })), null, 'an abort leaves it');
    assert.equal(recalled(back, { active: '1.2.0' }), null, 'a newer one runs by now');
    assert.equal(recalled(back, { state: freshState() }), null, 'it was there before');
    const old = { ...back, expires_at: NOW };
    assert.equal(recalled(old), null, 'what has expired has no force');
  });

  it('never takes the only release away [P-6.4]', () => {
    assert.equal(recalled(back, { rollback: null }), 'RECALL_IMPOSSIBLE');
    assert.equal(recalled(back, { rollback: '0.9.0' }), 'RECALL_IMPOSSIBLE');
  });

  it('goes back and blocks nothing for a fault of the disks, the links or the slots of the robot', () => {
    const blocks = (code: ErrorCode): boolean => {
      const problem = { code, message: 'because', hint: 'wait' };
      const trial: MachineState = { ...freshState(), phase: 'probation', job: installed().job };
      const { state } = step(trial, { kind: 'unhealthy', problem }, NOW);
      return step(state, { kind: 'rolled_back' }, NOW).state.blocked.length > 0;
    };
    const codes = Object.keys(CATALOGUE) as ErrorCode[];
    const own = codes.filter((code) => /^(?:DISK_|ROOT_|SLOT_|BOOT_|PERMISSION_)/.test(code));
    const blamed = own.filter(blocks);
    const OF_THE_VERSION = [
      'BOOT_FELL_BACK',
      'BOOT_SLOT_CHANGED',
      'BOOT_NOT_CONFIRMED',
      'BOOT_LIMIT_REACHED',
    ];
    assert.deepEqual(
      blamed.filter((code) => !OF_THE_VERSION.includes(code)),
      [],
    );
    assert.ok(
      ['HEALTH_FAILED', 'HOOK_FAILED', 'BOOT_FELL_BACK', 'BOOT_LIMIT_REACHED'].every((code) =>
        blocks(code as ErrorCode),
      ),
    );
  });

  it('goes back, blocks the payload and says how it ended [P-8.7]', () => {
    const { state, job } = installed();
    const problem = { code: 'ROLLOUT_RECALLED', message: 'because', hint: 'wait' } as const;
    const going = step(state, { kind: 'recalled', problem }, NOW);
    assert.equal(going.state.phase, 'rolling_back');
    assert.equal(going.effects[0]?.kind, 'rollBack');
    const { state: after } = step(going.state, { kind: 'rolled_back' }, NOW + 1_000);
    assert.deepEqual([after.phase, after.installed], ['idle', null]);
    assert.deepEqual(after.blocked, [
      { version: '1.1.0', payloadSha256: job.payloadSha256, code: 'ROLLOUT_RECALLED' },
    ]);
    assert.deepEqual([after.lastUpdate?.outcome, after.lastUpdate?.rollout], ['recalled', ID]);
  });
});
