/**
 * Decides who is online: which robots, by the retained messages of robots and relays, and which
 * controller leads the rollouts of a broker. The broker, the controller, `drover fleet` and a dry
 * run of `drover rollout` all apply it. Sans-I/O.
 */

import { DroverError } from '../base/errors.ts';
import type { OnlineMessage } from '../formats/messages.ts';

/**
 * A relay's report about its robots holds only while the relay itself is online: when it goes, no
 * message says that they went. [P-8.9]
 * @param relays those that are online
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
