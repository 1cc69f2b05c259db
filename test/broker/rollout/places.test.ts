/**
 * The places of a budget over generated histories: robots that ask, become busy, swap, die, lose
 * their link and come back, and controllers that take over with nothing but retained messages. The
 * real rules of controller and robot run; only the carrier and the clocks are the test's.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  isApart,
  placeRobotOf,
  stepPlaces,
  takenIn,
  type Place,
  type PlaceFacts,
  type PlaceRobot,
} from '../../../broker/rollout/places.ts';
import { placeOfRobot, showPlaces } from '../../../broker/rollout/place-view.ts';
import type { RobotId } from '../../../shared/base/ids.ts';
import { budgetSchema } from '../../../shared/formats/announcement.ts';
import type { Progress } from '../../../shared/formats/progress.ts';
import {
  answerTo,
  graceMs,
  mayUse,
  placesOf,
  stuckWait,
  type Budget,
} from '../../../shared/rules/budget.ts';
import { Random } from '../../sim/random.ts';
import { makeState } from '../reports.ts';

const OWNER = 'x';
const START = Date.parse('2026-06-01T00:00:00Z');
const STEP_MS = 1_000;
const HISTORIES = Number(process.env['DROVER_TEST_HISTORIES'] ?? 60);
/** The longest delay of a report from a robot that is on: less than any grace. */
const LATE_MS = 2_000;

/** Parsed once: a history has thousands of reports. */
const IDLE = makeState('r');
const APP = IDLE.components[0] ?? assert.fail();

interface Robot {
  readonly id: RobotId;
  readonly tags: readonly string[];
  /** Its clock minus the right one: it may be wrong by less than the grace. */
  offMs: number;
  online: boolean;
  askedAtMs: number | null;
  isOut: boolean;
  /** The place that it may use, by its two clocks. */
  held: { untilMs: number; untilMonoMs: number } | null;
  isDone: boolean;
  /** It lost its power while it was out of service, for ever. */
  isDead: boolean;
  /** It has a place and does not begin before that. */
  slowUntilMs: number;
  /** It reports, and no message reaches it. */
  deafUntilMs: number;
  lastAskedMs: number;
}

/** The messages that a broker retains, and the robots that an observer on the floor sees. */
class Floor {
  readonly random: Random;
  readonly budget: Budget;
  readonly robots: Robot[];
  nowMs = START;
  /** Retained state of each robot, and when it came. */
  readonly reports = new Map<RobotId, { robot: PlaceRobot; atMs: number }>();
  /** The retained progress. */
  told: { places: readonly Place[]; issuedMs: number } = { places: [], issuedMs: START };
  /** Places of the controller that leads; another one begins from the retained progress. */
  places: readonly Place[] = [];
  watchedSinceMs = START;
  readonly broken: string[] = [];
  readonly lastOnlineMs = new Map<RobotId, number>();
  readonly wasApart = new Set<RobotId>();

  constructor(seed: number) {
    this.random = new Random(seed);
    const { random } = this;
    const per = random.pick(['fleet', 'tag:hall', 'tag:zone']);
    const [at_most, lease_s] = [random.between(1, 3), random.between(12, 40)];
    this.budget = budgetSchema.parse({ at_most, per, lease_s });
    const tags = [['hall=A'], ['hall=B'], ['hall:B', 'hall=A'], []];
    this.robots = Array.from({ length: random.between(2, 12) }, (_, at) => ({
      ...{ id: `r${at}` as RobotId, tags: random.pick(tags), online: true, askedAtMs: null },
      ...{
        isOut: false,
        held: null,
        isDone: false,
        isDead: false,
        lastAskedMs: 0,
        slowUntilMs: 0,
        deafUntilMs: 0,
      },
      offMs: random.between(0, 2) * 300 - 300,
    }));
  }

  /** One second in which anything may happen. */
  step(hasFaults: boolean): void {
    this.nowMs += STEP_MS;
    const { random } = this;
    for (const robot of this.robots) this.#live(robot, hasFaults);
    if (hasFaults && random.chance(0.05)) this.#takeOver();
    if (!hasFaults || random.chance(0.7)) this.#look();
    this.#judge();
  }

