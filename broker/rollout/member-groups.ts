/**
 * Counts the members of one rollout by what the decisions about it ask of them: the questions then
 * cost as much as there are classes, which are some dozens. Sans-I/O.
 */

import type { RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { hasTurn } from '../../shared/rules/rollout-rules.ts';
import { isUnable, type Member, type MemberClass } from './classify.ts';
import { countNewcomers, isInTurn, isNamed, type WaveRange } from './counters.ts';
import type { Attempts } from './gate-types.ts';

/** A member: its place, and the class that it shares with others. */
export interface Entry {
  readonly robot: RobotId;
  readonly fraction: number;
  /** Its `fraction` stands for no robot. */
  readonly one: MemberClass;
}

export type NamedMember = MemberClass & Pick<Member, 'robot'>;

interface Counts {
  turn: number;
  later: number;
}

export class MemberGroups {
  readonly #entries = new Map<RobotId, Entry>();
  readonly #classes = new Map<string, MemberClass>();
  /** By class, for `#threshold`. */
  #counts = new Map<MemberClass, Counts>();
  #threshold = 0;
  /** Of the wave that was asked for last. */
  #newcomers = { reachable: 0, installed: 0, previous: 0, threshold: 0 };
  /** Members that a sentence may name: they failed, vanished, or cannot take the version. */
  readonly #named = new Set<Entry>();
  #someNamed: { key: string; members: NamedMember[] } | null = null;

  get size(): number {
    return this.#entries.size;
  }

  get(robot: RobotId): Entry | undefined {
    return this.#entries.get(robot);
  }

  entries(): Iterable<Entry> {
    return this.#entries.values();
  }

  /** @returns the entry that was there when nothing about it changed */
  put(member: Member): Entry {
    const before = this.#entries.get(member.robot);
    const one = this.#classOf(member);
    if (before && before.one === one && before.fraction === member.fraction) return before;
    if (before) this.#count(before, -1);
    const entry = { robot: member.robot, fraction: member.fraction, one };
    this.#entries.set(member.robot, entry);
    this.#count(entry, 1);
    return entry;
  }

  delete(robot: RobotId): void {
    const before = this.#entries.get(robot);
    if (!before) return;
    this.#count(before, -1);
    this.#entries.delete(robot);
  }

  /** Each class that is there, before and after the threshold, and how many are in it. */
  at(threshold: number): (readonly [MemberClass, number])[] {
    if (threshold !== this.#threshold) {
      this.#threshold = threshold;
      this.#counts = countAll(this.#entries.values(), threshold);
    }
    return [...this.#counts].flatMap(([one, { turn, later }]) => [
      ...(turn > 0 ? [[{ ...one, fraction: 0 }, turn] as const] : []),
      ...(later > 0 ? [[{ ...one, fraction: 1 }, later] as const] : []),
    ]);
  }

  /** @see Attempts.newcomers */
  newcomers({ previous, threshold }: WaveRange): Attempts['newcomers'] {
    const known = this.#newcomers;
    if (known.previous !== previous || known.threshold !== threshold) {
      const counted = countNewcomers(this.list(), { previous, threshold });
      this.#newcomers = { ...counted, previous, threshold };
    }
    const { reachable, installed } = this.#newcomers;
    return { reachable, installed };
  }

  /** The first members, in the order of the robots, that a reason names; see `nameSome`. */
  named(threshold: number, since: number | null): readonly NamedMember[] {
    const key = `${threshold} ${since}`;
    if (this.#someNamed?.key !== key) {
      const turn = this.listNamed().filter((one) => isInTurn(one, threshold, since));
      const members = [
        ...firstOf(turn.filter(isUnable)),
        ...firstOf(turn.filter((one) => !isUnable(one))),
      ];
      this.#someNamed = { key, members };
    }
    return this.#someNamed.members;
  }

  /** All that a reason may name, in no order. */
  listNamed(): NamedMember[] {
    return [...this.#named].map(memberIn);
  }

  /** All, in no order. */
  *list(): Generator<NamedMember> {
    for (const entry of this.#entries.values()) yield memberIn(entry);
  }

  /** @param member the same robot as a list has it; null when it is no member */
  isAs(robot: RobotId, member: Member | null): boolean {
    const entry = this.#entries.get(robot);
    if (!entry || !member) return entry === undefined && member === null;
    return entry.one === this.#classOf(member) && entry.fraction === member.fraction;
  }

  isWhole(): boolean {
    const counts = countAll(this.#entries.values(), this.#threshold);
    const isSame = ([one, { turn, later }]: [MemberClass, Counts]): boolean => {
      const kept = this.#counts.get(one);
      return (kept?.turn ?? 0) === turn && (kept?.later ?? 0) === later;
    };
    const members = [...counts.values()].reduce((sum, { turn, later }) => sum + turn + later, 0);
    const kept = [...this.#counts.values()].reduce((sum, { turn, later }) => sum + turn + later, 0);
    const { reachable, installed } = countNewcomers(this.list(), this.#newcomers);
    const { reachable: knownReachable, installed: knownInstalled } = this.#newcomers;
    const isSameWave = reachable === knownReachable && installed === knownInstalled;
    return [...counts].every(isSame) && members === kept && isSameWave;
  }

  #classOf({ kind, why, online, isCanary, isComing }: Member): MemberClass {
    const key = `${kind} ${why} ${online} ${isCanary} ${isComing}`;
    const known = this.#classes.get(key);
    if (known) return known;
    const one = { kind, why, online, isCanary, isComing, fraction: 0 };
    this.#classes.set(key, one);
    return one;
  }

  #count(entry: Entry, by: 1 | -1): void {
    add(this.#counts, entry, by, this.#threshold);
    const wave = this.#newcomers;
    const { reachable, installed } = countNewcomers([memberIn(entry)], wave);
    wave.reachable += by * reachable;
    wave.installed += by * installed;
    if (!isNamed(entry.one)) return;
    if (by === 1) this.#named.add(entry);
    else this.#named.delete(entry);
    this.#someNamed = null;
  }
}

function countAll(entries: Iterable<Entry>, threshold: number): Map<MemberClass, Counts> {
  const counts = new Map<MemberClass, Counts>();
  for (const entry of entries) add(counts, entry, 1, threshold);
  return counts;
}

function add(
  counts: Map<MemberClass, Counts>,
  { one, fraction }: Entry,
  ...[by, threshold]: [by: number, threshold: number]
): void {
  const known = counts.get(one);
  const group = known ?? { turn: 0, later: 0 };
  if (!known) counts.set(one, group);
  const isTurn = hasTurn({ isCanary: one.isCanary, fraction }, threshold);
  if (isTurn) group.turn += by;
  else group.later += by;
}

const memberIn = ({ robot, fraction, one }: Entry): NamedMember => ({ ...one, fraction, robot });

/** The `examplesMax` that come first, without sorting them all. */
function firstOf(members: readonly NamedMember[]): NamedMember[] {
  const first: NamedMember[] = [];
  for (const one of members) {
    const last = first[LIMITS.examplesMax - 1];
    if (last && last.robot < one.robot) continue;
    first.push(one);
    first.sort((a, b) => (a.robot < b.robot ? -1 : 1));
    first.length = Math.min(first.length, LIMITS.examplesMax);
  }
  return first;
}
