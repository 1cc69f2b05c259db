/**
 * A robot runs all of a set or none: every verdict, and histories of the machine with power cuts.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  accepts,
  powerEvent,
  rollbackFailure,
  step,
  type MachineEvent,
} from '../../../robot-client/update/machine.ts';
import { blockAgainst, blockedOf } from '../../../robot-client/update/blocks.ts';
import {
  decideSet,
  isHeldBySet,
  memberViewOf,
  setBackEvent,
  stateOfSet,
  stepOf,
  type MemberViews,
} from '../../../robot-client/update/set-verdict.ts';
import { MEMBER_STEPS, type MemberStep } from '../../../robot-client/update/member-steps.ts';
import { freshState, type Job, type MachineState } from '../../../robot-client/update/state.ts';
import { decideOffer } from '../../../robot-client/update/decide.ts';
import type { RolloutSet } from '../../../shared/formats/announcement.ts';
import { CATALOGUE, type ErrorCode } from '../../../shared/base/error-catalogue.ts';
import type { Problem } from '../../../shared/base/errors.ts';
import { announce, factsOf, makeRollout, makeWorld, NOW } from '../world.ts';

const SWITCHED: readonly MemberStep[] = ['switching', 'trial', 'well', 'sure', 'done'];
const ON_ITS_WAY_BACK: readonly MemberStep[] = ['undoing', 'stuck', 'undone', 'undone_for_good'];

function* combinations(count: number): Generator<readonly MemberStep[]> {
  if (count === 0) return yield [];
  for (const rest of combinations(count - 1)) {
    for (const one of MEMBER_STEPS) yield [...rest, one];
  }
}

describe('the verdict about a set, in every combination of two and of three components', () => {
  const all = [...combinations(2), ...combinations(3)];
  const each = (check: (steps: readonly MemberStep[], at: number) => void): void => {
    for (const steps of all) for (const at of steps.keys()) check(steps, at);
  };
  const others = (steps: readonly MemberStep[], at: number): readonly MemberStep[] =>
    steps.filter((_, nth) => nth !== at);

  it('switches one only when every other is staged or further, and the earlier ones are healthy', () => {
    each((steps, at) => {
      if (steps[at] !== 'staged' || decideSet(steps, at) !== 'go') return;
      const behind = ['missing', 'unknown', 'pending', 'failed', ...ON_ITS_WAY_BACK];
      assert.ok(
        others(steps, at).every((one) => !behind.includes(one)),
        String(steps),
      );
      const earlier = steps.slice(0, at);
      assert.ok(earlier.every((one) => ['well', 'sure', 'done', 'had'].includes(one)));
    });
  });

  it('confirms one only when every other is sure, confirmed, or ran before', () => {
    each((steps, at) => {
      if (steps[at] !== 'sure' || decideSet(steps, at) !== 'go') return;
      assert.ok(others(steps, at).every((one) => ['sure', 'done', 'had'].includes(one)));
    });
  });

  it('takes every switched one back as soon as another goes back', () => {
    each((steps, at) => {
      if (!others(steps, at).some((one) => ON_ITS_WAY_BACK.includes(one))) return;
      const own = steps[at] ?? 'missing';
      if (own === 'switching' || !SWITCHED.includes(own)) return;
      assert.equal(decideSet(steps, at), 'back', `${String(steps)} at ${at}`);
    });
  });

  it('never says go and back about two components of one set', () => {
    for (const steps of all) {
      const verdicts = [...steps.keys()].map((at) => decideSet(steps, at));
      assert.ok(!(verdicts.includes('go') && verdicts.includes('back')), String(steps));
    }
  });

  it('lets at most one component be switched at a time', () => {
    for (const steps of all) {
      const may = [...steps.keys()].filter(
        (at) => steps[at] === 'staged' && decideSet(steps, at) === 'go',
      );
      assert.ok(may.length <= 1, String(steps));
    }
  });

  it('never leaves all of them waiting while one could go on', () => {
    for (const steps of all) {
      const isUnderWay = steps.every((one) =>
        ['staged', 'well', 'sure', 'done', 'had'].includes(one),
      );
      const isOver = steps.every((one) => one === 'done' || one === 'had');
      if (!isUnderWay || isOver) continue;
      const verdicts = [...steps.keys()].map((at) => decideSet(steps, at));
      // One that is sure beside one that is staged cannot happen: all are switched before that.
      if (steps.includes('sure') && steps.includes('staged')) continue;
      assert.ok(verdicts.includes('go'), String(steps));
    }
  });

  it('leaves what ran before, or does not belong to this robot, alone', () => {
    each((steps, at) => {
      const own = steps[at] ?? 'missing';
      if (own === 'had' || own === 'missing' || own === 'unknown') {
        assert.equal(decideSet(steps, at), 'wait');
      }
    });
  });
});

const world = makeWorld();
const NAMES = ['system', 'app', 'arm'] as const;
const NEW = '1.1.0';
const BOOTS_MAX = 3;

/** Jobs of one set of so many components. */
function jobsOf(count: number): Job[] {
  const names = NAMES.slice(0, count);
  const rollouts = names.map((name) =>
    makeRollout(world, { version: NEW, name }, { id: `r-${name}` }),
  );
  const jobs = rollouts.map((rollout, at) => {
    const facts = factsOf(world, { component: names[at] as string });
    const { verdict } = decideOffer(announce(world, [rollout]), facts);
    if (verdict.kind !== 'take') throw new Error('the world is broken');
    return verdict.job;
  });
  const members = jobs.map((job, at) => ({
    rollout: job.rollout as RolloutSet['members'][number]['rollout'],
    component: names[at] as string,
    version: job.version,
    payload_sha256: job.payloadSha256,
  }));
  const set = { id: 's1' as RolloutSet['id'], members };
  return jobs.map((job) => ({ ...job, set }));
}

