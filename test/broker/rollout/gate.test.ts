/** The verdicts of the gate and their reasons, case by case. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { addIncrements, emptyEvidence, emptyGroup } from '../../../broker/rollout/evidence.ts';
import { judge } from '../../../broker/rollout/gate.ts';
import {
  waveEvidenceSchema,
  type Attempts,
  type GroupTotals,
  type Increment,
  type MetricEvidence,
  type GateVerdict,
  type WaveEvidence,
} from '../../../broker/rollout/gate-types.ts';
import { gatesSchema, type GatesFields } from '../../../shared/formats/gates.ts';
import { LIMITS } from '../../../shared/base/limits.ts';

const ATTEMPTS = { cohort: 10, reachable: 10, installed: 10, failed: 0, vanished: 0 };
/** The canary wave: its robots are in no order. */
const NONE = { reachable: 0, installed: 0 };
const SOAK_S = 600;
const NOW = 1_800_000_000_000;
const BATCH_MS = gatesSchema.parse({}).batch_s * 1000;

interface Question {
  readonly gates?: GatesFields;
  readonly evidence?: WaveEvidence;
  readonly history?: GroupTotals;
  readonly attempts?: Partial<Attempts>;
  readonly elapsedS?: number | null;
  readonly soakS?: number;
}

function ask(question: Question): GateVerdict {
  const { elapsedS = SOAK_S, soakS = SOAK_S } = question;
  return judge({
    gates: gatesSchema.parse(question.gates ?? {}),
    evidence: question.evidence ?? emptyEvidence(),
    history: question.history ?? emptyGroup(),
    now: NOW + BATCH_MS,
    attempts: { ...ATTEMPTS, newcomers: NONE, examples: [], unable: [], ...question.attempts },
    stages: 5,
    soak: { elapsedS, soakS },
  });
}

function increment(group: Increment['group'], fields: Partial<Increment> = {}): Increment {
  const nothing = { hours: 0, crashes: 0, tasksCompleted: 0, tasksFailed: 0 };
  const firsts = { firstReport: group === 'treated', firstCrash: false, firstFailure: false };
  return { group, ...nothing, ...firsts, ...fields };
}

/** As the tests see it after one whole batch. */
function seen(increments: readonly Increment[], before = emptyEvidence(), now = NOW): WaveEvidence {
  const gates = gatesSchema.parse({});
  const gathered = addIncrements(before, increments, { gates, now });
  return addIncrements(gathered, [], { gates, now: now + BATCH_MS });
}

/** Hours and crashes of a group, spread over as many robots as there are crashes. */
function crashes(group: Increment['group'], hours: number, count: number): Increment[] {
  const robots = Math.max(1, count, Math.ceil(hours / LIMITS.countedHoursMax));
  return Array.from({ length: robots }, (_, at) =>
    increment(group, {
      hours: hours / robots,
      crashes: at < count ? 1 : 0,
      firstCrash: at < count,
    }),
  );
}

function line(
  verdict: GateVerdict,
  metric: MetricEvidence['metric'],
  against: MetricEvidence['against'],
): MetricEvidence {
  const found = verdict.evidence.find((one) => one.metric === metric && one.against === against);
  assert.ok(found, `${metric} against ${against}`);
  return found;
}

