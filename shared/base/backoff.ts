/**
 * Waits between attempts. Full jitter, so that a fleet that lost its broker does not return as one.
 * Sans-I/O.
 */

import { LIMITS } from './limits.ts';

export interface BackoffBounds {
  readonly minMs: number;
  readonly maxMs: number;
}

/** Factor of the first wait's spread: a fleet loses its broker at one instant. */
const FIRST_SPREAD = 2;

/**
 * Decides when to connect again. A fleet loses its broker at one instant, so the first wait is
 * already spread wide. The waits start again only after a connection that delivered something: a
 * broker that accepts connections and drops them has too many.
 * @param unserved connections in a row that delivered nothing; 0 after a useful one
 * @param random uniform in [0, 1)
 * @returns milliseconds in [minMs, min(maxMs, 8 minMs * 2^unserved))
 */
export function reconnectMs(unserved: number, bounds: BackoffBounds, random: number): number {
  return backoffMs(unserved + FIRST_SPREAD, bounds, random);
}

/**
 * The number of connections that count as unserved for the next wait. One or two that ended soon
 * mean a broker that restarts; more may mean a robot with the same id. Until there are enough to
 * decide, the wait stays short: twins that wait for each other would take the long links between
 * for good ones.
 * @param link.unserved connections in a row that delivered nothing
 * @param link.endings see `countEndings`
 */
export function waitsOf({ unserved, endings }: { unserved: number; endings: number }): number {
  const { endingsOfTwins: enough } = LIMITS;
  if (endings > 0 && endings < enough) return 0;
  return Math.max(unserved, endings >= enough ? endings - enough + 2 : 0);
}

/**
 * @param attempt 0 for the first wait
 * @param random uniform in [0, 1)
 * @returns milliseconds in [minMs, min(maxMs, minMs * 2^(attempt+1)))
 */
export function backoffMs(attempt: number, bounds: BackoffBounds, random: number): number {
  const ceiling = Math.min(bounds.maxMs, bounds.minMs * 2 ** Math.min(attempt + 1, 30));
  return Math.floor(bounds.minMs + random * (ceiling - bounds.minMs));
}

/**
 * Counts connections in a row that the peer ended soon after they were up. A broker ends one when
 * another client connects with its id: two robots with one id would do that to each other many
 * times a minute. From the first one on, only a connection that lasted long resets the count: the
 * other robot may notice first, and waits longer from then on.
 * @param endings of the connections before
 * @param livedMs how long this one was up
 * @param unserved see `waitsOf`: a twin that receives as little waits as long as this one does
 */
export function countEndings(endings: number, livedMs: number, unserved = 0): number {
  const bounds = { minMs: LIMITS.reconnectMsMin, maxMs: LIMITS.reconnectMsMax };
  const soonMs = unserved > 0 ? reconnectMs(unserved + 1, bounds, 1) : LIMITS.endedSoonMs;
  if (livedMs < soonMs) return endings + 1;
  return endings > 0 && livedMs < LIMITS.endedLateMs ? endings + 1 : 0;
}