const problem = (code: ErrorCode): Problem => ({
  code,
  message: 'because',
  hint: CATALOGUE[code].hint,
});

const JOBS: ReadonlyMap<number, readonly Job[]> = new Map(
  [2, 3].map((size) => [size, jobsOf(size)]),
);

/** Components of one robot: the machine and the links, without a disk. */
class ModelRobot {
  readonly jobs: readonly Job[];
  readonly old: string | null;
  states: MachineState[];
  active: (string | null)[];

  constructor(count: number, old: string | null) {
    this.jobs = JOBS.get(count) ?? [];
    this.old = old;
    this.states = this.jobs.map(() => freshState());
    this.active = this.jobs.map(() => old);
  }

  get views(): MemberViews {
    return new Map(
      this.states.map((state, at) => {
        const active = this.active[at] ?? null;
        const rollback = active === NEW ? this.old : null;
        return [NAMES[at] as string, memberViewOf(state, { active, rollback })];
      }),
    );
  }

  take(at: number, event: MachineEvent): void {
    const before = this.states[at] as MachineState;
    if (!accepts(before.phase, event.kind)) return;
    const { state } = step(before, event, NOW);
    if (event.kind === 'ready') this.#assertMaySwitch(at);
    if (event.kind === 'swapped') this.active[at] = NEW;
    if (event.kind === 'rolled_back') this.active[at] = this.old;
    this.states[at] = state;
  }

  #assertMaySwitch(at: number): void {
    const others = [...this.views].filter(([name]) => name !== NAMES[at]);
    for (const [name, view] of others) {
      const member = this.jobs[0]?.set?.members.find((one) => one.component === name);
      assert.ok(member && view);
      assert.ok(!['missing', 'unknown', 'pending', 'failed'].includes(stepOf(member, view)));
    }
  }

  /** As decide.ts does: nothing begins while one of them is blocked, or is in the middle. */
  offer(at: number): void {
    const job = this.jobs[at] as Job;
    const isBlocked = this.states.some((state, nth) => {
      const { version, payloadSha256, rollout } = this.jobs[nth] as Job;
      return blockAgainst(blockedOf(state), { version, payloadSha256, rollout });
    });
    const runs = this.active[at] === NEW;
    if (isBlocked || runs || isHeldBySet(NAMES[at] as string, this.views)) return;
    if (this.states[at]?.phase === 'idle') this.take(at, { kind: 'offered', job });
  }

  follow(at: number): void {
    const event = setBackEvent(NAMES[at] as string, this.views);
    if (event) this.take(at, event);
  }

  /** The effect of the phase ends, well or not. @returns false when it waits for the others */
  advance(at: number, isGood: boolean, code: ErrorCode = 'HEALTH_FAILED'): boolean {
    const state = this.states[at] as MachineState;
    const mayGo = stateOfSet(NAMES[at] as string, this.views)?.verdict === 'go';
    const bad = { problem: problem(code) };
    switch (state.phase) {
      case 'idle':
      case 'stuck':
        return false;
      case 'checking':
        this.take(at, isGood ? { kind: 'fits' } : { kind: 'refused', ...bad });
        return true;
      case 'downloading':
        this.take(at, isGood ? { kind: 'downloaded' } : { kind: 'refused', ...bad });
        return true;
      case 'verifying':
        this.take(at, isGood ? { kind: 'intact' } : { kind: 'refused', ...bad });
        return true;
      case 'staging':
        this.take(at, isGood ? { kind: 'staged' } : { kind: 'refused', ...bad });
        return true;
      case 'waiting':
        if (!isGood) this.take(at, { kind: 'refused', ...bad });
        else if (mayGo) this.take(at, { kind: 'ready', previousVersion: this.old });
        return !isGood || mayGo;
      case 'swapping':
        this.take(at, isGood ? { kind: 'swapped' } : { kind: 'swap_failed', ...bad });
        return true;
      case 'probation': {
        if (!isGood) {
          this.take(at, { kind: 'unhealthy', ...bad });
          return true;
        }
        const health = state.job?.health;
        if (health === 'unasked' || (health === 'well' && mayGo)) this.take(at, { kind: 'well' });
        else if (health === 'sure' && mayGo) this.take(at, { kind: 'healthy' });
        else return false;
        return true;
      }
      case 'rolling_back':
        this.take(at, isGood ? { kind: 'rolled_back' } : rollbackFailure(state, bad.problem));
        return true;
      default:
        return false;
    }
  }

  /** `recover` sees each root alone, and finishes what was under way; then the agent starts. */
  cutPower(): void {
    for (const by of ['recover', 'agent'] as const) {
      for (const at of this.states.keys()) {
        this.take(at, powerEvent(this.states[at] as MachineState, by, { bootsMax: BOOTS_MAX }));
        if (by === 'agent') continue;
        this.take(at, { kind: 'swapped' });
        this.take(at, { kind: 'rolled_back' });
      }
    }
  }

  stageAll(): void {
    for (const at of this.states.keys()) this.offer(at);
    for (const at of this.states.keys()) {
      for (let nth = 0; nth < 4; nth += 1) this.advance(at, true);
      assert.equal(this.states[at]?.phase, 'waiting');
    }
  }

  /** From here on everything works. */
  settle(): void {
    for (let round = 0; round < 200; round += 1) {
      let isQuiet = true;
      for (const at of this.states.keys()) {
        const before = this.states[at];
        this.follow(at);
        this.offer(at);
        if (this.advance(at, true)) isQuiet = false;
        if (this.states[at] !== before) isQuiet = false;
      }
      if (isQuiet) return;
    }
    assert.fail(`no rest: ${this.describe()}`);
  }

  describe(): string {
    return this.states.map((one, at) => `${one.phase} ${this.active[at]}`).join(', ');
  }
}

