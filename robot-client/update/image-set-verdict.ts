/**
 * The verdict about a component of a set whose member `image` is a system image. The boot loader
 * switches all members at one boot, so the order differs from that of other sets: the others stop
 * and switch nothing (`parked`), the image goes last, is confirmed first, and goes back first.
 * Sans-I/O.
 */

import type { MemberStep, SetVerdict, Steps } from './member-steps.ts';

const SURE: Steps = ['sure', 'done', 'had'];
const SOUND: Steps = ['well', ...SURE];
/** The image may boot: their links follow it. */
const PARKED: Steps = ['parked', 'trial', ...SOUND];
const STAGED: Steps = ['staged', 'switching', ...PARKED];
const CONFIRMED: Steps = ['done', 'had'];
const HOPELESS: Steps = ['missing', 'failed', 'undone_for_good', 'undoing', 'stuck'];
const FALLEN: Steps = [...HOPELESS, 'pending', 'undone'];
const TAKEN_BACK: Steps = ['undone', 'undone_for_good', 'undoing', 'stuck'];

/**
 * @param steps of all members, in the order in which they stop
 * @param at the member that asks
 * @param image the member that is the system image
 */
export function decideImageSet(steps: Steps, at: number, image: number): SetVerdict {
  const others = steps.filter((_, nth) => nth !== at);
  const some = (of: Steps): boolean => others.some((one) => of.includes(one));
  const all = (of: Steps): boolean => others.every((one) => of.includes(one));
  const isImage = at === image;
  // Its state was lost where the slot runs: what it brought is soon found, and on trial.
  const isUnfound = !isImage && steps[image] === 'pending';
  const hasFallen = steps.some(
    (one, nth) => nth !== at && !(isUnfound && nth === image) && FALLEN.includes(one),
  );
  switch (steps[at]) {
    case 'pending':
      return some(HOPELESS) ? 'back' : 'wait';
    case 'staged': {
      if (some(HOPELESS)) return 'back';
      const earlier = steps.filter((_, nth) => nth !== image && nth < at);
      const areStopped = isImage ? all(PARKED) : earlier.every((one) => PARKED.includes(one));
      return all(STAGED) && areStopped ? 'go' : 'wait';
    }
    case 'switching':
      // Another component ends its stop first; the image gives up before it boots, or after it.
      return isImage && some(FALLEN) ? 'back' : 'wait';
    case 'parked':
      return some(FALLEN) ? 'back' : 'wait';
    case 'trial':
      return hasFallen ? 'back' : 'wait';
    case 'well':
      if (hasFallen) return 'back';
      return all(SOUND) ? 'go' : 'wait';
    case 'sure': {
      if (hasFallen) return 'back';
      const isFirst = isImage || CONFIRMED.includes(steps[image] ?? 'missing');
      return all(SURE) && isFirst ? 'go' : 'wait';
    }
    case 'done':
      return some(TAKEN_BACK) ? 'back' : 'wait';
    default:
      return 'wait';
  }
}

/**
 * - `may`: the boot loader may get its order, since no other member runs or goes back
 * - `wait`: another one is about to stop
 * - `never`: another one goes back, or is lost
 */
export type MayBoot = 'may' | 'wait' | 'never';

export function mayBootImage(steps: Steps, image: number): MayBoot {
  const others = steps.filter((_, nth) => nth !== image);
  if (others.some((one) => FALLEN.includes(one))) return 'never';
  return others.every((one) => PARKED.includes(one)) ? 'may' : 'wait';
}

/** True when all are staged, so that each may be asked whether it is ready. */
export const mayAskReady = (steps: Steps, at: number): boolean =>
  steps.every((one, nth) => nth === at || STAGED.includes(one));

/**
 * True while the image may still be booted, or left, by this set: the release of another member
 * does not end its way back before.
 */
export const isImageAtWork = (step: MemberStep): boolean =>
  (['switching', 'trial', 'well', 'sure', 'done', 'undoing', 'stuck', 'unknown'] as Steps).includes(
    step,
  );

/** True for a member whose application may still run in a set that goes back. */
export const isStillUp = (step: MemberStep): boolean =>
  (['switching', 'trial', 'well', 'sure'] as Steps).includes(step);
