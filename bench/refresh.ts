/**
 * `npm run bench -- scale robots [MAX]`: the CPU time that the controller takes for one pass over
 * 1, or 32, rollouts of 1,000 to 100,000 robots: at a quiet fleet, at 1,700 reports a second, and,
 * to compare, by the full computation. CPU time, because other programs take the wall time away.
 */

import { Fleet } from '../broker/control/fleet.ts';
import { Controller } from '../broker/rollout/controller.ts';
import { beginRun, plansOf, type RolloutPlan } from '../broker/rollout/record.ts';
import { reconcile } from '../broker/rollout/reconcile.ts';
import { openAnnouncement } from '../shared/formats/announcement.ts';
import type { RobotState } from '../shared/formats/messages.ts';
import { parseTopic } from '../shared/formats/topics.ts';
import type { RobotId } from '../shared/base/ids.ts';
import { LIMITS } from '../shared/base/limits.ts';
import { seedSigner } from '../shared/crypto/ed25519.ts';
import { makeLog } from '../shared/io/cli.ts';
import { makeFleet } from '../test/helpers/fleet.ts';
import { makeState } from '../test/broker/reports.ts';
import { MemoryStore } from '../test/sim/memory-store.ts';
import { appendResult } from './results.ts';

const ROBOTS = [1_000, 10_000, 100_000];
const REPORTS_PER_SECOND = 1_700;
const PASSES = 5;
const LEASE_PASSES = 10;
const START_MS = Date.parse('2026-06-01T00:00:00Z');

interface Shape {
  readonly name: string;
  readonly rollouts: number;
  /** Each rollout is for robots of a tag of its own; else all are for every robot. */
  readonly isApart: boolean;
  /** Above it this shape is left out: it has 32 records of each robot. */
  readonly robotsMax?: number;
}

const SHAPES: readonly Shape[] = [
  { name: '1', rollouts: 1, isApart: false },
  { name: '32, each for its part', rollouts: 32, isApart: true },
  { name: '32, each for all', rollouts: 32, isApart: false, robotsMax: 10_000 },
];

export async function benchRefresh(robotsMax = Infinity): Promise<void> {
  const rows: (string | number)[][] = [];
  for (const robots of ROBOTS.filter((one) => one <= robotsMax)) {
    for (const shape of SHAPES.filter(({ robotsMax: most = Infinity }) => robots <= most)) {
      const row = await new Bench(robots, shape).run();
      console.error(row.join(' | '));
      rows.push(row);
    }
  }
  await appendResult('Cost of a pass of the controller', 'npm run bench -- scale robots', {
    columns: [
      ...['robots', 'rollouts', 'in full, CPU ms', 'first pass, CPU ms', 'longest turn, ms'],
      ...['quiet, CPU ms', 'with reports, CPU ms', '% of a core', 'longest turn, ms', 'MiB'],
    ],
    rows,
  });
}

class Bench {
  readonly #shape: Shape;
  readonly #count: number;
  readonly #fleet = makeFleet();
  readonly #robots = new Fleet();
  #now = START_MS;
  #told = 0;

  constructor(robots: number, shape: Shape) {
    this.#count = robots;
    this.#shape = shape;
  }