  #live(robot: Robot, hasFaults: boolean): void {
    const { random } = this;
    if (robot.isOut && hasFaults && random.chance(0.02)) robot.isDead = true;
    if (robot.isDead) return void (robot.online = false);
    if (hasFaults && random.chance(robot.online ? 0.04 : 0.15)) robot.online = !robot.online;
    if (!hasFaults) robot.online = true;
    if (hasFaults && random.chance(0.02)) [robot.askedAtMs, robot.held] = [null, null]; // restarts
    const now = this.nowMs + robot.offMs;
    const spanMs = random.between(1, 2 * this.budget.lease_s) * 1000;
    if (hasFaults && random.chance(0.06)) robot.deafUntilMs = this.nowMs + spanMs;
    if (robot.online && this.nowMs >= robot.deafUntilMs) this.#hear(robot, now);
    if (robot.isOut) {
      if (random.chance(0.2)) [robot.isOut, robot.isDone] = [false, true];
    } else if (!robot.isDone) this.#go(robot, now, hasFaults);
    // A report that is not acknowledged is sent again: it is late, and not lost.
    const isLate = this.nowMs - (this.reports.get(robot.id)?.atMs ?? 0) >= LATE_MS;
    if (robot.online && (isLate || random.chance(0.7))) this.#report(robot, now);
  }

  /** As `PlaceSeat` does. */
  #hear(robot: Robot, now: number): void {
    const { id, askedAtMs } = robot;
    if (askedAtMs === null) return;
    const places = this.told.places.map((one) => ({
      ...{ robot: one.robot, asked_at: one.askedAtMs, until: one.untilMs },
    }));
    const progress = { places, issued_at: this.told.issuedMs, expires_at: Infinity, recall: false };
    const answer = answerTo({ robot: id, askedAtMs }, progress as unknown as Progress, now);
    if (answer.kind === 'late') [robot.askedAtMs, robot.held] = [null, null];
    else if (answer.kind === 'none') robot.held = null;
    else robot.held ??= { untilMs: answer.untilMs, untilMonoMs: this.nowMs + answer.leftMs };
  }

  #go(robot: Robot, now: number, hasFaults: boolean): void {
    const { random } = this;
    if (robot.held && hasFaults && random.chance(0.3)) {
      robot.slowUntilMs = this.nowMs + random.between(1, 2 * this.budget.lease_s) * 1000;
    }
    if (this.nowMs < robot.slowUntilMs) return;
    if (robot.held && mayUse(robot.held, { now, mono: this.nowMs })) {
      const isBusy = hasFaults && random.chance(0.2);
      [robot.askedAtMs, robot.held, robot.isOut] = [null, null, !isBusy];
    } else if (robot.held) [robot.askedAtMs, robot.held] = [null, null];
    else if (robot.askedAtMs === null && (!hasFaults || random.chance(0.3))) {
      robot.askedAtMs = Math.max(now, robot.lastAskedMs) + 1;
      robot.lastAskedMs = robot.askedAtMs;
    }
  }

  #report(robot: Robot, now: number): void {
    const phase = robot.isOut ? 'swapping' : robot.askedAtMs === null ? 'idle' : 'waiting';
    const asked = robot.askedAtMs === null ? {} : { place_asked_at: robot.askedAtMs };
    const component = { ...APP, phase, rollout: robot.isDone ? null : OWNER, ...asked } as const;
    const state = { ...IDLE, robot_id: robot.id, at: now, tags: [...robot.tags] };
    const record = { robot: robot.id, online: true, via: null, lastSeenMs: this.nowMs };
    const read = placeRobotOf(
      { ...record, state: { ...state, components: [component] } },
      () => OWNER,
      this.watchedSinceMs,
    );
    if (read) this.reports.set(robot.id, { robot: read, atMs: this.nowMs });
  }

  get isSettled(): boolean {
    return this.robots.every(({ isDone, isDead }) => isDone || isDead);
  }

  facts(): PlaceFacts {
    const robots = new Map<RobotId, PlaceRobot>();
    for (const [id, { robot, atMs }] of this.reports) {
      // Its presence message counts as well: the robot was alive when it left.
      const heardMs = Math.max(atMs, this.lastOnlineMs.get(id) ?? START);
      const online = this.robots.some((one) => one.id === id && one.online);
      robots.set(id, { ...robot, online, seenMs: Math.max(heardMs, this.watchedSinceMs) });
    }
    const { budget, nowMs: now } = this;
    return { owner: OWNER, budget, robots, others: [], mayGrant: true, now };
  }

  /** Another controller: it has the retained messages, and no memory. */
  #takeOver(): void {
    this.places = this.told.places;
    this.watchedSinceMs = this.nowMs;
  }

  #look(): void {
    const facts = this.facts();
    const { places, granted } = stepPlaces(this.places, facts);
    this.places = places;
    if (granted.length > 0) this.told = { places, issuedMs: this.nowMs };
    this.#judgeGrants(facts, granted);
  }

  /** After each look: nobody waits in a place that has room. */
  #judgeGrants(facts: PlaceFacts, granted: readonly RobotId[]): void {
    const used = takenIn(this.places, facts);
    for (const [name, robots] of used) {
      const isNew = granted.some((id) => robots.has(id));
      if (isNew && robots.size > this.budget.at_most) {
        this.broken.push(`${name}: granted to ${[...robots].join(', ')}`);
      }
    }
    for (const one of facts.robots.values()) {
      const waits = one.online && one.asks.has(OWNER) && !one.isOut;
      const asked = one.asks.get(OWNER);
      const isAnswered = this.places.some(
        ({ robot, askedAtMs }) => robot === one.robot && askedAtMs === asked,
      );
      if (!waits || isAnswered) continue;
      const names = placesOf(this.budget, one.tags);
      const isFull = names.some((name) => (used.get(name)?.size ?? 0) >= this.budget.at_most);
      if (!isFull) this.broken.push(`${one.robot} waits for ${names.join()}, which has room`);
    }
  }

  /** On the floor: those who were not away for long are never more than the budget. */
  #judge(): void {
    for (const { id, online } of this.robots) if (online) this.lastOnlineMs.set(id, this.nowMs);
    const leaseMs = this.budget.lease_s * 1000;
    const isHere = ({ id }: Robot): boolean =>
      !this.wasApart.has(id) && this.nowMs - (this.lastOnlineMs.get(id) ?? START) < leaseMs;
    for (const one of this.robots) {
      const away = this.nowMs - (this.lastOnlineMs.get(one.id) ?? START);
      // Counted apart once, it is out of service beside others until it has ended.
      if (one.isOut && away >= leaseMs) this.wasApart.add(one.id);
      if (!one.isOut) this.wasApart.delete(one.id);
    }
    const out = this.robots.filter((one) => one.isOut && isHere(one));
    const names = new Set(out.flatMap(({ tags }) => placesOf(this.budget, tags)));
    for (const name of names) {
      const here = out.filter(({ tags }) => placesOf(this.budget, tags).includes(name));
      if (here.length <= this.budget.at_most) continue;
      this.broken.push(`out of service in ${name}: ${here.map(({ id }) => id).join(', ')}`);
    }
  }
}

