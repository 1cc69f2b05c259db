/**
 * Decides whether the other components of a robot meet the requirements of a bundle. The robot
 * refuses by this rule, the publisher warns by it, the controller leaves such robots out. A version
 * that is not known never meets a range. Sans-I/O.
 */

import { countOf } from '../base/printable.ts';
import { isInRange } from '../base/version.ts';
import type { Manifest, Requires } from '../formats/manifest.ts';
import type { ComponentState } from '../formats/messages.ts';
import { runningIn, type RunningFact } from './running-version.ts';

/**
 * Another component as far as it is known. `absent`: the robot has none of that name; `empty`:
 * nothing is installed; `unknown`: it cannot be read, or an update of it is under way.
 */
export type Present = { readonly version: string } | 'absent' | 'empty' | 'unknown';

/** A set, as it is written or as it was parsed. */
export interface Together {
  readonly members: readonly {
    readonly rollout: string;
    readonly component: string;
    readonly version: string;
  }[];
  /** Component of the system image among them. */
  readonly image?: string | undefined;
}

export interface Unmet {
  readonly component: string;
  readonly range: string;
  readonly has: Present;
}

/** The versions that a set brings, or undefined for a component that is not in it. */
export const broughtBy = (
  set: Together | null | undefined,
  component: string,
): string | undefined => set?.members.find((one) => one.component === component)?.version;

/**
 * The first requirement that is not met. One that is certain comes before one that is unknown.
 * @returns null when all are met
 */
export function unmetOf(
  requires: Requires,
  presentOf: (component: string) => Present,
): Unmet | null {
  const all = Object.entries(requires).flatMap(([component, range]): Unmet[] => {
    const has = presentOf(component);
    const isMet = typeof has === 'object' && isInRange(has.version, range);
    return isMet ? [] : [{ component, range, has }];
  });
  return all.find(({ has }) => has !== 'unknown') ?? all[0] ?? null;
}

const HAS: Readonly<Record<Extract<Present, string>, string>> = {
  absent: 'no such component',
  empty: 'nothing installed',
  unknown: 'an unknown version',
};

/** `requires system >=2.1 <3 (got 2.0.0)` */
export const unmetText = ({ component, range, has }: Unmet): string =>
  `requires ${component} ${range} (got ${typeof has === 'object' ? has.version : HAS[has]})`;

/** A release that stays on robots, without a version that it requires of another component. */
export interface BrokenRelease {
  readonly component: string;
  readonly version: string;
  readonly requires: { readonly component: string; readonly range: string };
  readonly robots: number;
}

/** `app 3.0.0 stays on 3 robots without arm ^3.2, which it requires` */
export const brokenText = ({ component, version, requires, robots }: BrokenRelease): string =>
  `${component} ${version} stays on ${countOf(robots, 'robot')} without ${requires.component} ${requires.range}, which it requires`;

/** `system >=2.1 <3, arm ^1`: for people. */
export const requiresText = (requires: Requires): string =>
  Object.entries(requires)
    .map(([component, range]) => `${component} ${range}`)
    .join(', ');

type Told = Pick<ComponentState, 'name' | 'version' | 'phase'> &
  Partial<Pick<ComponentState, 'last_error' | 'version_doubt'>>;

/** A component of the robot as a requirement sees it. */
export function presentOf(running: RunningFact | undefined): Present {
  switch (running?.kind) {
    case undefined:
      return 'absent';
    case 'runs':
      return { version: running.version };
    case 'nothing':
      return 'empty';
    case 'changing':
    case 'unknown':
      return 'unknown';
  }
}

/**
 * Why the components that a robot reports do not meet what a bundle requires; null when they do. A
 * component that is in an update counts with what it reports to run: only a forecast depends on it.
 */
export function lackByReport(
  { requires = {} }: Partial<Pick<Manifest, 'requires'>>,
  components: readonly Told[],
  set: Together | null,
): 'REQUIRES_UNMET' | 'REQUIRES_UNKNOWN' | null {
  const unmet = unmetOf(requires, (name): Present => {
    const brought = broughtBy(set, name);
    if (brought !== undefined) return { version: brought };
    const found = components.find((one) => one.name === name);
    const running = found && runningIn(found);
    if (running?.kind !== 'changing') return presentOf(running);
    return running.version === null ? 'empty' : { version: running.version };
  });
  if (unmet === null) return null;
  return unmet.has === 'unknown' ? 'REQUIRES_UNKNOWN' : 'REQUIRES_UNMET';
}
