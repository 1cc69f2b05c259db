/**
 * Lists the robots of a rollout: the standing of each, its wave, and a reason with a code. It
 * classifies as the gate does (classify.ts), so the list and the counts agree. It marks the robots
 * that the open wave waits for. Sans-I/O.
 */

import { instantText } from '../../shared/base/durations.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import type { RelayProblem } from '../../shared/formats/messages.ts';
import { groupFailures, type FailureGroup } from '../../shared/rules/failure-reasons.ts';
import { hasTurn } from '../../shared/rules/rollout-rules.ts';
import { startAwaited } from '../../shared/rules/start-time.ts';
import type { RobotRecord } from '../control/fleet.ts';
import { classify, isUnable, membersOf, type Member, type MemberKind } from './classify.ts';
import { countAll, countAttempts } from './counters.ts';
import { placeOfRobot } from './place-view.ts';
import { hasToGoBack } from './recall.ts';
import { stagesOf, type RolloutRun } from './record.ts';
import { reasonOf, type RobotReason } from './robot-reasons.ts';
import type { RolloutFacts } from './rollout-facts.ts';

export const STANDINGS = [
  'done',
  'updating',
  'vanished',
  'failed',
  'waiting',
  'went_back',
  'excluded',
] as const;
export type Standing = (typeof STANDINGS)[number];

export interface RolloutRobot extends RobotReason {
  readonly robot_id: RobotId;
  readonly state: Standing;
  /** 0 for the explicit canaries; null when the rollout is no longer announced. */
  readonly wave: number | null;
  /** True for a robot that the open wave, or the way back, waits for. */
  readonly awaited: boolean;
  readonly online: boolean;
  /** ISO text; null when it is only known from before the start of the broker. */
  readonly last_seen: string | null;
  readonly version: string | null;
  readonly phase: string;
}

const STANDING: Readonly<Record<MemberKind, Standing>> = {
  installed: 'done',
  went_on: 'done',
  updating: 'updating',
  vanished: 'vanished',
  failed: 'failed',
  recalled: 'went_back',
  candidate: 'waiting',
  excluded: 'excluded',
};

/** A robot that runs the same release from another rollout has nothing left to do. */
export const standingOf = ({ kind, why }: Pick<Member, 'kind' | 'why'>): Standing =>
  why === 'RUNS_IT' ? 'done' : STANDING[kind];

export interface ListOptions {
  /** Why an online robot may get nothing: its relay reports so. */
  relayProblem?(record: RobotRecord): RelayProblem | null;
}

/** By robot id. */
export function listRobots(facts: RolloutFacts, options: ListOptions = {}): RolloutRobot[] {
  const { plan, run, open } = facts;
  if (plan === null) return listReached(facts);
  const byId = new Map(facts.robots.map((record) => [record.robot, record]));
  const { version } = plan.manifest;
  // Without a controller there is no clock to compare with: robots say it themselves.
  const start = facts.now > 0 ? startAwaited(plan.rollout, facts) : null;
  const members = membersOf({ ...facts, plan });
  const isAway = run !== null && isWaveAway(run, members);
  return members.flatMap((member) => {
    const record = byId.get(member.robot);
    if (!record) return [];
    const wave = waveOf(member, facts);
    const isOpen = open !== null && hasTurn(member, open.threshold);
    const awaited = isAwaited(member, facts, { isOpen, isAway });
    const relay = options.relayProblem?.(record) ?? null;
    const place = facts.places ? placeOfRobot(facts.places, member.robot) : null;
    const told = { rollout: facts.id, version, record, wave, isOpen, relay, run, place, start };
    const reason = reasonOf(member, told);
    return [{ ...shown(record, member), wave, awaited, ...reason }];
  });
}

/** Its rules went with the announcement: only robots that it has reached are known. */
function listReached({ id: rollout, run, robots }: RolloutFacts): RolloutRobot[] {
  if (run === null) return [];
  const { component: name, version } = run;
  return robots.flatMap((record) => {
    const component = record.state?.components.find((one) => one.name === name);
    if (!component) return [];
    const member = { ...classify(component, { rollout, version }), component };
    if (member.kind === 'candidate' || member.kind === 'excluded') return [];
    const awaited = run.status === 'rolling_back' && hasToGoBack(run, component);
    const facts = { rollout, version, record, wave: null, isOpen: true, relay: null, run };
    return [{ ...shown(record, member), wave: null, awaited, ...reasonOf(member, facts) }];
  });
}

