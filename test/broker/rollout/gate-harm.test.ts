/**
 * More harm never improves the verdict of the gate, and robots that stay silent do not improve it.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { addIncrements, emptyEvidence, emptyGroup } from '../../../broker/rollout/evidence.ts';
import { judge } from '../../../broker/rollout/gate.ts';
import type {
  GroupTotals,
  Increment,
  GateVerdict,
  WaveEvidence,
} from '../../../broker/rollout/gate-types.ts';
import { gatesSchema, type Gates } from '../../../shared/formats/gates.ts';

const NOW = 1_800_000_000_000;
const GATES = gatesSchema.parse({ crashes_per_hour_max: 0.5, task_success_min: 0.9 });
/** Without them the comparisons alone decide. */
const NO_BOUNDS = gatesSchema.parse({});
const BATCH_MS = GATES.batch_s * 1000;
const FIRSTS = { firstReport: true, firstCrash: false, firstFailure: false };
const IDLE = { hours: 0, crashes: 0, tasksCompleted: 0, tasksFailed: 0, ...FIRSTS };

type Robot = Omit<Increment, 'group' | keyof typeof FIRSTS>;
const robots = (group: Increment['group'], list: readonly Robot[]): Increment[] =>
  list.map((one) => ({
    ...{ group, ...one, firstReport: group === 'treated' },
    ...{ firstCrash: one.crashes > 0, firstFailure: one.tasksFailed > 0 },
  }));

function gather(...batches: readonly (readonly Increment[])[]): WaveEvidence {
  let evidence = emptyEvidence();
  for (const [at, batch] of batches.entries()) {
    const now = NOW + at * BATCH_MS;
    evidence = addIncrements(evidence, batch, { gates: GATES, now });
  }
  const now = NOW + batches.length * BATCH_MS;
  return addIncrements(evidence, [], { gates: GATES, now });
}

interface Asked {
  readonly history?: GroupTotals;
  readonly installed?: number;
  readonly failed?: number;
  readonly laterMs?: number;
  readonly gates?: Gates;
}

function ask(evidence: WaveEvidence, asked: Asked = {}): GateVerdict {
  const { installed = 10, failed = 0, gates = GATES } = asked;
  const reachable = 10 + failed;
  return judge({
    ...{ gates, evidence, history: asked.history ?? emptyGroup(), stages: 5 },
    attempts: {
      cohort: reachable,
      reachable,
      installed,
      failed,
      vanished: 0,
      newcomers: { reachable: 0, installed: 0 },
      examples: [],
      unable: [],
    },
    now: NOW + BATCH_MS + (asked.laterMs ?? 0),
    soak: { elapsedS: 600, soakS: 600 },
  });
}

const robot = fc.record({
  hours: fc.double({ min: 0.1, max: 5, noNaN: true }),
  crashes: fc.nat(4),
  tasksCompleted: fc.nat(200),
  tasksFailed: fc.nat(20),
});
const group = fc.array(robot, { minLength: 1, maxLength: 12 });

describe('more harm by the new version', () => {
  it('never turns a halt into anything better', () => {
    const which = fc.nat(11);
    const what = fc.constantFrom('crashes', 'tasksFailed');
    const more = fc.integer({ min: 1, max: 5 });
    const property = fc.property(group, group, which, what, more, (news, olds, at, part, count) => {
      const worse = news.map((one, index) =>
        index === at % news.length ? { ...one, [part]: one[part] + count } : one,
      );
      const control = robots('control', olds);
      for (const history of [emptyGroup(), { ...emptyGroup(), hours: 900, crashes: 9 }]) {
        const before = ask(gather([...robots('treated', news), ...control]), { history });
        const after = ask(gather([...robots('treated', worse), ...control]), { history });
        if (before.kind === 'halt') assert.equal(after.kind, 'halt', after.reasons.join('\n'));
      }
    });
    fc.assert(property, { numRuns: 400 });
  });

  it('by an update that fails beside it never turns a halt into anything better', () => {
    // One alone that crashes a lot: whether it is believed must not hang on updates that failed.
    const sick = fc.record({ hours: fc.constant(0.5), crashes: fc.integer({ min: 5, max: 10 }) });
    const alone = sick.map((one) => [{ ...IDLE, ...one }]);
    const news = fc.oneof(alone, group);
    const few = fc.nat(2);
    const property = fc.property(news, group, few, few, (list, olds, installed, failed) => {
      const sane = olds.map((one) => ({ ...one, hours: one.hours * 20, crashes: 1 }));
      const evidence = gather([...robots('treated', list), ...robots('control', sane)]);
      const before = ask(evidence, { gates: NO_BOUNDS, installed, failed });
      const after = ask(evidence, { gates: NO_BOUNDS, installed, failed: failed + 1 });
      if (before.kind === 'halt') assert.equal(after.kind, 'halt');
    });
    fc.assert(property, { numRuns: 400 });
  });

  it('is what a halt takes: none at all never halts, whatever the others did', () => {
    const property = fc.property(group, group, (news, olds) => {
      const clean = news.map((one) => ({ ...one, crashes: 0, tasksFailed: 0 }));
      const evidence = gather([...robots('treated', clean), ...robots('control', olds)]);
      assert.notEqual(ask(evidence).kind, 'halt');
    });
    fc.assert(property, { numRuns: 200 });
  });
});

