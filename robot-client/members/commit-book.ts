/**
 * The open decisions of the leader, on its disk. Each step is stored before anybody gets it; a
 * disk that refuses keeps the decision from being taken. A file that was lost is a lost disk: an
 * unknown decision then means to go back, for computers that had not received its end yet.
 */

import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { toProblem, type Problem } from '../../shared/base/errors.ts';
import type { MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { RolloutSet } from '../../shared/formats/announcement.ts';
import { parseDocument } from '../../shared/formats/schema.ts';
import type { Disk } from '../install/disk-port.ts';
import { readOrSetAside, writeWhole } from '../install/small-file.ts';
import {
  askedOf,
  commitSchema,
  decideCommit,
  isKept,
  isSameSet,
  type Commit,
  type CommitFacts,
  type ComponentFact,
} from './commit.ts';
import type { ToldCommit } from './told-commits.ts';

const ID_BYTES = 16;

const KIND = {
  what: 'commits.json',
  schema: z.object({ commits: z.array(commitSchema).max(LIMITS.commitsMax) }),
  bytesMax: LIMITS.manifestBytesMax * 4,
  code: 'STATE_CORRUPT',
} as const;

/** The facts of the leader about a set. */
export type SetFacts = Pick<CommitFacts, 'components' | 'isRecalled'>;

export class CommitBook {
  readonly #disk: Disk;
  readonly #path: string;
  #told: readonly ToldCommit[] = [];
  /** When each round of questions was opened. */
  readonly #openedMs = new Map<string, MonoMs>();
  /** By the id of its set: the component that was not ready in its last round. */
  readonly #laggards = new Map<string, string>();

  constructor(disk: Disk, path: string) {
    this.#disk = disk;
    this.#path = path;
  }

  /** @returns what was wrong with the file; null when nothing */
  async load(): Promise<Problem | null> {
    const { value, problem } = await readOrSetAside(this.#disk, this.#path, (bytes) =>
      parseDocument(KIND, bytes),
    );
    this.#told = (value?.commits ?? []).map((one) => ({ ...one, asked: null }));
    return problem;
  }

  /** May be sent: all of it that has to be on the disk is there. */
  get told(): readonly ToldCommit[] {
    return this.#told;
  }

  /**
   * One step of all decisions.
   * @param sets that the components of the robot work on, or have confirmed
   * @param factsOf what is known now about such a set
   * @returns true when members have to receive it; why the disk refused a decision, else null
   */
  async step(
    sets: readonly RolloutSet[],
    factsOf: (set: RolloutSet) => SetFacts,
    now: MonoMs,
  ): Promise<{ readonly isNew: boolean; readonly problem: Problem | null }> {
    const before = this.#told;
    const next = this.#next(sets, factsOf, now);
    const kept = JSON.stringify(plain(next.filter(isKept)));
    if (kept !== JSON.stringify(plain(before.filter(isKept)))) {
      try {
        const text = `${JSON.stringify({ commits: plain(next.filter(isKept)) })}\n`;
        await writeWhole(this.#disk, this.#path, new TextEncoder().encode(text));
      } catch (thrown) {
        return { isNew: false, problem: toProblem(thrown) };
      }
    }
    this.#told = next;
    return { isNew: JSON.stringify(before) !== JSON.stringify(next), problem: null };
  }

  #next(
    sets: readonly RolloutSet[],
    factsOf: (set: RolloutSet) => SetFacts,
    now: MonoMs,
  ): ToldCommit[] {
    const next: ToldCommit[] = [];
    for (const known of this.#told) {
      const facts = factsOf(known.set);
      const openMs = now - (this.#openedMs.get(known.id) ?? now);
      const commit = decideCommit(known, { ...facts, ...this.#about(known.set), openMs }, '');
      if (commit) next.push(toldOf(commit, facts.components));
      if (commit?.decision === 'prepare') continue;
      this.#openedMs.delete(known.id);
      this.#noteLaggard(known, commit);
    }
    for (const set of sets) {
      if (next.length >= LIMITS.commitsMax) break;
      const isOpen = [...next, ...this.#told].some((one) => overlaps(one.set, set));
      const facts = factsOf(set);
      const id = randomBytes(ID_BYTES).toString('hex');
      const begun = isOpen
        ? null
        : decideCommit(null, { ...facts, ...this.#about(set), openMs: 0 }, id);
      if (begun === null) continue;
      this.#openedMs.set(id, now);
      next.push(toldOf(begun, facts.components));
    }
    return next;
  }

  #about(set: RolloutSet): Pick<CommitFacts, 'set' | 'laggard'> {
    return { set, laggard: this.#laggards.get(set.id) ?? null };
  }

  #noteLaggard(known: ToldCommit, commit: Commit | null): void {
    const wasAsked = commit === null && known.decision === 'prepare' && known.asked !== null;
    if (wasAsked && known.asked !== null) this.#laggards.set(known.set.id, known.asked);
    else this.#laggards.delete(known.set.id);
  }
}

const plain = (commits: readonly ToldCommit[]): Commit[] =>
  commits.map(({ id, set, components, decision }) => ({ id, set, components, decision }));

const toldOf = (commit: Commit, facts: readonly ComponentFact[]): ToldCommit => ({
  ...commit,
  asked: askedOf(commit, facts),
});

/** No component is bound by two decisions. */
const overlaps = (a: RolloutSet, b: RolloutSet): boolean =>
  isSameSet(a, b) ||
  a.members.some((one) => b.members.some((two) => two.component === one.component));
