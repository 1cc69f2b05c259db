import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  accepts,
  isLooping,
  payloadFailure,
  powerEvent,
  rollbackFailure,
  step,
  TABLE,
  type MachineEvent,
} from '../../../robot-client/update/machine.ts';
import { leaseFailure, retriedNow } from '../../../robot-client/update/retry.ts';
import { freshState, type Job, type MachineState } from '../../../robot-client/update/state.ts';
import { decideOffer } from '../../../robot-client/update/decide.ts';
import type { ErrorCode } from '../../../shared/base/error-catalogue.ts';
import type { Problem } from '../../../shared/base/errors.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { ROBOT_PHASES, type RobotPhase } from '../../../shared/formats/messages.ts';
import { announce, factsOf, makeRollout, makeWorld, NOW } from '../world.ts';

const world = makeWorld();

function jobOf(version: string): Job {
  const { verdict } = decideOffer(
    announce(world, [makeRollout(world, { version })]),
    factsOf(world),
  );
  if (verdict.kind !== 'take') throw new Error('the world is broken');
  return verdict.job;
}

const JOB = jobOf('1.1.0');
const problem = (code: ErrorCode): Problem => ({ code, message: 'because', hint: 'do' });

/** Plays events from a fresh state and returns the phases passed. */
function play(...events: MachineEvent[]): { phases: RobotPhase[]; state: MachineState } {
  let state = freshState();
  const phases: RobotPhase[] = [];
  for (const event of events) {
    state = step(state, event, NOW).state;
    phases.push(state.phase);
  }
  return { phases, state };
}

const TO_PROBATION: MachineEvent[] = [
  { kind: 'offered', job: JOB },
  { kind: 'fits' },
  { kind: 'downloaded' },
  { kind: 'intact' },
  { kind: 'staged' },
  { kind: 'ready', previousVersion: '1.0.0' },
  { kind: 'swapped' },
];

/** An event of every kind, with what it carries. */
function sampleEvent(kind: string, code: ErrorCode = 'DISK_FULL'): MachineEvent {
  if (kind === 'offered') return { kind, job: JOB };
  if (kind === 'superseded') return { kind, job: jobOf('1.2.0') };
  if (kind === 'ready') return { kind, previousVersion: '1.0.0' };
  if (kind === 'reboot_due') return { kind, slots: { from: 'A', to: 'B' } };
  if (kind === 'fell_back') return { kind, to: '1.0.0', problem: problem('BOOT_FELL_BACK') };
  if (kind === 'trial_found') {
    const slots = { from: 'A', to: 'B' };
    const found = { version: '1.1.0', previous: '1.0.0', slots, set: null };
    return { kind, ...found, problem: problem('STATE_LOST') };
  }
  if (kind === 'told') return { kind, bootId: 'boot-1' };
  if (kind === 'power_returned') return { kind, by: 'agent' };
  return { kind, problem: problem(code) } as MachineEvent;
}

describe('the table', () => {
  it('says what happens in every phase when the power returns', () => {
    for (const phase of ROBOT_PHASES) assert.ok(TABLE[phase].power_returned, phase);
  });

  it('never leaves a phase after the swap but forward, back, or to a person', () => {
    const after = ['swapping', 'rebooting', 'probation', 'rolling_back', 'reverting'] as const;
    for (const phase of after) {
      for (const [event, next] of Object.entries(TABLE[phase])) {
        // A lease that is lost before the switch: nothing was swapped.
        const known = event === 'lease_lost' ? ['waiting'] : [...after, 'idle', 'stuck'];
        assert.ok(known.includes(next), `${phase} ${event}`);
      }
      assert.ok(!accepts(phase, 'superseded') && !accepts(phase, 'withdrawn'), phase);
    }
  });

  it('can be left from every phase: nothing but stuck waits for a person', () => {
    for (const phase of ROBOT_PHASES) {
      const ways = Object.values(TABLE[phase]).filter((next) => next !== phase);
      assert.ok(ways.length > 0, phase);
    }
  });
});