describe('the places of a budget [P-6.11]', () => {
  it('hold the budget and let robots that wait go on, in histories with faults', () => {
    let dead = 0;
    for (let seed = 1; seed <= HISTORIES; seed += 1) {
      const floor = new Floor(seed);
      for (let step = 0; step < 120; step += 1) floor.step(true);
      for (let step = 0; step < 600 && !floor.isSettled; step += 1) floor.step(false);
      assert.deepEqual(floor.broken, [], `seed ${seed}`);
      assert.ok(floor.isSettled, `seed ${seed}: without faults all robots get their turn`);
      dead += floor.robots.filter(({ isDead }) => isDead).length;
    }
    assert.ok(dead > HISTORIES / 4, `${dead} robots died while they had a place`);
  });
});

const robot = (id: string, more: Partial<PlaceRobot> = {}): PlaceRobot => ({
  ...{ robot: id as RobotId, tags: ['hall=A'], online: true, seenMs: START, reportedMs: START },
  ...{ asks: new Map(), isOut: false, ...more },
});
const asks = (at: number): Pick<PlaceRobot, 'asks' | 'reportedMs'> => ({
  asks: new Map([[OWNER, START + at]]),
  reportedMs: START + at,
});

function facts(robots: readonly PlaceRobot[], more: Partial<PlaceFacts> = {}): PlaceFacts {
  const budget = budgetSchema.parse({ at_most: 1, per: 'tag:hall', lease_s: 100 });
  const byId = new Map(robots.map((one) => [one.robot, one]));
  const now = START + 10_000;
  return { owner: OWNER, budget, robots: byId, others: [], mayGrant: true, now, ...more };
}