describe('the updates of a wave', () => {
  it('pass when enough have ended well, the soak is over and nothing is wrong', () => {
    const verdict = ask({});
    assert.equal(verdict.kind, 'pass');
    assert.match(verdict.reasons[0] ?? '', /^10 of 10 updates succeeded/);
  });

  it('are waited for, and the sentence says how many are missing', () => {
    const verdict = ask({ attempts: { installed: 3 } });
    assert.equal(verdict.kind, 'hold');
    assert.equal(verdict.reasons[0], '3 of 10 robots have ended their update, 5 more are needed');
    const { missing, missing_unit: unit } = line(verdict, 'apply', 'bound');
    assert.deepEqual([missing, unit], [5, 'robots']);
  });

  it('are not waited for where robots are away, but one has to tell', () => {
    assert.equal(ask({ attempts: { cohort: 50, reachable: 5, installed: 5 } }).kind, 'pass');
    const none = ask({ attempts: { cohort: 4, reachable: 0, installed: 0 } });
    assert.match(none.reasons[0] ?? '', /1 more is needed; 4 are away/);
  });

  it('halt when the only canary fails, or a small wave fails whole, without any soak', () => {
    const one = { cohort: 1, reachable: 1, installed: 0, failed: 1 };
    assert.equal(ask({ attempts: one, elapsedS: null }).kind, 'halt');
    const whole = { cohort: 3, reachable: 3, installed: 0, failed: 2, vanished: 1 };
    assert.equal(ask({ attempts: whole, elapsedS: null }).kind, 'halt');
  });

  it('never pass while none has succeeded, whatever the bounds allow', () => {
    const gates = { apply_success_min: 0, report_share_min: 0 };
    const away = { cohort: 6, reachable: 6, installed: 0, failed: 5 };
    const verdict = ask({ gates, attempts: away });
    assert.equal(verdict.kind, 'hold');
    assert.equal(
      verdict.reasons[0],
      '0 of 5 updates succeeded: one must before the wave passes; 1 robot has not ended',
    );
    assert.equal(ask({ gates, attempts: { ...away, vanished: 1 } }).kind, 'halt');
    assert.equal(ask({ gates, attempts: { ...away, installed: 1 } }).kind, 'pass');
  });

  it('of an earlier wave that end only now prove nothing about the robots of this one', () => {
    const gates = { apply_success_min: 0, report_share_min: 0 };
    const late = { cohort: 4, reachable: 4, installed: 1, failed: 2 };
    const ofThree = { reachable: 3, installed: 0 };
    const held = ask({ gates, attempts: { ...late, newcomers: ofThree } });
    assert.match(held.reasons[0] ?? '', /none on the robots that this wave let in: one must/);
    const ended = { ...late, failed: 3, newcomers: ofThree };
    assert.equal(ask({ gates, attempts: ended }).kind, 'halt');
    const one = { ...late, newcomers: { reachable: 3, installed: 1 } };
    assert.equal(ask({ gates, attempts: one }).kind, 'pass');
    const away = { ...late, cohort: 9, reachable: 1, failed: 0, newcomers: NONE };
    assert.equal(ask({ gates, attempts: away }).kind, 'pass', 'robots that are offline delay none');
  });

  it('halt below the bound, with the names of some that failed', () => {
    assert.equal(ask({ attempts: { installed: 9, failed: 1 } }).kind, 'pass', 'one is chance');
    const two = ask({ attempts: { installed: 8, failed: 2, examples: ['r-4', 'r-7'] } });
    assert.equal(two.kind, 'halt');
    assert.equal(two.reasons[0], '8 of 10 updates succeeded, 90 % must; failed: 2 (r-4, r-7)');
  });

  it('count robots that vanished in the middle as failed', () => {
    const verdict = ask({ attempts: { installed: 8, vanished: 2, examples: ['r-1'] } });
    assert.equal(verdict.kind, 'halt');
    assert.match(verdict.reasons[0] ?? '', /2 of them vanished during it/);
  });

  it('halt a large wave on its first failures, long before all have ended', () => {
    const attempts = { cohort: 500, reachable: 500, installed: 4 };
    assert.equal(ask({ attempts: { ...attempts, failed: 12 } }).kind, 'halt');
    assert.equal(ask({ attempts: { ...attempts, installed: 11, failed: 3 } }).kind, 'hold');
  });
});

describe('the soak', () => {
  it('holds before it has begun and while it lasts, and says how long', () => {
    assert.deepEqual(ask({ elapsedS: null }).reasons, ['the soak has not begun']);
    assert.deepEqual(ask({ elapsedS: 179.5 }).reasons, ['421 s of the soak are left']);
    assert.equal(ask({ elapsedS: 0, soakS: 0 }).kind, 'pass');
  });

  it('is not over before the first batch of reports was tested', () => {
    const gates = gatesSchema.parse({});
    for (const one of [{ hours: 1 }, { tasksCompleted: 5 }]) {
      const early = addIncrements(emptyEvidence(), [increment('treated', one)], {
        gates,
        now: NOW,
      });
      const verdict = ask({ evidence: early, elapsedS: 0, soakS: 0 });
      assert.equal(verdict.kind, 'hold');
      assert.match(verdict.reasons[0] ?? '', /the first reports are gathered for 120 s/);
    }
  });
});

