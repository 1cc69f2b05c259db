/**
 * Finds, before a rollback, the installed releases that require what would go back. A robot never
 * refuses to go back, so the person who asks for it sees names and numbers first. Only announced
 * releases are known with what they require. Sans-I/O.
 */

import type { ComponentState } from '../../shared/formats/messages.ts';
import { runsRelease } from '../../shared/rules/release-identity.ts';
import { unmetOf, type BrokenRelease, type Present } from '../../shared/rules/requires.ts';
import { noWayBackOf } from '../../shared/rules/standstill.ts';
import type { RobotRecord } from '../control/fleet.ts';
import { hasToGoBack } from './recall.ts';
import type { RolloutPlan, RolloutRun } from './record.ts';

type GoingBack = Pick<RolloutRun, 'component' | 'rollout' | 'version'>;

/**
 * @param runs the rollouts that go back together
 * @param plans the announced releases
 * @returns the release on the most robots first
 */
export function brokenByRollback(
  runs: readonly GoingBack[],
  robots: readonly RobotRecord[],
  plans: Iterable<Pick<RolloutPlan, 'manifest'>>,
): BrokenRelease[] {
  const found = new Map<string, BrokenRelease>();
  const releases = [...plans].filter(({ manifest }) => Object.keys(manifest.requires).length > 0);
  for (const { state } of robots) {
    const components = state?.components ?? [];
    for (const { manifest } of releases) {
      const own = components.find(({ name }) => name === manifest.name);
      if (!own || !runsRelease(own, manifest) || goesBack(runs, own)) continue;
      const now = unmetOf(manifest.requires, (name) => presentNow(components, name));
      const then = unmetOf(manifest.requires, (name) => presentThen(runs, components, name));
      if (now !== null || then === null) continue;
      const { component, range } = then;
      const key = JSON.stringify([manifest.name, manifest.version, component, range]);
      const known = found.get(key)?.robots ?? 0;
      const { name, version } = manifest;
      const requires = { component, range };
      found.set(key, { component: name, version, requires, robots: known + 1 });
    }
  }
  return [...found.values()].sort((a, b) => b.robots - a.robots);
}

/** It runs the version by one of these rollouts, and has a release to go back to. */
const goesBack = (runs: readonly GoingBack[], one: ComponentState): boolean =>
  runs.some(
    (run) =>
      one.name === run.component &&
      one.version === run.version &&
      one.previous_version !== null &&
      hasToGoBack(run, one) &&
      noWayBackOf(one, run.version) === null,
  );

function presentNow(components: readonly ComponentState[], name: string): Present {
  const one = components.find((component) => component.name === name);
  if (!one) return 'absent';
  return one.version === null ? 'empty' : { version: one.version };
}

function presentThen(
  runs: readonly GoingBack[],
  components: readonly ComponentState[],
  name: string,
): Present {
  const one = components.find((component) => component.name === name);
  const before = one && goesBack(runs, one) ? one.previous_version : null;
  return before == null ? presentNow(components, name) : { version: before };
}
