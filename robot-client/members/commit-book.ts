/**
 * The open decisions of the leader. Each step is stored before anybody gets it; a disk that refuses
 * keeps the decision from being taken. A record that was not read, or was lost, is no answer, and
 * does not mean to go back (lost-commit.ts).
 */

import { randomBytes } from 'node:crypto';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { SerialQueue } from '../../shared/base/serial-queue.ts';
import type { RolloutSet } from '../../shared/formats/announcement.ts';
import type { Disk } from '../install/disk-port.ts';
import {
  askedOf,
  decideCommit,
  isKept,
  isSameSet,
  isKeptForGone,
  type Commit,
  type CommitFacts,
  type ComponentFact,
} from './commit.ts';
import { decideLost, lostIdOf } from './lost-commit.ts';
import { RecordFile, type RecordDamage } from './record-file.ts';
import { isOfRecord, type ToldBook, type ToldCommit } from './told-commits.ts';

const ID_BYTES = 8;

/** The facts of the leader about a set. */
export type SetFacts = Pick<CommitFacts, 'components' | 'isRecalled' | 'stopped'>;

type FactsOf = (set: RolloutSet) => SetFacts;

export class CommitBook {
  readonly #file: RecordFile;
  /** Null before it was read: what is unknown was not decided, and is not `back`. */
  #told: readonly ToldCommit[] | null = null;
  /** When each round of questions was opened. */
  readonly #openedMs = new Map<string, MonoMs>();
  /** A set whose decision was lost, and that is not certain yet; null for none. */
  #lostSet: RolloutSet | null = null;
  /** By the id of its set: the component that was not ready in its last round. */
  readonly #laggards = new Map<string, string>();
  /** A person may speak while the disk still stores a step. */
  readonly #writes = new SerialQueue();

  constructor(disk: Disk, folder: string) {
    this.#file = new RecordFile(disk, folder);
  }

  /** @returns what was wrong with the files @throws DroverError while they cannot be read */
  async load(): Promise<RecordDamage | null> {
    const { commits, damage } = await this.#file.load();
    // Both copies have it before computers get it. A disk that refuses has it in one: it holds.
    await this.#file.keep(commits).catch(() => {});
    this.#told = commits.map((one) => ({ ...one, asked: null }));
    return damage;
  }

  get isRead(): boolean {
    return this.#told !== null;
  }

  /** May be sent: all of it that has to be on the disk is there. Null before it was read. */
  get told(): ToldBook | null {
    return this.#told && { commits: this.#told, record: this.#file.record };
  }

