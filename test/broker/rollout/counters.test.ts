/** The gate's counters from the reports of robots: nothing is counted twice or lost. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { RobotRecord } from '../../../broker/control/fleet.ts';
import type { Increment } from '../../../broker/rollout/gate-types.ts';
import { reconcile, type Reconciled } from '../../../broker/rollout/reconcile.ts';
import { membersOf, type Member } from '../../../broker/rollout/classify.ts';
import {
  countAll,
  countAttempts,
  namedSince,
  observe,
  type CounterMark,
} from '../../../broker/rollout/counters.ts';
import { beginRun, type RolloutPlan, type RolloutRun } from '../../../broker/rollout/record.ts';
import { openAnnouncement } from '../../../shared/formats/announcement.ts';
import type { RobotId } from '../../../shared/base/ids.ts';
import type { ComponentStateFields } from '../../../shared/formats/messages.ts';
import { parseManifest } from '../../../shared/formats/manifest.ts';
import { releaseOf } from '../../../shared/rules/release-identity.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { AT, AT_MS, makeState, robotId } from '../reports.ts';

const VERSION = '2.0.0';
const BATCH_MS = 120_000;
const fleet = makeFleet();
const bundle = await fleet.makeBundle({ version: VERSION });
const announcement = openAnnouncement(
  fleet.announce(1, [
    fleet.makeRollout('two', bundle, {
      waves: [50, 100].map((percent) => ({ percent, soak_s: 3_600 })),
    }),
  ]),
  fleet.trust,
);
const [rollout] = announcement.rollouts;
assert.ok(rollout);
const { manifestBytes } = bundle;
const plan: RolloutPlan = {
  ...{ rollout, manifest: parseManifest(manifestBytes), announcement },
  release: releaseOf(manifestBytes),
};

type Usage = NonNullable<ComponentStateFields['usage']>[number];
type Did = Partial<Omit<Usage, 'stint' | 'version' | 'rollout'>>;

const newStint = (did: Did): Usage => ({
  ...{ stint: 2, version: VERSION, rollout: 'two', run_s: 0 },
  ...did,
});
const oldStint = (did: Did): Usage => ({ stint: 1, version: '1.0.0', run_s: 0, ...did });

const UPDATE = { rollout: 'two', version: VERSION, took_s: 1, bytes: 1 };
const TIMES = { started_at: AT, ended_at: AT };

function record(
  robot: string,
  component: Partial<ComponentStateFields>,
  epoch = 'e1',
): RobotRecord {
  const state = makeState(robot, component, { counter_epoch: epoch });
  return { robot: robotId(robot), state, online: true, lastSeenMs: AT_MS } as RobotRecord;
}

/** Took the update, and has done this with it. */
function updated(robot: string, did: Did, epoch?: string): RobotRecord {
  const last = { ...UPDATE, ...TIMES, outcome: 'installed' as const };
  const usage = [newStint(did), oldStint({ run_s: 500, crashes: 3 })];
  return record(robot, { version: VERSION, last_update: last, usage }, epoch);
}

const waiting = (robot: string, did: Did): RobotRecord => record(robot, { usage: [oldStint(did)] });

/** Reports one after the other, as the controller takes them in; sums of both groups. */
class Counter {
  #marks: ReadonlyMap<RobotId, CounterMark> = new Map();
  readonly increments: Increment[] = [];
  pastCrashes = 0;

