/**
 * Tells what a rollout has come to on the robots that it means: whether any runs it, whether those
 * that are on are done with it, and in one sentence why none runs it. Sans-I/O.
 */

import { hasTurn } from '../../shared/rules/rollout-rules.ts';
import { isUnableCode } from '../../shared/rules/standstill.ts';
import { hasTakenIt, isUnable, type Member } from './classify.ts';

/** Some robot runs the version, whichever rollout brought it, or went on from it. */
export const hasEffect = (members: readonly Member[]): boolean =>
  members.some((one) => hasTakenIt(one) || one.why === 'RUNS_IT');

/** Robots that are on and would take it, and cannot until a person has mended them. */
export const unableOf = (members: readonly Member[]): readonly Member[] =>
  members.filter((one) => one.online && isUnable(one));

/**
 * Every robot that is on and whose turn has come runs it, or has gone on to something newer from
 * another rollout that stands beside it. A robot that is away changes nothing: it would take a
 * higher version as well, and so would one that cannot take it before it is mended. One that failed
 * does: the gate has a say then.
 */
export function isSettled(members: readonly Member[], threshold: number): boolean {
  const turn = members.filter((one) => hasTurn(one, threshold));
  const isOpen = turn.some(
    ({ kind, online }) =>
      (kind === 'candidate' && online) ||
      kind === 'updating' ||
      kind === 'failed' ||
      kind === 'vanished',
  );
  const isDone = ({ why }: Member): boolean => why === 'NOT_NEWER' || isUnableCode(why);
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
export function tellWhyNot(members: readonly Member[]): string {
  const counts = new Map<string, number>();
  for (const { kind, why } of members) {
    if (kind === 'installed' || kind === 'went_on' || why === 'RUNS_IT') continue;
    const word = kind === 'excluded' ? (why ?? 'excluded') : WORDS[kind];
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const parts = [...counts].sort((a, b) => b[1] - a[1]).map(([word, count]) => `${count} ${word}`);
  return `no robot runs it: ${parts.length > 0 ? parts.join(', ') : 'it is for no robot'}`;
}
