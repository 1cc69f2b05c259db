/** The decision of a boot over generated slots and checks: it never makes a boot worse. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  decideBoot,
  startEvent,
  withDamage,
  type BootFacts,
} from '../../../robot-client/recover/recovery.ts';
import type { ReleaseCheck } from '../../../robot-client/install/seal.ts';
import type { Slot } from '../../../robot-client/install/slots.ts';
import { stateAfterLoss } from '../../../robot-client/update/lost-state.ts';
import { freshState, type MachineState } from '../../../robot-client/update/state.ts';
import { DroverError, toProblem } from '../../../shared/base/errors.ts';

const [SPARE, OLD, NEW] = ['0.9.0', '1.0.0', '1.1.0'];
const NOW = 1_800_000_000_000;

const release = (version: string): Slot => ({
  kind: 'release',
  version,
  isOurs: true,
  isOutside: false,
  end: { path: `/r/releases/${version}`, id: version },
  way: [],
});
const problem = toProblem(new DroverError('RELEASE_LOST', 'read active: it is gone'));
const lost = (version: string): Slot => ({ kind: 'lost', version, problem });
const ABSENT: Slot = { kind: 'absent' };
const FOREIGN: Slot = {
  ...{ kind: 'foreign', end: null },
  problem: toProblem(new DroverError('SLOT_DANGLING', 'read rollback: it leads to nothing')),
};

const slots = fc.record({
  active: fc.constantFrom(release(NEW), lost(NEW), ABSENT),
  rollback: fc.constantFrom(release(OLD), release(NEW), lost(OLD), ABSENT, FOREIGN),
});
const checks: fc.Arbitrary<ReleaseCheck> = fc.constantFrom<ReleaseCheck>(
  { kind: 'absent' },
  { kind: 'unknown' },
  { kind: 'damaged', path: 'bin/run', why: 'got 3 bytes, want 11' },
  { kind: 'whole', isHashed: true },
  { kind: 'whole', isHashed: false },
);

function stateIn(phase: MachineState['phase'], boots: number): MachineState {
  const both = { active: release(NEW), rollback: release(OLD) };
  const lostState = stateAfterLoss(both, null, NOW);
  if (phase === 'idle' || !lostState.job) return freshState();
  return { ...lostState, phase, job: { ...lostState.job, boots } };
}

/** A slot that leads to nothing has nothing to be checked. */
const facts: fc.Arbitrary<BootFacts> = fc
  .record({
    slots,
    active: checks,
    rollback: checks,
    phase: fc.constantFrom<MachineState['phase']>('idle', 'probation', 'swapping', 'rolling_back'),
    boots: fc.nat(4),
    bootsMax: fc.integer({ min: 1, max: 4 }),
  })
  .map(({ phase, boots, ...rest }) => ({
    ...rest,
    active: rest.slots.active.kind === 'release' ? rest.active : ({ kind: 'absent' } as const),
    rollback:
      rest.slots.rollback.kind === 'release' ? rest.rollback : ({ kind: 'absent' } as const),
    state: stateIn(phase, boots),
  }));

const isSwapUnderWay = ({ state: { phase } }: BootFacts): boolean =>
  phase === 'swapping' || phase === 'rolling_back';
const isWayBack = ({ slots: { rollback } }: BootFacts): boolean =>
  rollback.kind === 'release' && rollback.version === OLD;

describe('the decision of a boot', () => {
  it('leaves what is whole, or not known to be damaged, where it is', () => {
    fc.assert(
      fc.property(facts, (one) => {
        fc.pre(one.active.kind === 'whole' || one.active.kind === 'unknown');
        const { problem: why, goesBackTo } = decideBoot(one);
        assert.deepEqual([why, goesBackTo], [null, null]);
      }),
    );
  });

  it('never goes back to a release that is damaged or absent, and not over a turn under way', () => {
    fc.assert(
      fc.property(facts, (one) => {
        const { goesBackTo } = decideBoot(one);
        if (goesBackTo === null) return;
        assert.equal(isSwapUnderWay(one), false);
        const isAnother = one.active.kind === 'absent' && one.rollback.kind === 'damaged';
        assert.ok(isAnother || ['whole', 'unknown'].includes(one.rollback.kind));
        const { rollback } = one.slots;
        assert.equal(goesBackTo, rollback.kind === 'release' ? rollback.version : null);
      }),
    );
  });

  it('finds the whole release when what boots is damaged, lost or nothing', () => {
    fc.assert(
      fc.property(facts, (one) => {
        fc.pre(isWayBack(one) && one.rollback.kind === 'whole' && !isSwapUnderWay(one));
        fc.pre(one.active.kind === 'damaged' || one.active.kind === 'absent');
        fc.pre(!(one.slots.active.kind === 'release' && one.active.kind === 'absent'));
        assert.equal(decideBoot(one).goesBackTo, OLD);
      }),
    );
  });

  it('links another release only when it is whole, and what runs and rollback are not', () => {
    fc.assert(
      fc.property(facts, checks, (one, check) => {
        const state = { ...one.state, lastActive: NEW };
        const given: BootFacts = { ...one, state, spare: { version: SPARE, check } };
        const { goesBackTo, problem: why } = decideBoot(given);
        if (one.slots.active.kind === 'absent' && state.phase === 'idle') assert.ok(why);
        if (goesBackTo !== SPARE) return;
        assert.equal(check.kind, 'whole');
        assert.ok(['absent', 'damaged'].includes(one.active.kind));
        assert.notEqual(one.rollback.kind, 'whole');
      }),
    );
  });

  it('has nothing more to do once it was followed', () => {
    fc.assert(
      fc.property(facts, (one) => {
        const first = decideBoot(one);
        fc.pre(first.goesBackTo !== null);
        const after: BootFacts = {
          ...one,
          state: withDamage(one.state, first, NOW),
          slots: { active: one.slots.rollback, rollback: ABSENT },
          active: one.rollback,
          rollback: { kind: 'absent' },
        };
        assert.equal(decideBoot(after).goesBackTo, null);
      }),
    );
  });
});

describe('a start that finds another release in active than is on probation', () => {
  const found = (rollback: Slot): string => {
    const on = { state: stateIn('probation', 0), slots: { active: release(OLD), rollback } };
    const event = startEvent({ ...on, bootsMax: 3 }, 'recover');
    return event.kind === 'boots_exhausted' ? event.problem.code : event.kind;
  };

  it('knows a boot that was not counted, which removed rollback, from a hand of a person', () => {
    assert.equal(found(ABSENT), 'BOOT_NOT_COUNTED');
    assert.equal(found(release(OLD)), 'ACTIVE_CHANGED');
    assert.equal(found(release(SPARE)), 'ACTIVE_CHANGED');
  });
});
