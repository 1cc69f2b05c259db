/** The targets of the links of a set with a system image at a boot: every phase, slot and link. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  followingJob,
  LEADS,
  leadsOf,
  planFollow,
  SLOT_RUNS,
  slotRuns,
  type FollowPlan,
  type Leads,
  type SlotRuns,
} from '../../../robot-client/update/follow-plan.ts';
import { accepts } from '../../../robot-client/update/machine.ts';
import type { Follows } from '../../../robot-client/update/job-parts.ts';
import { encodeMachineState, freshState, type Job } from '../../../robot-client/update/state.ts';
import { ROBOT_PHASES, type RobotPhase } from '../../../shared/formats/messages.ts';

const FOLLOWS: Follows = {
  ...{ component: 'system', version: '2.0.0', from: 'A', fromVersion: '1.0.0', to: 'B' },
};
const BEFORE: readonly RobotPhase[] = [
  ...(['checking', 'downloading', 'verifying', 'staging', 'waiting'] as const),
];
const UNDER_WAY: readonly RobotPhase[] = [
  ...(['swapping', 'rebooting', 'probation', 'rolling_back', 'reverting', 'stuck'] as const),
];

interface Fact {
  readonly phase: RobotPhase;
  readonly runs: SlotRuns;
  readonly leads: Leads;
  readonly plan: FollowPlan;
}

const ALL: readonly Fact[] = ROBOT_PHASES.flatMap((phase) =>
  SLOT_RUNS.flatMap((runs) =>
    LEADS.map((leads) => ({ phase, runs, leads, plan: planFollow({ phase, runs, leads }) })),
  ),
);
const each = (of: (one: Fact) => boolean, check: (one: Fact, said: string) => void): void => {
  const found = ALL.filter(of);
  assert.ok(found.length > 0);
  for (const one of found) check(one, JSON.stringify(one));
};

describe('the links of a component that follows a system image', () => {
  it('are decided for each phase', () => {
    assert.equal(ALL.length, 12 * 4 * 4);
    assert.deepEqual([...BEFORE, ...UNDER_WAY, 'idle'].toSorted(), ROBOT_PHASES.toSorted());
  });

  it('lead to the release of the slot that runs, in each phase from the stop on', () => {
    each(
      ({ phase, runs, leads }) =>
        UNDER_WAY.includes(phase) && (runs === 'new' || runs === 'old') && leads !== 'other',
      ({ runs, leads, plan }, said) => {
        const after = plan.link === 'stays' ? leads : plan.link;
        assert.equal(after, runs, said);
      },
    );
  });

  it('stay where they are while nothing is known about the slot, or a person changed something', () => {
    each(
      ({ runs, leads }) => runs === 'unknown' || runs === 'other' || leads === 'other',
      ({ phase, plan }, said) => {
        assert.equal(plan.link, 'stays', said);
        assert.equal(plan.event, phase === 'probation' ? 'count' : 'none', said);
      },
    );
  });

  it('stay before anything was stopped', () => {
    each(
      ({ phase }) => BEFORE.includes(phase),
      ({ plan }, said) => assert.deepEqual(plan, { link: 'stays', event: 'none' }, said),
    );
  });

  it('of a confirmed release change only when the boot loader went back to the slot before', () => {
    each(
      ({ phase }) => phase === 'idle',
      ({ runs, leads, plan }, said) => {
        const isBack = runs === 'old' && leads === 'new';
        const undone: FollowPlan = { link: 'old', event: 'undone' };
        assert.deepEqual(plan, isBack ? undone : { link: 'stays', event: 'none' }, said);
      },
    );
  });

  it('are stored as a switch only where the image runs, and as undone only where it does not', () => {
    each(
      () => true,
      ({ phase, runs, leads, plan }, said) => {
        const isKnown = leads !== 'other';
        const isSwitch = ['swapping', 'rebooting'].includes(phase) && runs === 'new' && isKnown;
        assert.equal(plan.event === 'swapped', isSwitch, said);
        if (plan.event === 'undone') assert.equal(runs, 'old', said);
        if (phase === 'probation' && runs === 'old' && isKnown) {
          assert.equal(plan.event, 'undone', said);
        }
      },
    );
  });

  it('never ask the machine for an event that its phase does not have', () => {
    each(
      ({ plan }) => plan.event === 'swapped' || plan.event === 'undone',
      ({ phase, plan }, said) => {
        const kind =
          plan.event === 'swapped' ? 'swapped' : phase === 'idle' ? 'recalled' : 'unhealthy';
        assert.ok(accepts(phase, kind), said);
      },
    );
  });

  it('change nothing when they are decided again', () => {
    each(
      ({ plan }) => plan.link !== 'stays',
      ({ phase, runs, plan }, said) => {
        const leads = plan.link === 'stays' ? 'other' : plan.link;
        const next = phase === 'idle' ? 'rolling_back' : phase;
        assert.equal(planFollow({ phase: next, runs, leads }).link, 'stays', said);
      },
    );
  });
});

describe('the slot that runs, for such a component', () => {
  const now = (running: string, versions: Record<string, string | null>) => ({
    ...{ bootId: 'b', running, other: running === 'A' ? 'B' : 'A' },
    versions: new Map(Object.entries(versions)),
  });

  it('is known by its name and by the version in it', () => {
    const both = { A: '1.0.0', B: '2.0.0' };
    assert.equal(slotRuns(FOLLOWS, now('B', both)), 'new');
    assert.equal(slotRuns(FOLLOWS, now('A', both)), 'old');
    assert.equal(slotRuns(FOLLOWS, null), 'unknown');
    assert.equal(slotRuns(FOLLOWS, now('C', both)), 'other');
  });

  it('is another one when a later update, or a person, wrote into it', () => {
    assert.equal(slotRuns(FOLLOWS, now('A', { A: '3.0.0', B: '2.0.0' })), 'other');
    assert.equal(slotRuns(FOLLOWS, now('B', { A: '1.0.0', B: '4.0.0' })), 'other');
    assert.equal(slotRuns(FOLLOWS, now('B', { A: '1.0.0' })), 'other');
  });

  it('may hold a factory image that no record names', () => {
    const factory = { ...FOLLOWS, fromVersion: null };
    assert.equal(slotRuns(factory, now('A', { B: '2.0.0' })), 'old');
    assert.equal(slotRuns(factory, now('A', { A: '3.0.0', B: '2.0.0' })), 'other');
  });
});

describe('a job whose links follow an image', () => {
  const job = {
    version: '3.0.0',
    previousVersion: '2.9.0',
    leftVersion: null,
    follows: FOLLOWS,
    commitId: null,
  };
  const state = (phase: RobotPhase, follows: Follows | null = FOLLOWS) => {
    const own = { ...job, follows } as unknown as Job;
    const isIdle = phase === 'idle';
    return { ...freshState(), phase, job: isIdle ? null : own, installed: isIdle ? own : null };
  };

  it('is that of the update under way, or the confirmed one', () => {
    for (const phase of [...UNDER_WAY, 'idle'] as const) {
      assert.equal(followingJob(state(phase))?.version, '3.0.0', phase);
      assert.equal(followingJob(state(phase, null)), null, phase);
    }
    for (const phase of BEFORE) assert.equal(followingJob(state(phase)), null, phase);
  });

  it('is none when it is confirmed and its former image cannot be distinguished from another', () => {
    const factory = { ...FOLLOWS, fromVersion: null };
    assert.equal(followingJob(state('idle', factory)), null);
    assert.equal(followingJob(state('probation', factory))?.version, '3.0.0');
  });

  it('leads to the new release, to the one before, to nothing, or elsewhere', () => {
    assert.equal(leadsOf(job, '3.0.0'), 'new');
    assert.equal(leadsOf(job, '2.9.0'), 'old');
    assert.equal(leadsOf({ ...job, leftVersion: '2.8.0' }, '2.8.0'), 'old');
    assert.equal(leadsOf(job, null), 'none');
    assert.equal(leadsOf({ ...job, previousVersion: null }, null), 'old');
    assert.equal(leadsOf(job, '2.7.0'), 'other');
  });

  it('is in a state file that an older agent leaves alone', () => {
    const schemaOf = (one: ReturnType<typeof state>): unknown =>
      (JSON.parse(new TextDecoder().decode(encodeMachineState(one))) as { schema: unknown }).schema;
    const set = { id: 's', image: 'system', members: [] };
    const system = { ...job, follows: null, set } as unknown as Job;
    assert.equal(schemaOf(state('rebooting')), 3);
    assert.equal(schemaOf({ ...state('rebooting'), job: system }), 3);
    assert.equal(schemaOf({ ...state('idle') }), 1, 'a confirmed one is anybody’s');
  });
});
