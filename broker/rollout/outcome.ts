/**
 * Decides what a rollout has achieved on the robots that it targets: whether any runs the version,
 * whether those online are done with it, and in one sentence why none runs it. Sans-I/O.
 */

import { hasTurn } from '../../shared/rules/rollout-rules.ts';
import { isUnableCode } from '../../shared/rules/standstill.ts';
import { hasTakenIt, isUnable, type Member } from './classify.ts';

/** True when a robot runs the version, from whichever rollout, or went on from it. */
export const hasEffect = (members: readonly Member[]): boolean =>
  members.some((one) => hasTakenIt(one) || one.why === 'RUNS_IT');

/** Robots that are online and would take it, and cannot until a person fixes them. */
export const unableOf = (members: readonly Member[]): readonly Member[] =>
  members.filter((one) => one.online && isUnable(one));

/**
 * True when every robot that is online and whose turn has come runs the version, or has gone on to
 * a newer one from another rollout. A robot that is offline changes nothing: it would take a higher
 * version as well, and so would one that cannot take it before it is fixed. A robot that failed
 * matters: the gate decides then.
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
