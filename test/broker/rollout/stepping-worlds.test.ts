/**
 * Random fleets with a stepping stone and the next version announced alongside, against a real
 * controller. Robots decide by the rules of real ones, go on at once, go away, fail, and are
 * forgotten. A wave that nobody let pass never includes more robots than announced.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RobotId } from '../../../shared/base/ids.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import type { Progress } from '../../../shared/formats/progress.ts';
import { cohortFraction } from '../../../shared/rules/rollout-rules.ts';
import { compareVersions } from '../../../shared/base/version.ts';
import { MemoryStore } from '../../sim/memory-store.ts';
import { Random } from '../../sim/random.ts';
import { ControllerWorld } from '../controller-world.ts';

const WORLDS = 5;
const LOOKS = 90;
const SOAK_S = 5;

interface Stint {
  readonly stint: number;
  readonly version: string;
  readonly rollout: string | null;
  readonly run_s: number;
}

type Told = Readonly<Record<'stone' | 'final', Progress | null>>;

/** One robot, whose only wish is the highest version that it may take. */
class Eager {
  readonly id: RobotId;
  /** In the order of the waves of each: they need not be alike. */
  readonly fractions: Readonly<Record<'stone' | 'final', number>>;
  isOn = true;
  #version = '1.0.0';
  readonly #blocked: string[] = [];
  #stints: Stint[] = [{ stint: 1, version: '1.0.0', rollout: null, run_s: 9 }];
  #last: object = {};
  /** Rollouts that it ever took, well or badly. */
  readonly took = new Set<string>();
  readonly #tellsStints: boolean;

  constructor(at: number, random: Random) {
    this.id = `r${at}` as RobotId;
    const [stone, final] = ['test', 'other'].map((salt) => cohortFraction(salt, this.id));
    this.fractions = { stone: stone ?? 1, final: final ?? 1 };
    this.#tellsStints = random.chance(0.7);
  }

  step(told: Told, nowMs: number, random: Random): void {
    for (const [id, version, minimum] of [
      ['final', '3.0.0', '2.0.0'],
      ['stone', '2.0.0', '1.0.0'],
    ] as const) {
      const { threshold = 0, recall = false, status = 'paused' } = told[id] ?? {};
      const isTurn = this.fractions[id] < threshold && !recall;
      const isOpen = status === 'rolling' || status === 'complete';
      const isHigher = compareVersions(version, this.#version) > 0;
      const canTake = isHigher && compareVersions(this.#version, minimum) >= 0;
      if (!isTurn || !isOpen || !canTake || this.#blocked.includes(version)) continue;
      if (random.chance(0.3)) return;
      this.#take(id, version, random.chance(0.02), nowMs);
      return;
    }
  }

  #take(rollout: string, version: string, fails: boolean, nowMs: number): void {
    this.took.add(rollout);
    const at = new Date(nowMs).toISOString();
    const end = { rollout, version, started_at: at, ended_at: at, took_s: 1, bytes: 1 };
    const failure = { outcome: 'rolled_back', code: 'HEALTH_FAILED' };
    this.#last = { ...end, ...(fails ? failure : { outcome: 'installed' }) };
    if (fails) return void this.#blocked.push(version);
    const stint = { stint: this.#stints.length + 1, version, rollout, run_s: 1 };
    this.#stints = [stint, ...this.#stints];
    this.#version = version;
  }

  tell(world: ControllerWorld): void {
    world.say(this.id, {
      version: this.#version,
      blocked: this.#blocked,
      ...(this.took.size > 0 && { last_update: this.#last as never }),
      usage: this.#tellsStints ? this.#stints.slice(0, LIMITS.usageStintsMax) : [],
    });
  }
}

async function playWorld(seed: number): Promise<string[]> {
  const random = new Random(seed);
  const world = new ControllerWorld();
  const store = new MemoryStore();
  const isCalm = random.chance(0.5);
  const minCanaries = random.between(1, 2);
  const shares = random.pick([
    [10, 100],
    [1, 10, 50, 100],
    [25, 100],
  ]);
  const waves = shares.map((percent) => ({ percent, soak_s: SOAK_S }));
  const more = { waves, min_canaries: minCanaries, gates: { batch_s: 1, evidence_wait_s: SOAK_S } };
  const stone = await world.rollout('stone', '2.0.0', more);
  const manifest = { min_current_version: '2.0.0' };
  const bundle = await world.fleet.makeBundle({ version: '3.0.0', manifest });
  const final = world.fleet.makeRollout('final', bundle, { ...more, salt: 'other' });
  const robots = Array.from({ length: random.between(3, 25) }, (_, at) => new Eager(at, random));
  for (const robot of robots) world.online(robot.id);
  for (const robot of robots) robot.tell(world);
  await world.announce(stone);
  const controller = await world.start(store);
  const finalAt = random.between(1, 20);
  for (let at = 0; at < LOOKS; at += 1) {
    if (at === finalAt) await world.announce(stone, final);
    const told: Told = { stone: world.progress('stone'), final: world.progress('final') };
    for (const robot of robots) {
      if (!isCalm && random.chance(0.03)) {
        robot.isOn = !robot.isOn;
        world.online(robot.id, robot.isOn);
      }
      if (!robot.isOn) continue;
      robot.step(told, world.nowMs, random);
      if (random.chance(0.8)) robot.tell(world);
    }
    // A robot that is put out of service has taken what it has taken.
    if (!isCalm && random.chance(0.02)) world.robots.forget(random.pick(robots).id);
    await world.pass(controller, 1);
    const broken = (['stone', 'final'] as const).flatMap((id) => {
      const takers = robots.filter(({ took }) => took.has(id));
      const taken = takers.map(({ fractions }) => fractions[id]);
      return judge(id, store, { taken, shares, most: minCanaries, isCalm });
    });
    if (broken.length > 0) return broken;
  }
  return [];
}

/** Checks a rollout by its history and by the actions of robots so far. */
function judge(
  id: string,
  store: MemoryStore,
  {
    taken,
    shares,
    most,
    isCalm,
  }: { taken: number[]; shares: number[]; most: number; isCalm: boolean },
): string[] {
  const broken: string[] = [];
  const log = store.entries(id);
  let open = 0;
  let passed = 0;
  for (const { kind, wave, threshold, at } of log) {
    if (kind === 'passed') passed = wave;
    if (kind === 'opened' && wave > passed + 1) broken.push(`${id}: wave ${wave} without a gate`);
    if (kind === 'raised' && isCalm) broken.push(`${id}: raised at ${at}`);
    if (threshold < open) broken.push(`${id}: the open share falls`);
    open = threshold;
  }
  const last = log.findLast(({ kind }) => kind === 'opened');
  if (!last || log.some(({ kind }) => kind === 'completed' || kind === 'no_effect')) return broken;
  // The last wave that is open: beyond its share and what was open before, only its canaries.
  const before = log.filter(({ kind, wave }) => kind === 'passed' && wave < last.wave).at(-1);
  const floor = Math.max((shares[last.wave - 1] ?? 0) / 100, before?.threshold ?? 0);
  const beyond = taken.filter((one) => one >= floor).length;
  const allowed = isCalm ? most : most * LIMITS.canaryReach;
  if (beyond > allowed) broken.push(`${id}: ${beyond} robots beyond wave ${last.wave}`);
  return broken;
}

test('no fleet gets further than its waves and gates allow', async () => {
  for (let seed = 1; seed <= WORLDS; seed += 1) {
    assert.deepEqual(await playWorld(seed), [], `seed ${seed}`);
  }
});