describe('a good update', () => {
  it('passes every phase in order and forgets its job', () => {
    const { phases, state } = play(...TO_PROBATION, { kind: 'healthy' });
    assert.deepEqual(phases, [
      'checking',
      'downloading',
      'verifying',
      'staging',
      'waiting',
      'swapping',
      'probation',
      'idle',
    ]);
    assert.equal(state.job, null);
    assert.deepEqual(state.blocked, []);
  });
});

describe('a bad update', () => {
  it('rolls back and is blocked when it was unhealthy', () => {
    const { phases, state } = play(
      ...TO_PROBATION,
      { kind: 'unhealthy', problem: problem('HEALTH_DEADLINE') },
      { kind: 'rolled_back' },
    );
    assert.deepEqual(phases.slice(-2), ['rolling_back', 'idle']);
    assert.deepEqual(
      state.blocked.map((one) => [one.version, one.code]),
      [['1.1.0', 'HEALTH_DEADLINE']],
    );
    assert.equal(state.lastProblem?.code, 'HEALTH_DEADLINE');
  });

  it('is blocked after a rollback even when its failure alone would allow another try', () => {
    const { state } = play(
      ...TO_PROBATION,
      { kind: 'unhealthy', problem: problem('HOOK_TIMED_OUT') },
      { kind: 'rolled_back' },
    );
    assert.equal(state.blocked.length, 1);
  });

  it('is tried again when the swap itself failed, since the version never ran', () => {
    const { state } = play(
      ...TO_PROBATION.slice(0, -1),
      { kind: 'swap_failed', problem: problem('SWAP_FAILED') },
      { kind: 'rolled_back' },
    );
    assert.equal(state.blocked.length, 0);
    assert.ok(state.retry && state.retry.notBeforeMs > NOW);
  });

  it('waits longer after each failure that may pass, up to the longest wait', () => {
    let state = freshState();
    const waits: number[] = [];
    for (let round = 0; round < 20; round += 1) {
      state = step(state, { kind: 'offered', job: JOB }, NOW).state;
      state = step(state, { kind: 'refused', problem: problem('DISK_SPACE_SHORT') }, NOW).state;
      waits.push((state.retry?.notBeforeMs ?? 0) - NOW);
    }
    assert.ok(waits.every((wait, at) => at === 0 || wait >= (waits[at - 1] ?? 0)));
    assert.ok(waits.every((wait) => wait > 0 && wait <= LIMITS.retryDelayMsMax));
  });

  it('is downloaded once more when its payload is wrong, then blocked', () => {
    let { state } = play(...TO_PROBATION.slice(0, 3));
    const first = payloadFailure(state, problem('PAYLOAD_HASH_MISMATCH'));
    assert.equal(first.kind, 'corrupt');
    state = step(step(state, first, NOW).state, { kind: 'downloaded' }, NOW).state;
    const second = payloadFailure(state, problem('PAYLOAD_HASH_MISMATCH'));
    assert.equal(second.kind, 'refused');
    assert.equal(step(state, second, NOW).state.blocked.length, 1);
  });

  it('calls a person after the last failed rollback, and a person may let it try again', () => {
    let { state } = play(...TO_PROBATION, { kind: 'unhealthy', problem: problem('HEALTH_FAILED') });
    const kinds: string[] = [];
    for (let round = 0; round < LIMITS.rollbackAttemptsMax; round += 1) {
      const event = rollbackFailure(state, problem('ROLLBACK_FAILED'));
      kinds.push(event.kind);
      state = step(state, event, NOW).state;
    }
    assert.deepEqual(kinds, ['rollback_failed', 'rollback_failed', 'rollback_exhausted']);
    assert.equal(state.phase, 'stuck');
    assert.equal(step(state, { kind: 'retried' }, NOW).state.phase, 'rolling_back');
  });
});

