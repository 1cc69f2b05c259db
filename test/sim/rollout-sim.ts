/**
 * One rollout in virtual time over a faulty world: links that come and go, reports that are lost
 * and doubled, robots that die in an update, controllers that lose power between any two writes and
 * others that take over. The real controller runs with real signatures; a judge watches every
 * message to the robots. A seed plays the same world again.
 */

import { Controller } from '../../broker/rollout/controller.ts';
import { Fleet } from '../../broker/control/fleet.ts';
import type { RolloutCommand } from '../../broker/rollout/rollout-view.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { RolloutFields } from '../../shared/formats/announcement.ts';
import { makeLog } from '../../shared/io/cli.ts';
import type { RobotState } from '../../shared/formats/messages.ts';
import { openProgress, type Progress } from '../../shared/formats/progress.ts';
import { parseTopic, progressTopic } from '../../shared/formats/topics.ts';
import type { RolloutId } from '../../shared/base/ids.ts';
import { makeFleet, type TestFleet, type SignedBundle } from '../helpers/fleet.ts';
import { SimBudget } from './sim-place.ts';
import { SimPeople } from './sim-people.ts';
import { Judge } from './judge.ts';
import { MemoryStore, PowerCut } from './memory-store.ts';
import { Random } from './random.ts';
import { SimRobot, type SimRollout, type VersionTraits } from './sim-robot.ts';
import { seedSigner } from '../../shared/crypto/ed25519.ts';

const STEP_MS = 10_000;
const FAULT_STEPS = 500;
const QUIET_STEPS = 900;
/** With a budget: a report that is not acknowledged is sent again, so that it is only late. */
const AGAIN_STEPS = 2;
const ID = 'sim' as RolloutId;
const WAVES = [1, 10, 50, 100];
const VERSION = '1.1.0';
const TIMES = { intervalMs: STEP_MS, startMs: 20_000, leaseMs: 600_000, settleMs: 20_000 };

export interface SimResult {
  readonly seed: number;
  readonly robots: number;
  readonly isBad: boolean;
  readonly status: string;
  readonly powerCuts: number;
  readonly took: number;
  /** Broken invariants, as sentences. */
  readonly broken: readonly string[];
}

/** Made once: only robots and faults differ between seeds. */
export interface SimGround {
  readonly fleet: TestFleet;
  readonly bundle: SignedBundle;
}

export async function makeGround(): Promise<SimGround> {
  const fleet = makeFleet();
  return { fleet, bundle: await fleet.makeBundle({ version: VERSION }) };
}

export async function simulate(seed: number, ground: SimGround): Promise<SimResult> {
  const world = new World(seed, ground);
  await world.begin();
  for (let step = 0; step < FAULT_STEPS && !world.isOver; step += 1) await world.step(true);
  world.heal();
  for (let step = 0; step < QUIET_STEPS && !world.isSettled; step += 1) await world.step(false);
  return world.result();
}

interface Seat {
  readonly store: MemoryStore;
  controller: Controller | null;
  /** Steps until it is switched on again. */
  offFor: number;
  writesToCut: number;
}

class World {
  readonly #seed: number;
  readonly #ground: SimGround;
  readonly #random: Random;
  readonly #robots: SimRobot[];
  readonly #traits: VersionTraits;
  readonly #rollout: SimRollout;
  readonly #fields: RolloutFields;
  readonly #judge: Judge;
  readonly #seats: Seat[];
  readonly #retained = new Map<string, Uint8Array>();
  /**
   * The knowledge of each broker about the fleet: it outlives the controller, as the broker does.
   */
  readonly #fleets: Fleet[];
  readonly isBad: boolean;
  #nowMs = Date.parse('2026-06-01T00:00:00Z');
  #progress: Progress | null = null;
  #doubled: RobotState[] = [];
  #cuts = 0;
  /** Passes that the index and the full computation decided differently. */
  readonly #differences: string[] = [];
  #process = 0;
  #isCalm = false;
  /** Operators who say things at any moment, twice, and about the wrong wave. */
  readonly #isImpatient: boolean;
  #forced = 0;
  readonly #people: SimPeople;
  readonly #budget: SimBudget;
  /** Steps since each robot's last report: a report that is lost is sent again. */
  readonly #unheard = new Map<string, number>();

