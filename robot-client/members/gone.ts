/**
 * A person at the robot says that another computer never comes back with what is on its disk. A
 * decision that is open waits for each of its computers without an end, and so does each later set
 * with one of them: the leader cannot know that one was scrapped, and takes none for that by
 * itself. The word of the person ends that wait. Nothing is done against the decision: it stays in
 * the record, and a computer that comes back all the same follows it.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs, MonoMs, RobotId } from '../../shared/base/ids.ts';
import type { RolloutSet } from '../../shared/formats/announcement.ts';
import type { RobotEventFields } from '../../shared/formats/messages.ts';
import type { Commit } from './commit.ts';
import type { CommitBook, SetFacts } from './commit-book.ts';
import type { MemberDesk } from './member-desk.ts';

export interface GoneRequest {
  /** Names of computers, or of components on computers without a pair file here. */
  readonly computers: readonly string[];
  /** True when the person says it; false to see first what would go on. */
  readonly isSaid: boolean;
}

export interface GoneAnswer {
  readonly components: readonly string[];
  /** The decisions that go on without them, as they are then. */
  readonly decisions: readonly { readonly set: string; readonly decision: string }[];
}

/** The parts of the leader that this needs. */
export interface GoneFacts {
  readonly book: CommitBook;
  readonly desks: ReadonlyMap<string, MemberDesk>;
  /** Components of this computer. */
  readonly local: ReadonlySet<string>;
  /** Sets over several computers that a component works on, or has confirmed. */
  readonly sets: readonly RolloutSet[];
  factsOf(set: RolloutSet): SetFacts;
  /** Why a computer was refused that tries now; null when none does. */
  readonly knocking: string | null;
  readonly now: MonoMs;
}

/**
 * @throws DroverError MEMBER_PRESENT for a computer that is there, NOT_FOUND for one that is not
 *   known or that no decision waits for, DECISION_LOST while others are away as well; of the disk
 */
export async function declareGone(
  { computers, isSaid }: GoneRequest,
  on: GoneFacts,
): Promise<{ readonly components: readonly string[]; readonly decisions: readonly Commit[] }> {
  const { book, sets, factsOf } = on;
  if (!book.isRead) throw new DroverError('ROBOT_STARTING', 'decide: the record was not read yet');
  const components = computers.flatMap((name) => componentsOf(name, on));
  const decisions = await book.declareGone(components, { sets, factsOf, isSaid });
  if (decisions.length > 0) return { components, decisions };
  const what = `go on without ${computers.join(' and ')}`;
  if (book.lostProblem) {
    const why = 'the record of its decision was lost, and another computer of the set is away';
    const hint = 'start that computer, or name it as well when it is gone for good, too';
    throw new DroverError('DECISION_LOST', `${what}: ${why}`, { hint });
  }
  const hint = 'nothing has to be said; a computer that is away in a set: drover-robot explain';
  throw new DroverError('NOT_FOUND', `${what}: no open decision waits for it`, { hint });
}

function componentsOf(name: string, on: GoneFacts): readonly string[] {
  const { desks, local, book, sets, now } = on;
  const desk = desks.get(name);
  if (desk) {
    if (!desk.isSilent(now)) {
      const message = `go on without computer ${name}: it was heard a moment ago`;
      throw new DroverError('MEMBER_PRESENT', message);
    }
    return desk.pair.components;
  }
  const led = new Set([...desks.values()].flatMap(({ pair }) => pair.components));
  const ofSets = [...(book.told?.commits ?? []).map(({ set }) => set), ...sets];
  const unled = ofSets
    .flatMap(({ members }) => members.map(({ component }): string => component))
    .filter((component) => !led.has(component) && !local.has(component));
  if (unled.includes(name)) {
    // Its pair file may only have been left out, and it runs.
    if (on.knocking === null) return [name];
    const message = `go on without component ${name}: it may be on the computer that tries now (refused ${on.knocking})`;
    const hint =
      'repair its pair file here (drover-robot explain names it), or switch that computer off';
    throw new DroverError('MEMBER_PRESENT', message, { hint });
  }
  const known = [...new Set([...desks.keys(), ...unled])].join(', ') || 'none';
  const hint = `name a computer of --members, or a component whose computer has no pair file here (here: ${known})`;
  throw new DroverError('NOT_FOUND', `go on without ${name}: it is not known here`, { hint });
}

/** The problem that the fleet and the log get. */
export const goneProblem = ({ set, decision }: Commit, gone: readonly string[]): Problem => {
  const what = decision === 'switch' ? 'take back' : decision;
  const message = `${what} set ${set.id} without ${gone.join(' and ')}: a person at the robot said that its computer is gone for good`;
  return toProblem(new DroverError('MEMBER_GONE', message));
};

/** For the events of the robot: one for each decision. */
export function goneEvent(
  commit: Commit,
  gone: readonly string[],
  { robot, at }: { readonly robot: RobotId; readonly at: EpochMs },
): Omit<RobotEventFields, 'event_seq'> {
  const member = commit.set.members.find(({ component }) => gone.includes(component));
  return {
    ...{ robot_id: robot, at: new Date(at).toISOString() },
    component: member?.component ?? gone[0] ?? '',
    ...{ from: 'idle', to: 'idle', event: 'computer_gone' },
    ...(member && { target_version: member.version, rollout: member.rollout }),
    problem: goneProblem(commit, gone),
  };
}
