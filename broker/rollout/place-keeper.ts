/**
 * Keeps, for the budgets of all announced rollouts, the robots that ask for a place or are out of
 * service, by the reports that change; and steps the places of one rollout. `places.ts` decides.
 */

import type { EpochMs, RobotId } from '../../shared/base/ids.ts';
import { placeOwner } from '../../shared/rules/budget.ts';
import type { Fleet } from '../control/fleet.ts';
import { showPlaces, type PlacesView } from './place-view.ts';
import {
  isBusy,
  placeRobotOf,
  stepPlaces,
  type Place,
  type PlaceFacts,
  type PlaceRobot,
} from './places.ts';
import type { Tracked } from './reconcile.ts';
import { isUnopened, type RolloutPlan, type RolloutRun } from './record.ts';
import type { RolloutStep } from './steps.ts';

export interface PlaceWorld {
  readonly plans: ReadonlyMap<string, RolloutPlan>;
  readonly tracked: ReadonlyMap<string, Pick<Tracked, 'run'>>;
  readonly watchedSinceMs: EpochMs;
  readonly now: EpochMs;
  /** False while robots have not reported yet, or refuse what this controller says. */
  readonly mayGrant: boolean;
}

export class PlaceKeeper {
  readonly #fleet: Pick<Fleet, 'get' | 'ids' | 'watch'>;
  readonly #unwatch: () => void;
  /** Robots that asked or were out of service when they reported last. */
  readonly #busy = new Set<RobotId>();
  readonly #changed = new Set<RobotId>();
  /** False while no rollout has a budget: it reads no reports then. */
  #isOn = false;

  constructor(fleet: Pick<Fleet, 'get' | 'ids' | 'watch'>) {
    this.#fleet = fleet;
    this.#unwatch = fleet.watch((robot) => {
      if (this.#isOn) this.#changed.add(robot);
    });
  }

  close(): void {
    this.#unwatch();
  }

  /** The rollouts that have places, one for each set. */
  owners({ plans }: Pick<PlaceWorld, 'plans'>): string[] {
    const all = [...plans.values()].flatMap(({ rollout }) =>
      rollout.budget && placeOwner(rollout) === rollout.id ? [rollout.id as string] : [],
    );
    if (all.length === 0) this.#forget();
    return all;
  }

  /** @returns null when no place changed */
  step(owner: string, world: PlaceWorld): RolloutStep | null {
    const facts = this.#factsOf(owner, world);
    const run = world.tracked.get(owner)?.run;
    if (!facts || !run) return null;
    const { places, granted, freed } = stepPlaces(run.places, facts);
    if (granted.length === 0 && freed.length === 0) return null;
    // A place that is over is not published for its own sake: no robot waits for that.
    return { run: { ...run, places: [...places] }, audit: [], isNews: granted.length > 0 };
  }

  /** The places of a rollout, or of its set, for people; null for one without a budget. */
  view(rollout: string, world: PlaceWorld): PlacesView | null {
    const owner = ownerIn(world, rollout);
    const facts = owner === null ? null : this.#factsOf(owner, world);
    if (owner === null || !facts) return null;
    return showPlaces(world.tracked.get(owner)?.run.places ?? [], facts);
  }

  #factsOf(owner: string, world: PlaceWorld): PlaceFacts | null {
    const { plans, tracked, now } = world;
    const budget = plans.get(owner)?.rollout.budget;
    const run = tracked.get(owner)?.run;
    if (!budget) return null;
    this.#catchUp();
    const held = (id: string): readonly Place[] => tracked.get(id)?.run.places ?? [];
    const others = [...plans.keys()].filter((id) => id !== owner).flatMap(held);
    const named = [...held(owner), ...others].map(({ robot }) => robot);
    const mayGrant = world.mayGrant && run !== undefined && isOpen(run);
    const robots = this.#robots(new Set([...this.#busy, ...named]), world);
    return { owner, budget, robots, others: others.map((one) => one.robot), mayGrant, now };
  }

  #robots(ids: ReadonlySet<RobotId>, world: PlaceWorld): Map<RobotId, PlaceRobot> {
    const robots = new Map<RobotId, PlaceRobot>();
    for (const id of ids) {
      const record = this.#fleet.get(id);
      const robot =
        record && placeRobotOf(record, (one) => ownerIn(world, one), world.watchedSinceMs);
      if (robot) robots.set(id, robot);
    }
    return robots;
  }

  /** A pass costs what has changed; all robots are read when the first budget is announced. */
  #catchUp(): void {
    if (!this.#isOn) for (const id of this.#fleet.ids()) this.#changed.add(id);
    this.#isOn = true;
    for (const id of this.#changed) {
      const record = this.#fleet.get(id);
      if (record && isBusy(record)) this.#busy.add(id);
      else this.#busy.delete(id);
    }
    this.#changed.clear();
  }

  #forget(): void {
    this.#isOn = false;
    this.#busy.clear();
    this.#changed.clear();
  }
}

/** The rollout that has the places of one; null for one without a budget. */
function ownerIn({ plans }: Pick<PlaceWorld, 'plans'>, rollout: string): string | null {
  const plan = plans.get(rollout);
  return plan?.rollout.budget ? placeOwner(plan.rollout) : null;
}

/** Robots join it: it is rolling, or complete and late robots come. */
const isOpen = (run: RolloutRun): boolean =>
  !isUnopened(run) && !run.withdrawn && (run.status === 'rolling' || run.status === 'complete');