const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('advance' as const), at: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('follow' as const), at: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('offer' as const), at: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cut' as const), at: fc.nat(2) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('fail' as const),
      at: fc.nat(2),
      code: fc.constantFrom<ErrorCode>('HEALTH_FAILED', 'SWAP_FAILED', 'DISK_FULL'),
    }),
  },
);

const actionList = fc.array(action, { maxLength: 60 });

describe('a robot that takes a set', () => {
  it('runs all of it or none of it in the end, whatever fails and whenever the power is cut', () => {
    const count = fc.constantFrom(2, 3);
    const old = fc.constantFrom('1.0.0', null);
    const isStaged = fc.boolean();
    const ends = new Set<string>();
    fc.assert(
      fc.property(count, old, isStaged, actionList, (size, before, startsStaged, actions) => {
        const robot = new ModelRobot(size, before);
        if (startsStaged) robot.stageAll();
        for (const one of actions) {
          const at = one.at % size;
          if (one.do === 'advance') robot.advance(at, true);
          else if (one.do === 'follow') robot.follow(at);
          else if (one.do === 'offer') robot.offer(at);
          else if (one.do === 'cut') robot.cutPower();
          else if (robot.states[at]?.phase !== 'rolling_back') robot.advance(at, false, one.code);
        }
        robot.settle();
        const run = new Set(robot.active);
        assert.equal(run.size, 1, robot.describe());
        for (const { phase } of robot.states) assert.equal(phase, 'idle');
        ends.add(String(robot.active[0]));
      }),
      { numRuns: 1000 },
    );
    assert.ok(ends.has(NEW) && ends.has('1.0.0') && ends.has('null'), [...ends].join());
  });

  it('counts no boot of a component that was healthy, however long the others take', () => {
    const robot = new ModelRobot(2, '1.0.0');
    for (const at of [0, 1]) robot.offer(at);
    for (let nth = 0; nth < 4; nth += 1) for (const at of [0, 1]) robot.advance(at, true);
    robot.advance(0, true);
    robot.advance(0, true);
    for (let boots = 0; boots < 3 * BOOTS_MAX; boots += 1) {
      robot.cutPower();
      assert.equal(robot.states[0]?.phase, 'probation');
      robot.advance(0, true);
    }
    robot.settle();
    assert.deepEqual(robot.active, [NEW, NEW]);
  });

  it('goes back from what was confirmed when another did not survive its boots', () => {
    const robot = new ModelRobot(2, '1.0.0');
    for (const at of [0, 1]) robot.offer(at);
    while (robot.states[0]?.installed === null) {
      for (const at of [1, 0]) if (robot.states[0]?.installed === null) robot.advance(at, true);
    }
    assert.equal(robot.states[1]?.job?.health, 'sure');
    for (let boots = 0; boots <= BOOTS_MAX; boots += 1) robot.cutPower();
    robot.settle();
    assert.deepEqual(robot.active, ['1.0.0', '1.0.0']);
    assert.equal(robot.states[0]?.lastUpdate?.code, 'SET_FAILED');
    assert.equal(robot.states[1]?.lastUpdate?.code, 'BOOT_LIMIT_REACHED');
    const hints = robot.states.map((state) => state.lastProblem?.hint ?? '');
    assert.match(hints[0] ?? '', new RegExp(`unblock ${NEW} --component app$`));
  });
});