describe('crashes against the control group', () => {
  const harm = [...crashes('treated', 5, 8), ...crashes('control', 500, 10)];

  it('halt during the soak when there are far more', () => {
    const verdict = ask({ evidence: seen(harm), elapsedS: 60 });
    assert.equal(verdict.kind, 'halt');
    assert.match(
      verdict.reasons[0] ?? '',
      /^8 crashes in 5 robot-hours on the new version, 10 crashes in 500 robot-hours on the old/,
    );
  });

  it('of one sick robot do not halt, unless it is the only one that has reported', () => {
    const first = (one: Increment, at: number): Increment =>
      at === 0 ? one : { ...one, firstCrash: false };
    const sick = harm.map(first);
    assert.notEqual(ask({ evidence: seen(sick) }).kind, 'halt');
    const young = { cohort: 50, reachable: 50, installed: 0 };
    const next = ask({ evidence: seen(sick), attempts: young });
    assert.equal(next.kind, 'hold', 'those of earlier waves have the version as well');
    const alone = sick.map((one, at) => ({ ...one, firstReport: at === 0 }));
    const one = { cohort: 1, reachable: 1, installed: 1 };
    assert.equal(ask({ evidence: seen(alone), attempts: one }).kind, 'halt');
    assert.notEqual(ask({ evidence: seen(alone) }).kind, 'halt', 'nine are silent');
  });

  it('hold while too few hours were seen, say how many are missing, and give up waiting', () => {
    const evidence = seen([...crashes('treated', 10, 1), ...crashes('control', 990, 99)]);
    const short = ask({ evidence });
    assert.equal(short.kind, 'hold');
    const { missing, missing_unit: unit, text } = line(short, 'crash', 'control');
    assert.equal(unit, 'robot_hours');
    assert.ok(missing > 100 && missing < 2_000, `${missing}`);
    assert.match(text, /robot-hours more would show a rate 2 times the control's/);
    assert.equal(ask({ evidence, elapsedS: SOAK_S * 8 - 1 }).kind, 'hold');
    const over = ask({ evidence, elapsedS: SOAK_S * 8 });
    assert.equal(over.kind, 'pass');
    assert.match(over.reasons.join('\n'), /no regression seen in \d+ % of the evidence/);
    assert.equal(ask({ evidence, gates: { evidence_wait_s: 60 } }).kind, 'pass');
  });

  it('need no wait where no robot crashes', () => {
    const evidence = seen([...crashes('treated', 10, 0), ...crashes('control', 900, 0)]);
    assert.equal(ask({ evidence }).kind, 'pass');
  });

  it('are waited for when the new version reports nothing while the old one does', () => {
    const control = increment('control', { hours: 9, tasksCompleted: 4_000 });
    const verdict = ask({ evidence: seen([control]) });
    assert.equal(verdict.kind, 'hold');
    assert.match(verdict.reasons.join('\n'), /the new version has reported nothing yet/);
  });
});

describe('tasks against the control group', () => {
  const failing = (hours: number): Increment[] =>
    Array.from({ length: 6 }, () =>
      increment('treated', { hours, tasksCompleted: 8, tasksFailed: 2, firstFailure: true }),
    );
  const control = (hours: number): Increment =>
    increment('control', { hours, tasksCompleted: 5_900, tasksFailed: 100 });

  it('halt when more of them fail', () => {
    const verdict = ask({ evidence: seen([...failing(1), control(20)]) });
    assert.equal(verdict.kind, 'halt');
    assert.match(verdict.reasons[0] ?? '', /^12 of 60 tasks failed on the new version/);
  });

  it('are compared also where a group reports tasks and no hours', () => {
    assert.equal(ask({ evidence: seen([...failing(0), control(0)]) }).kind, 'halt');
    assert.equal(ask({ evidence: seen([...failing(0), control(20)]) }).kind, 'halt');
  });

  it('wait for the other group alone, and lose nothing of what came meanwhile', () => {
    const both = seen([increment('treated', { hours: 1, tasksCompleted: 60 }), control(20)]);
    const half = seen([...failing(1), increment('control', { hours: 20 })], both);
    assert.equal(half.pending.treated.hours, 0, 'hours were there on both sides');
    assert.equal(half.pending.treated.tasks_failed, 12, 'tasks wait');
    const whole = seen([control(20)], half, NOW + BATCH_MS);
    assert.equal(whole.pending.treated.tasks_failed, 0);
    assert.equal(ask({ evidence: whole }).kind, 'halt');
  });
});

describe('where no control group reports', () => {
  it('the past of the old version takes its place', () => {
    const history = { ...emptyGroup(), hours: 10_000, crashes: 100 };
    const bad = seen(crashes('treated', 20, 15));
    const verdict = ask({ evidence: bad, history });
    assert.equal(verdict.kind, 'halt');
    assert.match(line(verdict, 'crash', 'history').text, /100 in 10000 before/);
    assert.equal(ask({ evidence: seen(crashes('treated', 20, 0)), history }).kind, 'pass');
  });

  it('fixed bounds hold', () => {
    const gates = { crashes_per_hour_max: 0.1, task_success_min: 0.95 };
    const tasks = { tasksCompleted: 60, tasksFailed: 40, firstFailure: true };
    const bad = seen([
      ...crashes('treated', 50, 30),
      increment('treated', { hours: 1, ...tasks }),
      increment('treated', { hours: 1, ...tasks }),
    ]);
    const verdict = ask({ gates, evidence: bad });
    assert.equal(verdict.kind, 'halt');
    assert.equal(line(verdict, 'crash', 'bound').verdict, 'halt');
    assert.equal(line(verdict, 'task', 'bound').verdict, 'halt');
    assert.match(line(verdict, 'task', 'bound').text, /120 of 200 tasks completed, 95 % must/);
  });
});

describe('the level', () => {
  it('is shared by all tests of all stages', () => {
    const halts = (gates: GatesFields): unknown[] =>
      ask({ gates }).evidence.map(({ e_halt: halt }) => halt);
    assert.deepEqual(new Set(halts({})), new Set([500]), '5 tests, 5 stages, 5 %');
    const more = { crashes_per_hour_max: 1, task_success_min: 0.9, false_halt_max: 0.1 };
    assert.deepEqual(new Set(halts(more)), new Set([350]));
  });
});

const wild = fc.oneof(
  fc.constantFrom(0, 1, -1, NaN, Infinity, -Infinity, 1e300, Number.MAX_SAFE_INTEGER),
  fc.double(),
  fc.nat({ max: 50 }),
);
const wildIncrement: fc.Arbitrary<Increment> = fc.record({
  group: fc.constantFrom('treated', 'control'),
  hours: wild,
  crashes: wild,
  tasksCompleted: wild,
  tasksFailed: wild,
  firstReport: fc.boolean(),
  firstCrash: fc.boolean(),
  firstFailure: fc.boolean(),
});

describe('any claims of robots', () => {
  it('one alone with a billion crashes neither halts the fleet nor hides the harm of others', () => {
    const liar = increment('treated', { hours: 0.1, crashes: 1e9, firstCrash: true });
    const control = increment('control', { hours: 9 });
    assert.equal(seen([liar, control]).treated.crashes, LIMITS.countedCrashesMax);
    assert.notEqual(ask({ evidence: seen([liar, control]) }).kind, 'halt');
    const honest = [...crashes('treated', 5, 8), ...crashes('control', 500, 10)];
    assert.equal(ask({ evidence: seen([...honest, { ...liar, group: 'control' }]) }).kind, 'halt');
  });

  it('the record survives JSON, and the verdict has reasons in words and numbers that are finite', () => {
    const looks = fc.array(fc.array(wildIncrement, { maxLength: 6 }), { maxLength: 4 });
    const bounds = fc.record({
      crashes_per_hour_max: fc.constantFrom(null, 0, 0.5, 1e6),
      task_success_min: fc.constantFrom(null, 0, 0.5, 1),
      apply_success_min: fc.constantFrom(0, 0.9, 1),
      ratio_tolerated: fc.constantFrom(1, 1.1, 10),
    });
    const property = fc.property(looks, bounds, fc.nat(1e6), (list, gates, elapsedS) => {
      let evidence = emptyEvidence();
      for (const look of list) evidence = seen(look, evidence);
      const kept = waveEvidenceSchema.parse(JSON.parse(JSON.stringify(evidence)));
      assert.deepEqual(kept, evidence);
      const verdict = ask({ gates, evidence: kept, elapsedS });
      assert.ok(verdict.reasons.length > 0);
      assert.doesNotMatch(verdict.reasons.join('\n'), /NaN|Infinity|undefined|null/);
      for (const one of verdict.evidence)
        for (const value of [one.treated, one.reference, one.e_value, one.e_halt, one.missing])
          assert.ok(value === null || Number.isFinite(value), `${one.metric} ${value}`);
    });
    fc.assert(property, { numRuns: 500 });
  });

  it('more failed updates never turn a halt into anything else', () => {
    const counts = fc.record({ installed: fc.nat(200), failed: fc.nat(50), vanished: fc.nat(50) });
    const property = fc.property(counts, fc.integer({ min: 1, max: 20 }), (attempts, more) => {
      const reachable = attempts.installed + attempts.failed + attempts.vanished + 40;
      const all = { ...attempts, cohort: reachable, reachable };
      if (ask({ attempts: all }).kind !== 'halt') return;
      const worse = { ...all, failed: all.failed + more };
      assert.equal(ask({ attempts: worse }).kind, 'halt');
    });
    fc.assert(property, { numRuns: 300 });
  });
});

describe('a gate that was given no evidence', () => {
  const lineOf = (verdict: GateVerdict, metric: string, against: string) =>
    verdict.evidence.find((one) => one.metric === metric && one.against === against);

  it('holds on a bound that was asked for, however late it is', () => {
    for (const gates of [{ task_success_min: 0.98 }, { crashes_per_hour_max: 0.1 }]) {
      const verdict = ask({ gates, elapsedS: SOAK_S * 100 });
      assert.equal(verdict.kind, 'hold');
      assert.match(verdict.reasons.join(), /nothing has been reported yet/);
    }
  });

  it('says so of a comparison, and never that it passed', () => {
    const verdict = ask({});
    assert.equal(lineOf(verdict, 'task', 'control')?.verdict, 'none');
    assert.equal(lineOf(verdict, 'crash', 'control')?.verdict, 'none');
    assert.equal(verdict.kind, 'pass', 'nothing was asked for beyond that');
    // Two seconds without a crash on either side are as good as none.
    const hours = 2 / 3600;
    const seconds = (['treated', 'control'] as const).map((group) => increment(group, { hours }));
    const short = ask({ evidence: seen(seconds) });
    assert.equal(lineOf(short, 'crash', 'control')?.verdict, 'none');
    const history = { ...emptyGroup(), hours: 1 };
    const alone = ask({ evidence: seen([increment('treated', { hours })]), history });
    assert.equal(lineOf(alone, 'crash', 'history')?.verdict, 'none');
    const bound = ask({ gates: { crashes_per_hour_max: 0.1 }, evidence: seen(seconds) });
    assert.equal(lineOf(bound, 'crash', 'bound')?.verdict, 'hold');
    const crashes = seen([increment('treated', { hours, crashes: 10, firstCrash: true })]);
    const harm = ask({ gates: { crashes_per_hour_max: 0.1 }, evidence: crashes });
    assert.equal(harm.kind, 'halt', 'too little for a pass is enough for a halt');
  });

  it('passes the bound with the first tasks that are good', () => {
    const evidence = seen([increment('treated', { hours: 1, tasksCompleted: 50 })]);
    const verdict = ask({ gates: { task_success_min: 0.98 }, evidence });
    assert.equal(lineOf(verdict, 'task', 'bound')?.verdict, 'pass');
  });
});
