/**
 * The API's view of announced rollouts, with their progress in the fleet so far, and of rollouts
 * that are not announced any more. Sans-I/O.
 */

import type { ToldRobots } from '../../shared/rules/unled.ts';
import { instantText } from '../../shared/base/durations.ts';
import type { Announcement, Rollout, RolloutSet } from '../../shared/formats/announcement.ts';
import type { Attachment } from '../../shared/formats/attachments.ts';
import { toProblem, type Problem } from '../../shared/base/errors.ts';
import { parseManifest, type Manifest } from '../../shared/formats/manifest.ts';
import type { Progress } from '../../shared/formats/progress.ts';
import type { StoreView } from '../attached/store-state.ts';
import type { RobotRecord } from '../control/fleet.ts';
import { classify, contextOf, memberOf, type Class, type Exclusion } from './classify.ts';
import { statusOf, type ShownStatus } from './record.ts';
import { rulesText } from './rollout-index.ts';
import type { RunView } from './rollout-view.ts';

interface RobotCounts extends Omit<ToldRobots, 'excluded'> {
  /** Will not take it, by code: NOT_NEWER, TOO_OLD, ARCH_WRONG, FAILED_BEFORE, LOG_PROOF_*. */
  readonly excluded: Readonly<Partial<Record<Exclusion, number>>>;
}

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
  /** Different users that have to approve each of them; above 1 the publisher is none of them. */
  readonly approvers: number;
  readonly emergency: boolean;
  /** How many robots of one place may be out of service at once; null for any number. */
  readonly budget: NonNullable<Rollout['budget']> | null;
  /** No robot starts before that: an instant, or a time of its own wall clock; null for at once. */
  readonly start_at: string | null;
  readonly start_local: string | null;
  /** The rollouts that robots take together with it, or not at all; null for one by itself. */
  readonly set: RolloutSet | null;
  /** From the controller's progress; `announced` while there is none. */
  readonly status: ShownStatus | 'announced';
  readonly wave: number | null;
  readonly threshold: number | null;
  readonly reasons: readonly string[];
  readonly announced: boolean;
  /** False when this broker has no trust file and shows unverified announcements. */
  readonly verified: boolean;
  readonly robots: RobotCounts;
  /** Documents that were published with it: GET /rollouts/ID/KIND. */
  readonly attachments: readonly Attachment[];
  /** Set when the manifest cannot be parsed. */
  readonly error: Problem | null;
  /**
   * The part of its chunks that an external engine holds; absent when they are in our own store.
   */
  readonly store?: StoreView;
}

/** The wave of an emergency: it replaces the announced ones. */
const EVERYBODY: Rollout['waves'] = [{ percent: 100, soak_s: 0 }];

/** How robots are classified for one rollout. */
export interface Classified {
  readonly id: string;
  /** Another text means that robots may be classified otherwise. */
  readonly rules: string;
  /** Null for a robot that it is not for. */
  classOf(record: RobotRecord): Class | null;
}

/** Each class that is there once or more often, and how many robots are in it. */
export type ClassCounts = readonly (readonly [Class, number])[];

/** The announced rollouts whose manifests can be parsed. */
export function classifiedOf(announcement: Pick<Announcement, 'rollouts'> | null): Classified[] {
  return (announcement?.rollouts ?? []).flatMap((rollout) => {
    const { manifest } = readManifest(rollout);
    return manifest ? [announced(rollout, manifest)] : [];
  });
}

function announced(rollout: Rollout, manifest: Manifest): Classified {
  const plan = { rollout, manifest };
  const context = contextOf({ plan, now: 0, watchedSinceMs: 0 });
  // Its place in the order decides over no count: it is not hashed.
  const classOf = (record: RobotRecord): Class | null => memberOf(record, context, 0);
  return { id: rollout.id, rules: rulesText(plan), classOf };
}