function shown(
  { robot, online, lastSeenMs }: RobotRecord,
  member: Pick<Member, 'kind' | 'why' | 'component'>,
) {
  return {
    robot_id: robot,
    state: standingOf(member),
    online,
    last_seen: lastSeenMs === null ? null : instantText(lastSeenMs),
    version: member.component.version,
    phase: member.component.phase,
  };
}

/** No robot of the open wave is online, and none has ended its update or begun it. */
const isWaveAway = (run: RolloutRun, members: readonly Member[]): boolean =>
  countAttempts(run, countAll(members, run)).reachable === 0;

/**
 * Robots that are offline and have not begun delay a wave only when it has no other robot: the
 * first of them has to end its update. A wave that soaks, gathers evidence or asks a person waits
 * for no robot.
 */
function isAwaited(
  member: Member,
  { run }: RolloutFacts,
  { isOpen, isAway }: { isOpen: boolean; isAway: boolean },
): boolean {
  if (run === null) return false;
  const { kind, online } = member;
  if (run.status === 'rolling_back') return hasToGoBack(run, member.component);
  if (run.status !== 'rolling' || !isOpen) return false;
  if (run.waitsFor === 'unable') return online && isUnable(member);
  return (
    run.waitsFor === 'robots' &&
    (kind === 'updating' || (kind === 'candidate' && (online || isAway)))
  );
}

/** The wave in which its turn comes, or came. A wave can open further than its announced share. */
function waveOf(member: Member, { plan, open }: RolloutFacts): number | null {
  if (plan === null) return null;
  if (member.isCanary) return 0;
  const stages = stagesOf(plan).filter(({ share }) => share > 0);
  const planned = stages.find(({ share }) => member.fraction < share)?.wave ?? null;
  if (open === null || member.fraction >= open.threshold) return planned;
  return planned === null ? open.wave : Math.min(planned, Math.max(open.wave, 1));
}

/** Robots whose update failed, by their reason: several with one reason point at the release. */
export const failuresOf = (robots: readonly RolloutRobot[]): FailureGroup[] =>
  groupFailures(
    robots
      .filter(({ state }) => state === 'failed')
      .map(({ robot_id: robot, code, reason: message }) => ({ robot, code, message })),
  );

/** Robots that run the version without what it requires, by what they lack. */
export const unmetOnRobots = (robots: readonly RolloutRobot[]): FailureGroup[] =>
  groupFailures(
    robots
      .filter(({ state, code }) => state === 'done' && code === 'REQUIRES_UNMET')
      .map(({ robot_id: robot, code, reason: message }) => ({ robot, code, message })),
  );

export interface WaveCounts {
  readonly wave: number | null;
  /** Percent of the fleet as announced; null for the explicit canaries. */
  readonly percent: number | null;
  readonly robots: Readonly<Record<Standing, number>>;
}

/** One entry for each announced wave, in order; robots that no wave includes come last. */
export function countWaves(
  { plan }: Pick<RolloutFacts, 'plan'>,
  robots: readonly RolloutRobot[],
): WaveCounts[] {
  const stages = plan === null ? [] : stagesOf(plan);
  const planned = stages.map(({ wave, share }) => ({
    wave: wave as number | null,
    percent: wave === 0 ? null : Math.round(share * 10_000) / 100,
  }));
  const isBeside = robots.some(({ wave }) => wave === null);
  return [...planned, ...(isBeside ? [{ wave: null, percent: null }] : [])].map((one) => ({
    ...one,
    robots: countStandings(robots.filter(({ wave }) => wave === one.wave)),
  }));
}

export function countStandings(robots: readonly RolloutRobot[]): Record<Standing, number> {
  const counts = Object.fromEntries(STANDINGS.map((one) => [one, 0])) as Record<Standing, number>;
  for (const { state } of robots) counts[state] += 1;
  return counts;
}
