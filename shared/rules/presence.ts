/**
 * Says which robots are there, by what is retained of robots and relays: the broker shows it, the
 * controller counts by it, `drover fleet` lists it. Sans-I/O.
 */

import type { OnlineMessage } from '../formats/messages.ts';

/**
 * The word of a relay about its robots holds for as long as it is there itself: when it goes, nobody
 * would say that they went. [P-8.9]
 * @param relays those that are there
 */
export const isThere = (
  { online, via }: Pick<OnlineMessage, 'online' | 'via'>,
  relays: { has(relay: string): boolean },
): boolean => online && (via === null || via === undefined || relays.has(via));
