/**
 * Says who is there: which robots, by what is retained of robots and relays, and who leads the
 * rollouts that a broker shows. The broker answers so, the controller counts by it, `drover fleet`
 * lists it, and a dry run of `drover rollout` foretells by it that nobody is there. Sans-I/O.
 */

import { DroverError } from '../base/errors.ts';
import type { OnlineMessage } from '../formats/messages.ts';

/**
 * The word of a relay about its robots holds for as long as it is there itself: when it goes,
 * nobody would say that they went. [P-8.9]
 * @param relays those that are there
 */
export const isThere = (
  { online, via }: Pick<OnlineMessage, 'online' | 'via'>,
  relays: { has(relay: string): boolean },
): boolean => online && (via === null || via === undefined || relays.has(via));

/** `above`: this is a relay, which leads none. */
export type Led = 'here' | 'above' | 'nobody';

export const isUnled = (led: string | null): led is Exclude<Led, 'here'> =>
  led === 'above' || led === 'nobody';

export function noController(what: string, led: Exclude<Led, 'here'>): DroverError {
  if (led === 'nobody') return new DroverError('NO_CONTROLLER', `${what}: this broker leads none`);
  return new DroverError('NO_CONTROLLER', `${what}: a relay leads none, the broker above may`, {
    hint: 'say it to the broker above, for all of its sites: the same command with --api URL of that broker',
  });
}