  report(...robots: RobotRecord[]): readonly Increment[] {
    const members = membersOf({ plan, robots, now: AT_MS, watchedSinceMs: AT_MS });
    const seen = observe({ ...beginRun(plan, AT_MS), stage: 1 }, members, this.#marks);
    this.#marks = new Map([...this.#marks, ...seen.marks]);
    this.increments.push(...seen.increments);
    for (const one of seen.history) this.pastCrashes += one.crashes;
    return seen.increments;
  }

  sum(group: Increment['group'], part: 'hours' | 'crashes' | 'tasksFailed'): number {
    const mine = this.increments.filter((one) => one.group === group);
    return mine.reduce((all, one) => all + one[part], 0);
  }
}

describe('activity of a robot since its update', () => {
  it('counts from its first second, and what it did before does not', () => {
    const counter = new Counter();
    counter.report(updated('r1', { run_s: 3_600, crashes: 2, tasks_failed: 1 }));
    assert.equal(counter.sum('treated', 'hours'), 1);
    assert.equal(counter.sum('treated', 'crashes'), 2);
    assert.equal(counter.sum('treated', 'tasksFailed'), 1);
    assert.equal(counter.sum('control', 'crashes'), 0);
    assert.equal(counter.pastCrashes, 3, 'the past of the old version');
  });

  it('counts once, however often a report comes, and a lost one is made up for', () => {
    const totals = fc.record({ run_s: fc.nat(9_000), crashes: fc.nat(9), tasks_failed: fc.nat(9) });
    const property = fc.property(
      fc.array(totals, { minLength: 1, maxLength: 8 }),
      fc.infiniteStream(fc.record({ times: fc.nat(3), isLate: fc.boolean() })),
      (steps, fates) => {
        let last = { run_s: 0, crashes: 0, tasks_failed: 0 };
        const reports = steps.map((step) => {
          last = {
            run_s: last.run_s + step.run_s,
            crashes: last.crashes + step.crashes,
            tasks_failed: last.tasks_failed + step.tasks_failed,
          };
          return last;
        });
        const counter = new Counter();
        const late: (typeof last)[] = [];
        for (const report of reports) {
          const { times, isLate } = fates.next().value;
          if (isLate) late.push(report);
          for (let at = 0; at < times; at += 1) counter.report(updated('r1', report));
        }
        counter.report(updated('r1', last));
        for (const report of late) counter.report(updated('r1', report));
        assert.equal(counter.sum('treated', 'crashes'), last.crashes);
        assert.equal(counter.sum('treated', 'tasksFailed'), last.tasks_failed);
        assert.ok(Math.abs(counter.sum('treated', 'hours') - last.run_s / 3_600) < 1e-9);
        assert.ok(counter.increments.every((one) => one.hours >= 0 && one.crashes >= 0));
      },
    );
    fc.assert(property, { numRuns: 200 });
  });

  it('starts from zero when the robot has lost its counters, and is not taken back', () => {
    const counter = new Counter();
    counter.report(updated('r1', { run_s: 3_600, crashes: 5 }));
    counter.report(updated('r1', { run_s: 360, crashes: 1 }, 'e2'));
    assert.equal(counter.sum('treated', 'crashes'), 6);
    assert.ok(counter.increments.every((one) => one.hours > 0));
  });

  it('takes the higher of the crashes that the application and the health hook saw', () => {
    const counter = new Counter();
    counter.report(updated('r1', { run_s: 60, crashes: 2, restarts: 5 }));
    assert.equal(counter.sum('treated', 'crashes'), 5);
  });

  it('makes it one robot that reported, crashed and failed, once in a stage', () => {
    const counter = new Counter();
    const [first] = counter.report(updated('r1', { run_s: 60 }));
    const [second] = counter.report(updated('r1', { run_s: 120, crashes: 1, tasks_failed: 1 }));
    const [third] = counter.report(updated('r1', { run_s: 180, crashes: 2, tasks_failed: 2 }));
    const firsts = (one: Increment | undefined) => [
      ...[one?.firstReport, one?.firstCrash, one?.firstFailure],
    ];
    assert.deepEqual(firsts(first), [true, false, false]);
    assert.deepEqual(firsts(second), [false, true, true]);
    assert.deepEqual(firsts(third), [false, false, false]);
  });
});

describe('the control group', () => {
  it('is the robots that still run the old version, from when the rollout began', () => {
    const counter = new Counter();
    counter.report(waiting('r2', { run_s: 36_000, crashes: 9 }));
    assert.equal(counter.increments.length, 0, 'that was before');
    assert.equal(counter.pastCrashes, 9);
    counter.report(waiting('r2', { run_s: 39_600, crashes: 10 }));
    assert.equal(counter.sum('control', 'hours'), 1);
    assert.equal(counter.sum('control', 'crashes'), 1);
  });

  it('has no robot in it that failed and went back, or that is newer', () => {
    const counter = new Counter();
    const last = { ...UPDATE, ...TIMES, outcome: 'rolled_back', code: 'HEALTH_FAILED' } as const;
    for (const run_s of [60, 3_660]) {
      const usage = [oldStint({ run_s })];
      counter.report(
        record('r3', { last_update: last, usage }),
        record('r4', { version: '3.0.0', usage: [{ ...oldStint({ run_s }), version: '3.0.0' }] }),
      );
    }
    assert.deepEqual(counter.increments, []);
  });
});

/** Looks at one fleet again and again, time passing in between. */
class Watch {
  run: RolloutRun = { ...beginRun(plan, AT_MS), stage: 1, threshold: 1 };
  #marks: ReadonlyMap<RobotId, CounterMark> = new Map();
  #now = AT_MS;