  async run(): Promise<(string | number)[]> {
    for (let at = 0; at < this.#count; at += 1) this.#report(at);
    const payload = await this.#announce();
    const plans = plansOf(openAnnouncement(payload, this.#fleet.trust), this.#fleet.trust);
    const full = this.#inFull(plans);
    const controller = await this.#open();
    const topic = parseTopic('fleet/updates');
    if (!topic) throw new TypeError('the topic of announcements is one');
    for (let n = 0; n < LEASE_PASSES && !controller.isLeading; n += 1) await this.#pass(controller);
    if (!controller.isLeading) throw new TypeError('the controller does not lead');
    controller.hear(topic, payload);
    const pass = () => measure(() => this.#pass(controller));
    const first = await pass();
    await pass();
    const quiet = await median(pass);
    const busy = await median(() => {
      for (let n = 0; n < (REPORTS_PER_SECOND * LIMITS.reconcileIntervalMs) / 1000; n += 1) {
        this.#report(this.#told++ % this.#count);
      }
      return pass();
    });
    await controller.close();
    const share = (busy.cpuMs / LIMITS.reconcileIntervalMs) * 100;
    return [
      ...[this.#count, this.#shape.name, full.toFixed(0), first.cpuMs.toFixed(0)],
      ...[first.turnMs.toFixed(0), quiet.cpuMs.toFixed(1), busy.cpuMs.toFixed(1)],
      ...[share.toFixed(1), busy.turnMs.toFixed(0), mebibytes()],
    ];
  }

  async #pass(controller: Controller): Promise<void> {
    this.#now += LIMITS.reconcileIntervalMs;
    await controller.tick();
  }

  /** A robot reports, in some seconds more of work than it had. */
  #report(at: number): void {
    const robot = `robot-${String(at).padStart(7, '0')}`;
    const usage = [{ stint: 1, version: '1.0.0', run_s: 3_600 + this.#told }];
    const tags = [`line-${at % 32}`];
    const state: RobotState = makeState(robot, { usage }, { tags, counter_epoch: 'e1' });
    this.#robots.applyState(state, this.#now);
    if (!this.#robots.get(robot)?.online) {
      this.#robots.applyOnline(robot as RobotId, true, this.#now);
    }
  }

  async #announce(): Promise<Uint8Array> {
    const bundle = await this.#fleet.makeBundle({ version: '2.0.0' });
    const waves = [1, 10, 100].map((percent) => ({ percent, soak_s: 3_600 }));
    const rollouts = Array.from({ length: this.#shape.rollouts }, (_, at) =>
      this.#fleet.makeRollout(`r-${at}`, bundle, {
        ...{ waves, salt: `salt ${at}` },
        ...(this.#shape.isApart && { target: { tags: [`line-${at}`] } }),
      }),
    );
    return this.#fleet.announce(1, rollouts);
  }

  /** As before there was an index: CPU milliseconds for all rollouts. */
  #inFull(plans: readonly RolloutPlan[]): number {
    const known = new Map(plans.map((plan) => [plan.rollout.id as string, plan]));
    const marks = plans.map((plan) => {
      const facts = this.#factsOf(plan, known);
      return reconcile({ ...facts, marks: new Map() }).marks;
    });
    const before = process.cpuUsage();
    plans.forEach((plan, at) => {
      reconcile({ ...this.#factsOf(plan, known), marks: marks[at] ?? new Map() });
    });
    return cpuMsSince(before);
  }

  #factsOf(plan: RolloutPlan, plans: ReadonlyMap<string, RolloutPlan>) {
    const run = { ...beginRun(plan, this.#now), stage: 1, wave: 1, threshold: 0.01 };
    const robots = this.#robots.robots();
    return { plan, plans, run, robots, now: this.#now, watchedSinceMs: START_MS };
  }

  async #open(): Promise<Controller> {
    const controller: Controller = await Controller.open({
      self: 'bench',
      trust: this.#fleet.trust,
      signers: [seedSigner(this.#fleet.seeds.rollout)],
      fleet: this.#robots,
      store: new MemoryStore(),
      isAlone: true,
      times: { intervalMs: 2_000, startMs: 0, leaseMs: 600_000, settleMs: 0 },
      notify: null,
      log: makeLog('bench', 'silent'),
      now: () => this.#now,
      mono: () => this.#now,
      publish: (topic, bytes) => {
        const parsed = parseTopic(topic);
        if (parsed) controller.hear(parsed, bytes);
        return Promise.resolve();
      },
    });
    return controller;
  }
}

interface Cost {
  readonly cpuMs: number;
  /** CPU time of the longest turn of the event loop: so long no packet is read. */
  readonly turnMs: number;
}

async function measure(work: () => Promise<void>): Promise<Cost> {
  let [turnMs, isOver] = [0, false];
  let turn = process.cpuUsage();
  const next = (): void => {
    turnMs = Math.max(turnMs, cpuMsSince(turn));
    turn = process.cpuUsage();
    if (!isOver) setImmediate(next);
  };
  setImmediate(next);
  const before = process.cpuUsage();
  await work();
  const cpuMs = cpuMsSince(before);
  isOver = true;
  next();
  return { cpuMs, turnMs };
}

async function median(pass: () => Promise<Cost>): Promise<Cost> {
  const costs: Cost[] = [];
  for (let n = 0; n < PASSES; n += 1) costs.push(await pass());
  const middle = costs.toSorted((a, b) => a.cpuMs - b.cpuMs)[Math.floor(PASSES / 2)];
  return { cpuMs: middle?.cpuMs ?? 0, turnMs: Math.max(...costs.map((one) => one.turnMs)) };
}

function cpuMsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

const mebibytes = (): string => (process.memoryUsage().rss / 2 ** 20).toFixed(0);
