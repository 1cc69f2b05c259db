/**
 * Decides whether a bundle fits the other components of its robot, in both directions: they are in
 * the ranges that it requires, and it is in the ranges that they require. It is asked when a bundle
 * is offered, and again right before the swap. A rollback is never held up by it, since going back
 * is what makes a robot safe; what does not fit after one is reported. Sans-I/O.
 */

import type { RolloutSet } from '../../shared/formats/announcement.ts';
import { DroverError, nullIfRefused, toProblem, type Problem } from '../../shared/base/errors.ts';
import { isInRange } from '../../shared/base/version.ts';
import { parseManifest, type Manifest, type Requires } from '../../shared/formats/manifest.ts';
import {
  broughtBy,
  presentOf,
  unmetOf,
  unmetText,
  type Present,
} from '../../shared/rules/requires.ts';
import { isChanging, runningOf } from '../../shared/rules/running-version.ts';
import type { MemberView, MemberViews } from './set-verdict.ts';
import type { RobotPhase } from '../../shared/formats/messages.ts';
import { isLostJob, jobBytes, type Job, type MachineState } from './state.ts';

/** Another component of the robot, as far as requirements are about it. */
export interface Neighbour {
  /** Version that `active` leads to; null when nothing is installed. */
  readonly version: string | null;
  /** The requirements of that release; empty for one without a known manifest. */
  readonly requires?: Requires;
  /** Absent: `idle`. */
  readonly phase?: RobotPhase;
  /** Code of why it is not known that this version runs; null or absent when it is. */
  readonly doubt?: string | null;
}

/** All components of the robot by name; null for one that cannot be read now. */
export type Neighbours = ReadonlyMap<string, Neighbour | null>;

type Offered = Pick<Manifest, 'name' | 'version' | 'requires'>;

/** Read from the states that the components have persisted. */
export const neighboursOf = (views: MemberViews): Neighbours =>
  new Map([...views].map(([name, view]) => [name, view && neighbourOf(view)]));

export function neighbourOf({ state, active: version, doubt }: MemberView) {
  return { version, requires: requiredBy(state, version), phase: state.phase, doubt };
}

/** Reads the requirements of the release that `active` leads to. */
function requiredBy({ job, installed }: MachineState, active: string | null): Requires {
  const found = [job, installed].find((one) => one !== null && one.version === active);
  return found ? requiresOf(found) : {};
}

function requiresOf(job: Job): Requires {
  if (isLostJob(job)) return {};
  return nullIfRefused(() => parseManifest(jobBytes(job).manifestBytes))?.requires ?? {};
}

/** Of a job that is about to be swapped. */
export const offeredBy = (component: string, job: Job): Offered => ({
  name: component as Manifest['name'],
  version: job.version,
  requires: requiresOf(job),
});

/**
 * Judges a bundle. The versions that a set brings count as present, since it is taken as a whole.
 * [P-3.12]
 * @param beside undefined when the other components are not known at all
 * @returns REQUIRES_UNMET, REQUIRES_UNKNOWN or REQUIRES_BROKEN; null when it fits
 */
export function requiresProblem(
  { name, version, requires }: Offered,
  set: RolloutSet | null,
  beside: Neighbours | undefined,
): Problem | null {
  const unmet = unmetOf(requires, (other) => presentIn(other, set, beside));
  const what = `take ${name} ${version}`;
  if (unmet) {
    const code = unmet.has === 'unknown' ? 'REQUIRES_UNKNOWN' : 'REQUIRES_UNMET';
    return toProblem(new DroverError(code, `${what}: it ${unmetText(unmet)}`));
  }
  for (const [other, found] of beside ?? []) {
    const range = found?.requires?.[name];
    if (other === name || !found || range === undefined || isInRange(version, range)) continue;
    const brought = broughtBy(set, other);
    // A release that is replaced together with it requires nothing any more.
    if (brought !== undefined && brought !== found.version) continue;
    const message = `${what}: ${other} ${found.version} requires ${name} ${range}`;
    return toProblem(new DroverError('REQUIRES_BROKEN', message));
  }
  return null;
}

function presentIn(
  component: string,
  set: RolloutSet | null,
  beside: Neighbours | undefined,
): Present {
  const brought = broughtBy(set, component);
  if (brought !== undefined) return { version: brought };
  if (beside === undefined) return 'unknown';
  const found = beside.get(component);
  if (found === undefined) return 'absent';
  if (found === null) return 'unknown';
  const { version, phase = 'idle', doubt = null } = found;
  return presentOf(runningOf({ version, phase, doubt }));
}

/** True when the other component that is not known yet is in an update: it is soon known. */
export const isPassing = ({ requires }: Offered, beside: Neighbours | undefined): boolean =>
  Object.keys(requires).some((name) => isChanging(beside?.get(name)?.phase ?? 'idle'));

/**
 * A release that runs although it requires another version of a component, which went back or was
 * changed by a person. It stays, and the report says so.
 */
export function unmetAtRest(component: string, views: MemberViews): Problem | null {
  const own = views.get(component);
  if (!own || own.state.phase !== 'idle' || own.active === null) return null;
  const beside = neighboursOf(views);
  const unmet = unmetOf(beside.get(component)?.requires ?? {}, (one) =>
    presentIn(one, null, beside),
  );
  if (!unmet || unmet.has === 'unknown') return null;
  const message = `run ${component} ${own.active}: it ${unmetText(unmet)}`;
  return toProblem(new DroverError('REQUIRES_UNMET', message));
}