describe('a place', () => {
  const place: Place = {
    robot: 'a' as RobotId,
    askedAtMs: START + 1,
    untilMs: START + 100_000,
  };

  it('goes to the robot that asked first, and to one of each place', () => {
    const b = robot('b', { tags: ['hall=B'], ...asks(9) });
    const found = stepPlaces([], facts([robot('a', asks(2)), robot('c', asks(1)), b]));
    assert.deepEqual(found.granted, ['c', 'b']);
  });

  it('is not granted beside a robot that another rollout took out of service, or gave a place', () => {
    const waits = robot('a', asks(1));
    assert.deepEqual(stepPlaces([], facts([waits, robot('b', { isOut: true })])).granted, []);
    const others = ['b' as RobotId];
    assert.deepEqual(stepPlaces([], facts([waits, robot('b')], { others })).granted, []);
    const unknown = ['gone' as RobotId];
    assert.deepEqual(stepPlaces([], facts([waits], { others: unknown })).granted, []);
  });

  it('is shown with the stuck robot that has it, while others wait', () => {
    const stuck = robot('a', { isOut: true, isStuck: true });
    const shown = showPlaces([], facts([stuck, robot('b', asks(1))]));
    const { code, words } = placeOfRobot(shown, 'b' as RobotId) ?? {};
    assert.equal(code, 'PLACE_AWAITED');
    assert.equal(words, 'waits for a place in hall=A (1 of 1 taken: a, stuck)');
    const told = 'hall=A is taken by stuck robots: a; a person has to repair them';
    assert.equal(stuckWait(shown.places), told);
    assert.equal(stuckWait(showPlaces([], facts([stuck])).places), null, 'no robot waits');
    const beside = facts([stuck, robot('b', asks(1))]);
    const two: PlaceFacts = { ...beside, budget: { ...beside.budget, at_most: 2 } };
    assert.equal(stuckWait(showPlaces([], two).places), null, 'there is room');
    const none = robot('b', { tags: [], ...asks(1) });
    const away = showPlaces([], facts([none, robot('c', { tags: [], isOut: true })]));
    const group = 'waits for a place in the group without a hall (1 of 1 taken: c)';
    assert.equal(placeOfRobot(away, none.robot)?.words, group);
  });

  it('ends with the report that its robot does not ask any more, not with an older one', () => {
    const kept = facts([robot('a', { reportedMs: START })]);
    assert.deepEqual(stepPlaces([place], kept).places, [place]);
    const over = facts([robot('a', { reportedMs: START + 2 })]);
    assert.deepEqual(stepPlaces([place], over).freed, ['a']);
  });

  it('that is not used ends with its lease and a quarter of it', () => {
    const robots = [robot('a', asks(1)), robot('b', asks(2))];
    const at = (now: number) => stepPlaces([place], facts(robots, { now }));
    const { budget } = facts([]);
    assert.deepEqual(at(place.untilMs + graceMs(budget) - 1).granted, []);
    const over = at(place.untilMs + graceMs(budget));
    assert.deepEqual(over.granted, ['b']);
    const anew = robot('a', asks(3));
    assert.deepEqual(
      stepPlaces(over.places, facts([anew], { now: Infinity })).granted,
      ['a'],
      'only another question gets another place',
    );
  });

  it('of a robot that went offline with it ends one lease later: the robot may have begun', () => {
    const seenMs = place.untilMs - 1_000;
    const gone = robot('a', { ...asks(1), online: false, seenMs });
    const at = (now: number) => stepPlaces([place], facts([gone], { now })).freed;
    assert.deepEqual(at(seenMs + 99_999), []);
    assert.deepEqual(at(seenMs + 100_000), ['a']);
  });

  it('is counted apart when its robot is out of service and away for longer than a lease', () => {
    const out = robot('a', { isOut: true, online: false });
    const waits = robot('b', asks(1));
    const { budget } = facts([]);
    const at = (now: number) => stepPlaces([], facts([out, waits], { now })).granted;
    assert.deepEqual(at(START + 99_999), []);
    assert.deepEqual(at(START + 100_000), ['b']);
    assert.ok(!isApart({ ...out, online: true }, budget, Infinity), 'one that is on is waited for');
  });

  it('is not granted while the rollout is not open', () => {
    const waits = facts([robot('a', asks(1))], { mayGrant: false });
    assert.deepEqual(stepPlaces([], waits).places, []);
  });
});