  /** Lines for `drover-robot explain`. */
  explain(): string[] {
    return (this.#told ?? []).map(({ set, decision, asked, gone }) => {
      const whom = asked === null ? '' : `, waits for ${asked}`;
      const without = gone ? `, without ${gone.join(' and ')}: gone for good` : '';
      return `set ${set.id}: the decision is to ${decision}${whom}${without}`;
    });
  }

  /** Why it decides nothing about a set whose decision was lost; null when it decides. */
  get lostProblem(): Problem | null {
    if (this.#lostSet === null) return null;
    const message = `decide set ${this.#lostSet.id}: the record of its decision was lost, and a computer that knows it is away`;
    return toProblem(new DroverError('DECISION_LOST', message));
  }

  /**
   * One step of all decisions.
   * @param sets that the components of the robot work on, or have confirmed
   * @param factsOf what is known now about such a set
   * @returns true when members have to receive it; why the disk refused a decision, else null
   */
  async step(
    sets: readonly RolloutSet[],
    factsOf: FactsOf,
    now: MonoMs,
  ): Promise<{ readonly isNew: boolean; readonly problem: Problem | null }> {
    return await this.#writes.run(async () => {
      const before = this.#told;
      if (before === null) return { isNew: false, problem: null };
      this.#lostSet = null;
      try {
        await this.#keep(this.#next(before, { sets, factsOf, now }));
      } catch (thrown) {
        return { isNew: false, problem: toProblem(thrown) };
      }
      return { isNew: JSON.stringify(before) !== JSON.stringify(this.#told), problem: null };
    });
  }

  /** The disk has it before computers get it. @throws DroverError of the disk */
  async #keep(next: readonly ToldCommit[]): Promise<void> {
    await this.#file.keep(plain(next.filter(isKept)));
    this.#told = next;
  }

  /**
   * The decisions that go on once these components are declared gone for good, as they are then.
   * @param isSaid true when a person says so: it is stored; false to see it before
   * @throws DroverError of the disk
   */
  async declareGone(
    gone: readonly string[],
    { sets, factsOf, isSaid }: { sets: readonly RolloutSet[]; factsOf: FactsOf; isSaid: boolean },
  ): Promise<readonly Commit[]> {
    return await this.#writes.run(async () => {
      const before = this.#told;
      if (before === null) return [];
      const isMeant = ({ members }: RolloutSet): boolean =>
        members.some(({ component }) => gone.includes(component));
      const goneOf = ({ set, gone: known = [] }: ToldCommit): string[] =>
        set.members
          .map(({ component }): string => component)
          .filter((name) => known.includes(name) || gone.includes(name));
      const marked = before.map((one) =>
        isKept(one) && isMeant(one.set) ? { ...one, gone: goneOf(one) } : one,
      );
      const lost = sets.flatMap((set) => {
        const isFree = isMeant(set) && !before.some((one) => overlaps(one.set, set));
        if (!isFree) return [];
        const { components } = factsOf(set);
        const found = this.#lost(set, components, gone);
        return found ? [toldOf(found, components)] : [];
      });
      const next = [...marked, ...lost];
      if (isSaid) await this.#keep(next);
      return next.filter((one) => !before.includes(one));
    });
  }

  #next(
    told: readonly ToldCommit[],
    {
      sets,
      factsOf,
      now,
    }: {
      readonly sets: readonly RolloutSet[];
      readonly factsOf: FactsOf;
      readonly now: MonoMs;
    },
  ): ToldCommit[] {
    const next: ToldCommit[] = [];
    const settled = new Set<string>();
    for (const known of told) {
      const facts = factsOf(known.set);
      const openMs = now - (this.#openedMs.get(known.id) ?? now);
      const commit = decideCommit(known, { ...facts, ...this.#about(known.set), openMs }, '');
      if (commit) next.push(toldOf(commit, facts.components));
      if (commit && isKeptForGone(commit, facts)) settled.add(commit.id);
      if (commit?.decision === 'prepare') continue;
      this.#openedMs.delete(known.id);
      this.#noteLaggard(known, commit === null && openMs > LIMITS.prepareMs);
    }
    const isOpen = ({ id }: ToldCommit): boolean => !settled.has(id);
    const late = next.filter((one) => !isOpen(one)).slice(0, -LIMITS.goneCommitsMax);
    for (const one of late) next.splice(next.indexOf(one), 1);
    for (const set of sets) {
      if (next.length >= LIMITS.commitsMax) break;
      if ([...next, ...told].filter(isOpen).some((one) => overlaps(one.set, set))) continue;
      const facts = factsOf(set);
      const begun = this.#lost(set, facts.components) ?? this.#begun(set, facts);
      if (begun === null) continue;
      if (begun.decision === 'prepare') this.#openedMs.set(begun.id, now);
      next.push(toldOf(begun, facts.components));
    }
    return next;
  }

  #begun(set: RolloutSet, facts: SetFacts): Commit | null {
    const id = `${this.#file.record}${randomBytes(ID_BYTES).toString('hex')}`;
    return decideCommit(null, { ...facts, ...this.#about(set), openMs: 0 }, id);
  }

  /** A decision of a record that was lost, when the components show what it was. */
  #lost(
    set: RolloutSet,
    components: readonly ComponentFact[],
    gone: readonly string[] = [],
  ): Commit | null {
    const id = lostIdOf(components, (one) => isOfRecord(this.#file.record, one));
    const found = id === null ? null : decideLost(id, set, components, gone);
    if (id !== null && found === null) this.#lostSet = set;
    return found;
  }

  #about(set: RolloutSet): Pick<CommitFacts, 'set' | 'laggard'> {
    return { set, laggard: this.#laggards.get(set.id) ?? null };
  }

  /** @param isLate the round has ended because its time was over, and for no other reason */
  #noteLaggard({ decision, asked, set }: ToldCommit, isLate: boolean): void {
    if (isLate && decision === 'prepare' && asked !== null) this.#laggards.set(set.id, asked);
    else this.#laggards.delete(set.id);
  }
}

const plain = (commits: readonly ToldCommit[]): Commit[] =>
  commits.map(({ id, set, components, decision, cause, gone }) => ({
    ...{ id, set, components, decision },
    ...(cause !== undefined && { cause }),
    ...(gone !== undefined && { gone }),
  }));

const toldOf = (commit: Commit, facts: readonly ComponentFact[]): ToldCommit => ({
  ...commit,
  asked: askedOf(commit, facts),
});

/** No component is bound by two decisions. */
const overlaps = (a: RolloutSet, b: RolloutSet): boolean =>
  isSameSet(a, b) ||
  a.members.some((one) => b.members.some((two) => two.component === one.component));