  constructor(seed: number, ground: SimGround) {
    this.#seed = seed;
    this.#ground = ground;
    this.#random = new Random(seed);
    const random = this.#random;
    const count = random.pick([1, 2, 3, 12, 25, 40]);
    this.#robots = Array.from({ length: count }, (_, at) => new SimRobot(`r${at}`, random));
    this.isBad = random.chance(0.4);
    this.#traits = this.isBad
      ? random.pick([
          { applyFailure: 1, crashPerTask: 0.005 },
          { applyFailure: 0, crashPerTask: 0.25 },
        ])
      : { applyFailure: 0, crashPerTask: 0.005 };
    const salt = `s${seed}`;
    const canaries = random.chance(0.3) ? [random.pick(this.#robots).id] : [];
    const soak_s = random.pick([0, 60, 300]);
    const gates = { vanish_s: 600, evidence_wait_s: 600 };
    const min_canaries = random.between(1, 3);
    const approve_after = random.chance(0.2) ? [1] : [];
    this.#people = new SimPeople(seed, { approve_after });
    this.#budget = new SimBudget(seed);
    for (const robot of this.#robots) robot.place = this.#budget.placeOf(robot.id);
    this.#fields = ground.fleet.makeRollout(ID, ground.bundle, {
      salt,
      late_spread_s: 120,
      waves: WAVES.map((percent) => ({ percent, soak_s })),
      min_canaries,
      canaries: { robots: canaries },
      gates,
      ...(this.#budget.budget && { budget: this.#budget.budget }),
      ...this.#people.rules,
    });
    const rules = {
      id: ID,
      salt,
      waves: WAVES.map((percent) => ({ percent, soak_s })),
      emergency: false,
      canaries: { robots: canaries, tags: [] },
      approve_after: [],
      late_spread_s: 120,
    };
    this.#rollout = { id: ID, version: VERSION, rules };
    this.#judge = new Judge(this.#rollout, this.#robots);
    this.#isImpatient = random.chance(0.5);
    this.#seats = [makeSeat(), makeSeat()];
    this.#fleets = [new Fleet(), new Fleet()];
  }

  async begin(): Promise<void> {
    const { fleet } = this.#ground;
    await this.#publish('fleet/updates', fleet.announce(1, [this.#fields]), null);
    for (const robot of this.#robots) this.#deliver(robot.report(this.#nowMs));
    await this.#switchOn(0);
    if (this.#random.chance(0.3)) await this.#switchOn(1);
  }

  get isOver(): boolean {
    return this.#progress?.status === 'halted' || this.#progress?.status === 'complete';
  }

  /** Over, and every healthy robot has done what that means for it. */
  get isSettled(): boolean {
    const { status, recall } = this.#progress ?? {};
    const alive = this.#robots.filter((one) => !one.isDead);
    // One that died in its update is waited for: it may still return and has to go back then.
    if (recall === true && (status === 'halted' || alive.length < this.#robots.length)) {
      return alive.every((one) => one.version !== VERSION);
    }
    const has = (one: SimRobot): boolean =>
      one.version === VERSION || one.blocked.includes(VERSION);
    return status === 'complete' && alive.every((one) => has(one));
  }

  /** No fault from here on. */
  heal(): void {
    this.#isCalm = true;
    for (const seat of this.#seats) seat.writesToCut = Infinity;
    for (const robot of this.#robots) this.#setOnline(robot, !robot.isDead);
  }

  async step(withFaults: boolean): Promise<void> {
    this.#nowMs += STEP_MS;
    if (withFaults) this.#breakThings();
    for (const robot of this.#robots) {
      robot.heard = robot.isOnline && this.#progress ? this.#progress : robot.heard;
      const before = robot.took.length;
      robot.step(this.#rollout, this.#traits, { nowMs: this.#nowMs, stepMs: STEP_MS });
      if (robot.took.length > before) this.#judge.onTake(robot);
    }
    const many = this.#budget.judge(this.#robots, this.#nowMs);
    if (many !== null) this.#judge.broken.push(many);
    this.#report(withFaults);
    for (const [at, seat] of this.#seats.entries()) await this.#turn(at, seat);
    if (this.#random.chance(0.3)) await this.#approve();
    if (this.#isImpatient) await this.#meddle();
  }

  #breakThings(): void {
    const random = this.#random;
    for (const robot of this.#robots) {
      if (random.chance(robot.isOnline ? 0.02 : 0.1)) this.#setOnline(robot, !robot.isOnline);
      // Never the last: somebody has to be there to converge.
      if (robot.isUpdating && this.#robots.length > 12 && random.chance(0.004)) {
        robot.isDead = true;
        this.#setOnline(robot, false);
      }
    }
  }

  #setOnline(robot: SimRobot, isOn: boolean): void {
    robot.isOnline = isOn && !robot.isDead;
    for (const fleet of this.#fleets) fleet.applyOnline(robot.id, robot.isOnline, this.#nowMs);
  }

  #report(withFaults: boolean): void {
    const random = this.#random;
    for (const robot of this.#robots) {
      if (!robot.isOnline || robot.isDead) continue;
      const unheard = (this.#unheard.get(robot.id) ?? 0) + 1;
      this.#unheard.set(robot.id, unheard);
      const isAgain = this.#budget.budget !== null && unheard > AGAIN_STEPS;
      if (!random.chance(0.5) && !isAgain) continue;
      const state = robot.report(this.#nowMs);
      if (withFaults && random.chance(0.2) && !isAgain) continue; // lost
      this.#unheard.delete(robot.id);
      this.#deliver(state);
      if (withFaults && random.chance(0.1)) this.#doubled.push(state);
    }
    for (const state of this.#doubled.splice(0)) this.#deliver(state);
  }

  #deliver(state: RobotState): void {
    for (const fleet of this.#fleets) fleet.applyState(state, this.#nowMs);
  }

  async #turn(at: number, seat: Seat): Promise<void> {
    if (!seat.controller) {
      seat.offFor -= 1;
      if (seat.offFor <= 0) await this.#switchOn(at);
      return;
    }
    try {
      await seat.controller.tick();
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
    }
    if (seat.writesToCut < 0) this.#switchOff(seat);
  }

  async #approve(): Promise<void> {
    for (const { controller } of this.#seats) {
      const view = controller?.view(ID);
      if (view?.waits_for !== 'approval' || !view.leading) continue;
      try {
        const { wave } = view;
        await controller?.command(ID, 'approve', { ...this.#people.next(wave), reason: '', wave });
      } catch (error) {
        if (!(error instanceof PowerCut) && !(error instanceof DroverError)) throw error;
      }
    }
  }

  /** Commands of impatient operators, to any controller, leading or not. */
  async #meddle(): Promise<void> {
    const random = this.#random;
    const { controller } = random.pick(this.#seats);
    if (!controller) return;
    const wave = random.between(0, WAVES.length);
    const open = controller.view(ID)?.wave ?? 1;
    const say = async (command: RolloutCommand, more: object = {}): Promise<void> => {
      try {
        await controller.command(ID, command, { who: 'sim', reason: 'now', ...more });
        if (command === 'force-open') this.#forced += 1;
      } catch (error) {
        if (!(error instanceof PowerCut) && !(error instanceof DroverError)) throw error;
      }
    };
    if (random.chance(0.2)) for (let n = 0; n < 3; n += 1) await say('approve');
    if (random.chance(0.2)) await say('approve', { wave });
    if (random.chance(0.05)) await say('pause');
    if (random.chance(0.1) || this.#isCalm) await say('resume');
    if (!this.#isCalm && random.chance(0.002)) await say('force-open', { wave: open });
    if (random.chance(0.02)) await say('force-open', { reason: '' });
  }

  #switchOff(seat: Seat): void {
    this.#cuts += 1;
    seat.controller = null;
    seat.writesToCut = Infinity;
    seat.offFor = this.#random.between(1, 120);
  }

  async #switchOn(at: number): Promise<void> {
    const seat = this.#seats[at];
    const registry = this.#fleets[at];
    if (!seat || !registry) return;
    const { fleet } = this.#ground;
    const random = this.#random;
    const cut = (): void => {
      seat.writesToCut -= 1;
      if (seat.writesToCut < 0) throw new PowerCut('the power is gone');
    };
    seat.store.onWrite = () => undefined;
    this.#process += 1;
    const controller = await Controller.open({
      self: `c${this.#process}`,
      trust: fleet.trust,
      signers: [seedSigner(fleet.seeds.rollout)],
      fleet: registry,
      store: seat.store,
      isAlone: this.#process === 1,
      times: TIMES,
      notify: null,
      log: makeLog('sim', 'silent'),
      onDifference: (text) => this.#differences.push(text),
      now: () => this.#nowMs,
      mono: () => this.#nowMs,
      publish: async (topic, payload) => {
        cut();
        await this.#publish(topic, payload, seat);
        cut();
      },
    });
    seat.controller = controller;
    seat.writesToCut = this.#isCalm ? Infinity : random.between(1, 60);
    seat.store.onWrite = cut;
    for (const [topic, payload] of this.#retained) this.#hear(controller, topic, payload);
  }

  /** @param by the seat of the controller that speaks; null for the publisher */
  #publish(topic: string, payload: Uint8Array, by: Seat | null): Promise<void> {
    this.#retained.set(topic, payload);
    if (topic === progressTopic(ID)) {
      const progress = openProgress(payload, this.#ground.fleet.trust);
      this.#judge.onTold(progress, by?.store.entries(ID) ?? []);
      const fault = this.#people.fault(progress);
      if (fault !== null) this.#judge.broken.push(fault);
      // A robot takes only what is newer than all that it has accepted.
      if (!this.#progress || progress.seq > this.#progress.seq) this.#progress = progress;
    }
    for (const { controller } of this.#seats)
      if (controller) this.#hear(controller, topic, payload);
    return Promise.resolve();
  }

  #hear(controller: Controller, topic: string, payload: Uint8Array): void {
    const parsed = parseTopic(topic);
    if (parsed) controller.hear(parsed, payload);
  }

  result(): SimResult {
    const status = this.#progress?.status ?? 'never told';
    const broken = [...this.#judge.broken];
    for (const text of this.#differences.slice(0, 3)) {
      broken.push(`the index decides as the full computation does: ${text}`);
    }
    if (!this.isSettled) {
      broken.push(`once faults stopped, every healthy robot converges (ended ${status})`);
    }
    const isOurFault = this.#forced > 0;
    if (this.isBad && status === 'complete' && this.#robots.length > 2 && !isOurFault) {
      broken.push('a version that is bad on every robot does not become complete');
    }
    return {
      seed: this.#seed,
      robots: this.#robots.length,
      isBad: this.isBad,
      status,
      powerCuts: this.#cuts,
      took: this.#robots.filter((one) => one.took.length > 0).length,
      broken,
    };
  }
}

function makeSeat(): Seat {
  return { store: new MemoryStore(), controller: null, offFor: Infinity, writesToCut: Infinity };
}