describe('a ready lease that is lost before the switch', () => {
  const lost = { problem: problem('READY_LEASE_LOST'), wasStopped: true };
  const toSwap: MachineEvent[] = [
    ...TO_PROBATION.slice(0, -2),
    { kind: 'ready', previousVersion: '1.0.0', holders: ['arm'] },
  ];

  it('is remembered with its holders, and leads back to the wait', () => {
    const { state } = play(...toSwap);
    assert.deepEqual(state.job?.leaseHolders, ['arm']);
    const event = leaseFailure(state, lost);
    const after = step(state, event, NOW).state;
    assert.deepEqual([after.phase, after.job?.leaseLosses], ['waiting', 1]);
    assert.equal(after.lastProblem?.code, 'READY_LEASE_LOST');
  });

  it('ends the attempt after some stops, however they come, and blocks nothing', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 40, maxLength: 40 }), (stops) => {
        let { state } = play(...toSwap);
        let stopped = 0;
        for (const wasStopped of stops) {
          stopped += wasStopped ? 1 : 0;
          state = step(state, leaseFailure(state, { ...lost, wasStopped }), NOW).state;
          if (state.phase === 'rolling_back') break;
          assert.equal(state.phase, 'waiting');
          state = step(state, { kind: 'ready', previousVersion: '1.0.0' }, NOW).state;
        }
        assert.ok(stopped <= LIMITS.leaseStopsMax);
        assert.equal(state.phase === 'rolling_back', stopped === LIMITS.leaseStopsMax);
        if (state.phase !== 'rolling_back') return;
        const { state: end } = step(state, { kind: 'rolled_back', to: '1.0.0' }, NOW);
        assert.deepEqual([end.blocked, end.retry === null], [[], false]);
      }),
    );
  });

  it('says in the effect whether an agent that ran before may have stopped something', () => {
    const isAgain = ({ effects: [effect] }: ReturnType<typeof step>): unknown =>
      effect?.kind === 'swap' && effect.isAgain;
    const { state } = play(...toSwap.slice(0, -1));
    const begun = step(state, toSwap.at(-1) as MachineEvent, NOW);
    assert.equal(isAgain(begun), false);
    assert.equal(isAgain(step(begun.state, { kind: 'power_returned', by: 'agent' }, NOW)), true);
  });
});

describe('a boot during probation', () => {
  const afterBoots = (boots: number, by: 'recover' | 'agent'): MachineState => {
    let { state } = play(...TO_PROBATION);
    for (let boot = 0; boot < boots; boot += 1) {
      state = step(state, powerEvent(state, by, { bootsMax: 3 }), NOW).state;
      if (state.phase !== 'probation') break;
      if (by === 'recover')
        state = step(state, powerEvent(state, 'agent', { bootsMax: 3 }), NOW).state;
    }
    return state;
  };

  it('counts once, though recover and agent both notice it', () => {
    assert.equal(afterBoots(2, 'recover').job?.boots, 2);
    assert.equal(afterBoots(2, 'agent').job?.boots, 2);
  });

  it('rolls back after the limit, with and without recover', () => {
    for (const by of ['recover', 'agent'] as const) {
      assert.equal(afterBoots(3, by).phase, 'probation');
      const state = afterBoots(4, by);
      assert.equal(state.phase, 'rolling_back');
      assert.equal(state.job?.cause?.code, 'BOOT_LIMIT_REACHED');
    }
  });
});

