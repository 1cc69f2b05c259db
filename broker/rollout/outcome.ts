/**
 * Decides what a rollout has achieved on the robots that it targets: whether any runs the version,
 * whether those online are done with it, and in one sentence why none runs it. Sans-I/O.
 */

import { hasTurn } from '../../shared/rules/rollout-rules.ts';
import { isUnableCode } from '../../shared/rules/standstill.ts';
import { hasTakenIt, isUnable, type Member, type MemberClass } from './classify.ts';

/** True when a robot runs the version, from whichever rollout, or went on from it. */
export const hasEffect = (members: readonly MemberClass[]): boolean =>
  members.some((one) => hasTakenIt(one) || one.why === 'RUNS_IT');

/** The robot is online and would take it, and cannot until a person fixes it. */
export const needsMending = (one: Pick<MemberClass, 'online' | 'why'>): boolean =>
  one.online && isUnable(one);

/**
 * True when every robot that is online and whose turn has come runs the version, or has gone on to
 * a newer one from another rollout. A robot that is offline changes nothing: it would take a higher
 * version as well, and so would one that cannot take it before it is fixed. A robot that failed
 * matters: the gate decides then.
 */
export function isSettled(members: readonly MemberClass[], threshold: number): boolean {
  const turn = members.filter((one) => hasTurn(one, threshold));
  const isOpen = turn.some(
    ({ kind, online }) =>
      (kind === 'candidate' && online) ||
      kind === 'updating' ||
      kind === 'failed' ||
      kind === 'vanished',
  );
  const isDone = ({ why }: MemberClass): boolean => why === 'NOT_NEWER' || isUnableCode(why);
  return !isOpen && (hasEffect(turn) || turn.some(isDone));
}

const WORDS = {
  candidate: 'have not begun',
  updating: 'are updating',
  vanished: 'vanished in mid-update',
  failed: 'failed',
  recalled: 'went back',
} as const;

/** `no robot runs it: 25 NOT_NEWER, 3 ARCH_WRONG, 1 failed`. */
export function tellWhyNot(members: Iterable<Pick<Member, 'robot' | 'kind' | 'why'>>): string {
  const counts = new Map<string, { count: number; first: string }>();
  for (const { robot, kind, why } of members) {
    if (kind === 'installed' || kind === 'went_on' || why === 'RUNS_IT') continue;
    const word = kind === 'excluded' ? (why ?? 'excluded') : WORDS[kind];
    const known = counts.get(word);
    const first = known && known.first < robot ? known.first : robot;
    counts.set(word, { count: (known?.count ?? 0) + 1, first });
  }
  // Of two that are as many, the one whose first robot comes first.
  const ordered = [...counts].sort(
    ([, a], [, b]) => b.count - a.count || (a.first < b.first ? -1 : 1),
  );
  const parts = ordered.map(([word, { count }]) => `${count} ${word}`);
  return `no robot runs it: ${parts.length > 0 ? parts.join(', ') : 'it is for no robot'}`;
}