  look(...robots: RobotRecord[]): Reconciled {
    const reconciled = reconcile({
      ...{ run: this.run, plan, robots, marks: this.#marks },
      ...{ now: this.#now, watchedSinceMs: AT_MS },
    });
    this.run = reconciled.step.run;
    this.#marks = new Map([...this.#marks, ...reconciled.marks]);
    this.#now += BATCH_MS;
    return reconciled;
  }
}

const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, at) => `${prefix}${at}`);

describe('one look at the fleet', () => {
  const olds = (run_s: number): RobotRecord[] =>
    names('old', 30).map((robot) => waiting(robot, { run_s, crashes: 0 }));

  it('counts, judges and stops the rollout, with the evidence in the log', () => {
    const watch = new Watch();
    watch.run = { ...watch.run, threshold: 0.0001 };
    const bad = (crashes: number): RobotRecord[] =>
      names('new', 5).map((robot) => updated(robot, { run_s: crashes * 60, crashes }));
    watch.look(...bad(0), ...olds(0));
    watch.look(...bad(1), ...olds(120));
    const { step, verdict } = watch.look(...bad(4), ...olds(240));
    assert.equal(verdict.kind, 'halt');
    assert.equal(step.run.status, 'rolling_back');
    const [entry] = step.audit;
    assert.equal(entry?.kind, 'halted');
    assert.match(entry?.text ?? '', /crashes in .* robot-hours on the new version/);
    assert.ok(entry?.evidence.some(({ verdict: one }) => one === 'halt'));
  });

  it('does not stop a wave that has just opened for one sick robot of the wave before', () => {
    const watch = new Watch();
    // Ten took it in an earlier wave: this wave has brought the version to nobody yet.
    watch.run = { ...watch.run, stage: 2, base: { installed: 10, failed: 0, vanished: 0 } };
    let last: Reconciled | null = null;
    for (let at = 0; at < 20; at += 1) {
      const did = { run_s: at * 120 };
      const [, ...well] = names('new', 10);
      const sick = updated('new0', { ...did, crashes: at * 5 });
      const others = well.map((robot) => updated(robot, { ...did, crashes: 0 }));
      last = watch.look(sick, ...others, ...olds(at * 120));
      assert.notEqual(last.verdict.kind, 'halt', last.verdict.reasons.join('\n'));
    }
    const line = last?.verdict.evidence.find(({ metric }) => metric === 'crash');
    assert.ok(line && (line.e_value ?? 0) > (line.e_halt ?? 0), 'its crashes are beyond chance');
  });
});

const member = (robot: string, kind: Member['kind'], online: boolean): Member => ({
  ...{ robot: robotId(robot), kind, online, why: null, fraction: 0.1, isCanary: false },
  ...{ isComing: false, counterEpoch: 'e1' },
  component: makeState(robot).components[0] as Member['component'],
});

const ALL = { previous: 0, threshold: 1 };

describe('the counts of a wave', () => {
  const anyKind = fc.constantFrom<Member['kind'][]>(
    ...(['installed', 'went_on', 'updating', 'vanished', 'failed'] as const),
    ...(['recalled', 'candidate', 'excluded'] as const),
  );
  const anyPicture = fc.array(fc.tuple(anyKind, fc.boolean()), { minLength: 8, maxLength: 8 });
  const membersIn = (picture: [Member['kind'], boolean][]): Member[] =>
    picture.map(([kind, online], at) => member(`r${at}`, kind, online));

  it('add up, whatever has become of the robots of earlier waves since', () => {
    fc.assert(
      fc.property(anyPicture, anyPicture, (then, now) => {
        const { installed, failed, vanished } = countAll(membersIn(then), ALL);
        const run = { ...beginRun(plan, AT_MS), threshold: 1 };
        const counts = countAttempts(
          { ...run, base: { installed, failed, vanished } },
          countAll(membersIn(now), run),
        );
        const ended = counts.installed + counts.failed + counts.vanished;
        return ended <= counts.reachable && counts.reachable <= counts.cohort;
      }),
    );
  });

  it('hold one that failed before and has taken it since among the robots that installed it', () => {
    const base = { installed: 3, failed: 1, vanished: 0 };
    const run = { ...beginRun(plan, AT_MS), threshold: 1, base };
    const all = names('r', 8).map((robot) => member(robot, 'installed', true));
    const { cohort, reachable, installed } = countAttempts(run, countAll(all, run));
    assert.deepEqual([cohort, reachable, installed], [5, 5, 5]);
  });

  it('name robots that they count: none of an earlier wave', () => {
    const base = { installed: 0, failed: 1, vanished: 0 };
    const run = { ...beginRun(plan, AT_MS), previous: 0.5, threshold: 1, base };
    const old = { ...member('old', 'failed', true), fraction: 0.1 };
    const named = (robots: readonly Member[]): readonly string[] =>
      countAttempts(run, countAll(robots, run, namedSince(run))).examples;
    assert.deepEqual(named([old]), []);
    assert.deepEqual(named([old, { ...member('r9', 'failed', true), fraction: 0.9 }]), ['r9']);
  });
});