describe('any sequence of events', () => {
  const kinds = [...new Set(ROBOT_PHASES.flatMap((phase) => Object.keys(TABLE[phase])))];
  const anyRun = fc.array(
    fc.record({
      pick: fc.nat(),
      code: fc.constantFrom<ErrorCode>(
        'DISK_FULL',
        'HEALTH_FAILED',
        'SWAP_FAILED',
        'ARCHIVE_UNSAFE',
      ),
    }),
    { maxLength: 60 },
  );

  it('keeps a job exactly while a phase needs one, and never reaches probation without a swap', () => {
    fc.assert(
      fc.property(anyRun, (choices) => {
        let state = freshState();
        for (const { pick, code } of choices) {
          const canRecall = state.job !== null || state.installed !== null;
          const possible = Object.keys(TABLE[state.phase]).filter(
            (one) => one !== 'recalled' || canRecall,
          );
          const kind = possible[pick % possible.length] as string;
          const before = state.phase;
          state = step(state, sampleEvent(kind, code), NOW).state;
          assert.equal(state.job === null, state.phase === 'idle', `${before} ${kind}`);
          const isSwitched = ['swapping', 'rebooting', 'probation'].includes(before);
          // A slot that runs on trial after its state was lost was switched before.
          if (state.phase === 'probation') assert.ok(isSwitched || kind === 'trial_found');
          if (state.phase === 'swapping') assert.ok(['waiting', 'swapping'].includes(before));
          assert.ok(state.blocked.length <= LIMITS.blockedBundlesMax);
        }
      }),
    );
  });

  it('refuses an event that its phase does not know, by name, and changes nothing', () => {
    for (const phase of ROBOT_PHASES) {
      for (const kind of kinds.filter((one) => !Object.hasOwn(TABLE[phase], one))) {
        const state: MachineState = { ...freshState(), phase, job: phase === 'idle' ? null : JOB };
        const copy = structuredClone(state);
        assert.throws(
          () => step(state, sampleEvent(kind), NOW),
          new RegExp(`${kind} cannot happen in phase ${phase}`),
        );
        assert.deepEqual(state, copy);
      }
    }
  });

  it('ends a rollback that goes in circles with a person, who finds what was to be undone', () => {
    const { state } = play(...TO_PROBATION, {
      kind: 'unhealthy',
      problem: problem('HEALTH_FAILED'),
    });
    const looping = { kind: 'looping', problem: problem('LOOP_STOPPED') } as const;
    const stuck = step(state, looping, NOW).state;
    assert.deepEqual([stuck.phase, stuck.job?.version], ['stuck', '1.1.0']);
    assert.equal(stuck.lastProblem?.code, 'LOOP_STOPPED');
  });

  it('is noticed as a loop after a bounded number of steps', () => {
    let { state } = play(...TO_PROBATION.slice(0, 2));
    for (let turn = 0; turn < LIMITS.persistsPerJobMax; turn += 1) {
      state = step(state, { kind: 'power_returned', by: 'agent' }, NOW).state;
    }
    assert.ok(isLooping(state));
    assert.equal(
      step(state, { kind: 'looping', problem: problem('LOOP_STOPPED') }, NOW).state.phase,
      'idle',
    );
  });
});

describe('a version on probation that a person took back by hand', () => {
  const changed: MachineEvent = { kind: 'unhealthy', problem: problem('ACTIVE_CHANGED') };
  const { state } = play(...TO_PROBATION, changed, { kind: 'rolled_back', to: '1.0.0' });

  it('was not installed, and is not installed again for the same rollout', () => {
    assert.deepEqual([state.phase, state.highest, state.retry], ['idle', null, null]);
    const { outcome, code } = state.lastUpdate ?? {};
    assert.deepEqual([outcome, code], ['rolled_back', 'ACTIVE_CHANGED']);
    const [block] = state.blocked;
    assert.deepEqual([block?.version, block?.rollout], ['1.1.0', JOB.rollout]);
  });

  it('is tried again when a person says so; what failed is not', () => {
    assert.deepEqual(retriedNow(state)?.blocked, []);
    const failed: MachineEvent = { kind: 'unhealthy', problem: problem('HEALTH_FAILED') };
    const { state: other } = play(...TO_PROBATION, failed, { kind: 'rolled_back' });
    assert.equal(other.blocked.length, 1);
    assert.equal(retriedNow(other), null);
  });
});
