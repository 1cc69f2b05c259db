/**
 * Counts the components of all robots by version and phase, and the robots that are online. The
 * report that changes a robot changes its counts: a question costs as much as there are versions,
 * not as there are robots. Sans-I/O.
 */

import type { RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { RobotState } from '../../shared/formats/messages.ts';
import { versionShown } from '../../shared/rules/running-version.ts';

/** The part of a robot's record that is counted. */
interface CountedRobot {
  readonly robot: RobotId;
  readonly online: boolean;
  readonly state: RobotState | null;
}

/** Robots whose component runs one version and is in one phase. */
export interface ComponentCount {
  /** Null for robots that have reported nothing yet. */
  readonly component: string | null;
  /** `unknown` where the report itself does not know what runs. */
  readonly version: string | null;
  readonly phase: string;
  readonly robots: number;
  /** Of these. */
  readonly online: number;
}

type Counted = { -readonly [K in keyof ComponentCount]: ComponentCount[K] };

export class FleetCounts {
  readonly #counts = new Map<string, Counted>();
  /** Robots that refuse progress, which few do. */
  readonly #refusing = new Set<RobotId>();
  /** Online robots that are connected here and told the time; and those whose clock is far off. */
  readonly #told = new Set<RobotId>();
  readonly #off = new Set<RobotId>();
  #online = 0;

  /** @param before undefined for a new robot; `after`: undefined for one that is gone */
  replace(before: CountedRobot | undefined, after: CountedRobot | undefined): void {
    if (before?.state !== after?.state || before?.online !== after?.online) {
      if (before) this.#count(before, -1);
      if (after) this.#count(after, 1);
    }
    if (after && (after.state?.progress_refused ?? []).length > 0) this.#refusing.add(after.robot);
    else if (before) this.#refusing.delete(before.robot);
  }

  /** @param aheadMs its clock minus ours; undefined for one that is not known, or not here */
  noteClock(robot: RobotId, aheadMs: number | undefined): void {
    if (aheadMs === undefined) this.#told.delete(robot);
    else this.#told.add(robot);
    if (Math.abs(aheadMs ?? 0) > LIMITS.aheadMsMax) this.#off.add(robot);
    else this.#off.delete(robot);
  }

  /** More than half of these, ahead or behind. */
  get areMostClocksOff(): boolean {
    return this.#off.size * 2 > this.#told.size;
  }

  get online(): number {
    return this.#online;
  }

  refusing(): Iterable<RobotId> {
    return this.#refusing;
  }

  /** By component, version and phase. */
  components(): ComponentCount[] {
    const found = [...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1));
    return found.map(([, one]) => ({ ...one }));
  }

  #count({ state, online }: CountedRobot, by: 1 | -1): void {
    if (online) this.#online += by;
    if (!state) this.#add({ component: null, version: null, phase: 'unknown' }, online, by);
    for (const component of state?.components ?? []) {
      const { name, phase } = component;
      this.#add({ component: name, version: versionShown(component), phase }, online, by);
    }
  }

  #add(of: Pick<Counted, 'component' | 'version' | 'phase'>, online: boolean, by: 1 | -1): void {
    const key = `${of.component ?? ''} ${of.version ?? ''} ${of.phase}`;
    const known = this.#counts.get(key);
    const one = known ?? { ...of, robots: 0, online: 0 };
    if (!known) this.#counts.set(key, one);
    one.robots += by;
    if (online) one.online += by;
    if (one.robots === 0) this.#counts.delete(key);
  }
}
