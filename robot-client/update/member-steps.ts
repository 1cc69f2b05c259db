/** The steps of a component in a set, as the verdicts about sets see them. Sans-I/O. */

/**
 * How far a component of a set is:
 * - `missing`: this robot has no such component
 * - `unknown`: its root cannot be read now
 * - `pending`: it is not staged, and may be later
 * - `failed`: its bundle is blocked here, and it was not switched
 * - `undone`: it was switched and went back, and may be tried again
 * - `undone_for_good`: it was switched and went back, and is blocked
 * - `staged`: it may be switched
 * - `switching`
 * - `parked`: it is stopped, and a boot of the system image switches it
 * - `trial`: it is switched, and `health` was not good yet
 * - `well`: `health` was good
 * - `sure`: `health` was good again after all were switched
 * - `done`: it is confirmed
 * - `had`: it ran this release before the set
 * - `undoing`: it goes back
 * - `stuck`: it could not go back
 */
export const MEMBER_STEPS = [
  ...(['missing', 'unknown', 'pending', 'failed', 'undone', 'undone_for_good'] as const),
  ...([
    'staged',
    'switching',
    'parked',
    'trial',
    'well',
    'sure',
    'done',
    'had',
    'undoing',
    'stuck',
  ] as const),
] as const;
export type MemberStep = (typeof MEMBER_STEPS)[number];

/** - `back`: it is refused before it is switched, and goes back after that */
export type SetVerdict = 'wait' | 'go' | 'back';

export type Steps = readonly MemberStep[];

/** For people. */
export const STEP_WORDS: Readonly<Record<MemberStep, string>> = {
  missing: 'is not on this robot',
  unknown: 'cannot be read now',
  pending: 'is not staged',
  failed: 'is blocked here',
  undone: 'went back',
  undone_for_good: 'went back',
  staged: 'is staged',
  switching: 'is being switched',
  parked: 'is stopped',
  trial: 'is not healthy yet',
  well: 'is healthy',
  sure: 'is healthy',
  done: 'is confirmed',
  had: 'ran before',
  undoing: 'goes back',
  stuck: 'could not go back',
};