/** @param input.classes of the robots of one rollout */
export function describeRollouts(input: {
  announcement: Pick<Announcement, 'rollouts'> | null;
  progress: ReadonlyMap<string, Progress>;
  classes(of: Classified): ClassCounts;
  verified: boolean;
}): RolloutView[] {
  return (input.announcement?.rollouts ?? []).map((rollout) => {
    const { manifest, error } = readManifest(rollout);
    const progress = input.progress.get(rollout.id);
    return {
      id: rollout.id,
      component: manifest?.name ?? null,
      version: manifest?.version ?? null,
      target: rollout.target,
      waves: rollout.emergency ? EVERYBODY : rollout.waves,
      canaries: rollout.canaries,
      approve_after: rollout.approve_after,
      approvers: rollout.approvers,
      emergency: rollout.emergency,
      budget: rollout.budget ?? null,
      start_at: rollout.start_at === undefined ? null : instantText(rollout.start_at),
      start_local: rollout.start_local ?? null,
      set: rollout.set ?? null,
      attachments: (manifest?.attachments ?? []).filter(({ sha256 }) =>
        rollout.attachments.some((one) => one.sha256 === sha256),
      ),
      status: progress ? statusOf(progress) : 'announced',
      wave: progress?.wave ?? null,
      threshold: progress?.threshold ?? null,
      reasons: progress?.reasons ?? [],
      announced: true,
      verified: input.verified,
      robots: count(manifest ? input.classes(announced(rollout, manifest)) : []),
      error,
    };
  });
}

/**
 * A rollout that only the controller's record knows. Its rules went with the announcement, so no
 * robot is waited for, and only the robots that it has reached count.
 */
export function describeEnded(id: string, run: RunView, classes: ClassCounts): RolloutView {
  return {
    id,
    component: run.component,
    version: run.version,
    target: { tags: [], robots: [] },
    waves: [],
    canaries: { tags: [], robots: [] },
    approve_after: [],
    approvers: 1,
    emergency: false,
    budget: null,
    start_at: null,
    start_local: null,
    set: null,
    attachments: [],
    status: run.status,
    wave: run.wave,
    threshold: run.threshold,
    reasons: run.reasons,
    announced: false,
    verified: true,
    robots: count(classes),
    error: null,
  };
}

/** The robots that a rollout has reached which is not announced any more. */
export function classifiedReached(
  id: string,
  { component: name, version }: Pick<RunView, 'component' | 'version'>,
): Classified {
  const classOf = ({ state }: RobotRecord): Class | null => {
    const component = state?.components.find((one) => one.name === name);
    const found = component ? classify(component, { rollout: id, version }) : null;
    return found?.kind === 'candidate' || found?.kind === 'excluded' ? null : found;
  };
  return { id: `ended ${id}`, rules: `${name} ${version}`, classOf };
}

function count(classes: ClassCounts): RolloutView['robots'] {
  const sum = (counts: ClassCounts): number => counts.reduce((all, [, robots]) => all + robots, 0);
  const number = (...kinds: readonly Class['kind'][]): number =>
    sum(classes.filter(([{ kind }]) => kinds.includes(kind)));
  const excluded: Partial<Record<Exclusion, number>> = {};
  for (const [{ why }, robots] of classes) if (why) excluded[why] = (excluded[why] ?? 0) + robots;
  const { RUNS_IT: alike = 0, ...others } = excluded;
  return {
    // A bundle does not target robots of another arch.
    targeted: sum(classes) - (excluded.ARCH_WRONG ?? 0),
    running: number('installed') + alike,
    went_on: number('went_on'),
    in_progress: number('updating', 'vanished'),
    failed: number('failed'),
    waiting: number('candidate'),
    recalled: number('recalled'),
    excluded: others,
  };
}

function readManifest(rollout: Rollout): { manifest: Manifest | null; error: Problem | null } {
  try {
    return { manifest: parseManifest(rollout.manifest), error: null };
  } catch (thrown) {
    return { manifest: null, error: toProblem(thrown) };
  }
}
