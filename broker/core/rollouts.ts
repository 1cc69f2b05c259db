/**
 * The rollouts that are announced, with what the fleet has made of each so far, and what is left to
 * say of one that is announced no more. Pure.
 */

import type { Announcement, Rollout } from '../../shared/announcement.ts';
import { archFits } from '../../shared/arch.ts';
import { toProblem, type Problem } from '../../shared/errors.ts';
import { parseManifest, type Manifest } from '../../shared/manifest.ts';
import type { Progress } from '../../shared/progress.ts';
import { runsRelease } from '../../shared/release-identity.ts';
import type { StoreView } from './engine-view.ts';
import type { Fleet, RobotRecord } from './fleet.ts';
import { tookIt } from './members.ts';
import type { RunView } from './rollout-view.ts';

export interface RolloutView {
  readonly id: string;
  readonly component: string | null;
  readonly version: string | null;
  readonly target: Rollout['target'];
  readonly waves: Rollout['waves'];
  /** Robots that come before the first wave. */
  readonly canaries: Rollout['canaries'];
  /** Waves after which a person must approve; 0 for the explicit canaries. */
  readonly approve_after: Rollout['approve_after'];
  readonly emergency: boolean;
  /** From the controller's progress; `announced` while there is none. */
  readonly status: Progress['status'] | 'announced';
  readonly wave: number | null;
  readonly threshold: number | null;
  readonly reasons: readonly string[];
  readonly announced: boolean;
  /** False when this broker has no trust file and shows what it carries unchecked. */
  readonly verified: boolean;
  readonly robots: {
    readonly targeted: number;
    readonly running: number;
    readonly in_progress: number;
    readonly failed: number;
    readonly waiting: number;
  };
  /** Set when the manifest cannot be read. */
  readonly error: Problem | null;
  /** What an engine of somebody else holds of its chunks; absent where they are in our own store. */
  readonly store?: StoreView;
}

export function describeRollouts(input: {
  announcement: Announcement | null;
  progress: ReadonlyMap<string, Progress>;
  fleet: Fleet;
  verified: boolean;
}): RolloutView[] {
  const robots = input.fleet.robots();
  return (input.announcement?.rollouts ?? []).map((rollout) => {
    const { manifest, error } = readManifest(rollout);
    const progress = input.progress.get(rollout.id);
    return {
      id: rollout.id,
      component: manifest?.name ?? null,
      version: manifest?.version ?? null,
      target: rollout.target,
      waves: rollout.waves,
      canaries: rollout.canaries,
      approve_after: rollout.approve_after,
      emergency: rollout.emergency,
      status: progress?.status ?? 'announced',
      wave: progress?.wave ?? null,
      threshold: progress?.threshold ?? null,
      reasons: progress?.reasons ?? [],
      announced: true,
      verified: input.verified,
      robots: countRobots(rollout, manifest, robots),
      error,
    };
  });
}

/**
 * A rollout that only the controller's record knows. Its rules went with the announcement, so
 * nobody waits for it any more, and of the robots only those count that it has reached.
 */
export function describeEnded(
  id: string,
  run: RunView,
  robots: readonly RobotRecord[],
): RolloutView {
  return {
    id,
    component: run.component,
    version: run.version,
    target: { tags: [], robots: [] },
    waves: [],
    canaries: { tags: [], robots: [] },
    approve_after: [],
    emergency: false,
    status: run.status,
    wave: run.wave,
    threshold: run.threshold,
    reasons: run.reasons,
    announced: false,
    verified: true,
    robots: countReached(id, run, robots),
    error: null,
  };
}

function countReached(
  id: string,
  { component: name, version }: RunView,
  robots: readonly RobotRecord[],
): RolloutView['robots'] {
  const counts = { targeted: 0, running: 0, in_progress: 0, failed: 0, waiting: 0 };
  for (const { state } of robots) {
    const component = state?.components.find((one) => one.name === name);
    if (!component) continue;
    const last = component.last_update;
    const isBusy = component.phase !== 'idle' && component.rollout === id;
    const isRunning = !isBusy && tookIt(component, id, version);
    const isOver = !isBusy && !isRunning && last?.rollout === id;
    const hasFailed = isOver && last.outcome !== 'installed' && last.outcome !== 'recalled';
    if (isBusy) counts.in_progress += 1;
    if (isRunning) counts.running += 1;
    if (hasFailed) counts.failed += 1;
    if (isBusy || isRunning || isOver) counts.targeted += 1;
  }
  return counts;
}

function readManifest(rollout: Rollout): { manifest: Manifest | null; error: Problem | null } {
  try {
    return { manifest: parseManifest(rollout.manifest), error: null };
  } catch (thrown) {
    return { manifest: null, error: toProblem(thrown) };
  }
}

function countRobots(
  rollout: Rollout,
  manifest: Manifest | null,
  robots: readonly RobotRecord[],
): RolloutView['robots'] {
  const counts = { targeted: 0, running: 0, in_progress: 0, failed: 0, waiting: 0 };
  if (!manifest) return counts;
  for (const record of robots) {
    const component = record.state?.components.find((one) => one.name === manifest.name);
    if (!record.state || !component || !isTargeted(rollout, manifest, record)) continue;
    counts.targeted += 1;
    const failedHere =
      component.last_error?.version === manifest.version ||
      component.blocked.includes(manifest.version);
    if (component.phase !== 'idle' && component.rollout === rollout.id) counts.in_progress += 1;
    else if (runsRelease(component, manifest)) counts.running += 1;
    else if (failedHere) counts.failed += 1;
    else counts.waiting += 1;
  }
  return counts;
}

function isTargeted(
  { target }: Rollout,
  manifest: Manifest,
  { robot, state }: RobotRecord,
): boolean {
  if (!state || !archFits(manifest.target_arch, state.arch)) return false;
  if (target.arch !== undefined && !archFits(target.arch, state.arch)) return false;
  if (target.robots.length > 0 && !target.robots.includes(robot)) return false;
  return target.tags.every((tag) => state.tags.includes(tag));
}