describe('a batch', () => {
  it('begins with the new version: its first crash is not a batch by itself', () => {
    const control = robots('control', [{ ...IDLE, hours: 50 }]);
    const crash = robots('treated', [{ ...IDLE, hours: 0.01, crashes: 1 }]);
    const hours = robots('treated', [{ ...IDLE, hours: 5 }]);
    const early = gather(control, control, crash);
    assert.ok(
      early.crash_logs.some((one) => one > 0),
      'alone it weighs a lot',
    );
    const look = { gates: GATES, now: NOW + 3 * BATCH_MS };
    let evidence = addIncrements(gather(control, control), crash, look);
    assert.deepEqual(evidence.crash_logs, emptyEvidence().crash_logs, 'it waits');
    evidence = addIncrements(evidence, hours, { ...look, now: look.now + 1_000 });
    evidence = addIncrements(evidence, [], { ...look, now: look.now + BATCH_MS });
    const top = (one: WaveEvidence): number => Math.max(...one.crash_logs);
    assert.ok(top(evidence) < top(early), 'beside its hours it weighs less');
  });
});

describe('a group that reports tasks and no hours', () => {
  const failing = robots(
    'treated',
    Array.from({ length: 6 }, () => ({ ...IDLE, tasksCompleted: 3, tasksFailed: 7 })),
  );
  const history = { ...emptyGroup(), tasks_completed: 9_900, tasks_failed: 100 };

  it('is compared with the past where no robot runs the old version', () => {
    const evidence = gather(failing);
    assert.equal(evidence.treated.hours, 0);
    const verdict = ask(evidence, { history });
    assert.equal(verdict.kind, 'halt');
    const line = verdict.evidence.find(({ against }) => against === 'history');
    assert.match(line?.text ?? '', /^42 of 60 tasks failed, 100 of 10000 before/);
  });

  it('is compared with the past where the others do no tasks any more', () => {
    const control = robots('control', [{ ...IDLE, hours: 20, tasksCompleted: 500 }]);
    const quiet = robots('control', [{ ...IDLE, hours: 20 }]);
    // Hours go on coming on both sides; tasks come from the new version alone.
    const well = robots('treated', [{ ...IDLE, hours: 1, tasksCompleted: 9 }]);
    const evidence = gather([...well, ...control], [], [...failing, ...quiet], quiet, quiet);
    assert.equal(evidence.pending.treated.tasks_failed, 42, 'waits for tasks of the others');
    assert.ok(!ask(evidence, { history }).evidence.some(({ against }) => against === 'history'));
    const verdict = ask(evidence, { history, laterMs: 5 * BATCH_MS });
    const line = verdict.evidence.find(({ against }) => against === 'history');
    assert.equal(line?.metric, 'task');
    assert.equal(line?.verdict, 'halt');
  });

  it('holds the wave until its first tasks were in a batch, whatever the hours did', () => {
    const control = robots('control', [{ ...IDLE, hours: 20, tasksCompleted: 500 }]);
    const hours = robots('treated', [{ ...IDLE, hours: 50 }]);
    const evidence = gather([...hours, ...control], []);
    assert.equal(evidence.pending.treated.hours, 0, 'a batch of hours was tested');
    const tasks = robots('treated', [{ ...IDLE, tasksCompleted: 60 }]);
    const now = NOW + BATCH_MS;
    const next = addIncrements(evidence, tasks, { gates: GATES, now });
    assert.match(ask(next).reasons.join('\n'), /the first reports are gathered for 120 s/);
  });
});
