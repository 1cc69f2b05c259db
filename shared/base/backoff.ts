/**
 * Waits between attempts. Full jitter, so that a fleet that lost its broker does not return as one.
 * Sans-I/O.
 */

import { LIMITS } from './limits.ts';

export interface BackoffBounds {
  readonly minMs: number;
  readonly maxMs: number;
}

/** Doublings that the first wait begins with: a fleet that lost its broker at one instant. */
const FIRST_SPREAD = 2;

/**
 * When to connect again. A fleet loses its broker at one instant, so already the first wait is
 * spread wide. It begins anew only after a connection over which something came: a broker that
 * takes connections and drops them is one that has too many.
 * @param unserved connections in a row over which nothing came, 0 after one that was of use
 * @param random uniform in [0, 1)
 * @returns milliseconds in [minMs, min(maxMs, 8 minMs * 2^unserved))
 */
export function reconnectMs(unserved: number, bounds: BackoffBounds, random: number): number {
  return backoffMs(unserved + FIRST_SPREAD, bounds, random);
}

/**
 * How many connections count as unserved for the next wait. One or two that ended soon are a broker
 * that restarts; more may be a robot with the same id. Until there are enough to tell, the wait
 * stays short: twins that wait for each other would take the long links between for good ones.
 * @param link.unserved connections in a row over which nothing came
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
 * Connections in a row that the peer ended soon after they were up. A broker ends one when another
 * client comes with its id: two robots with one id would do that to each other many times a minute.
 * From the first one on, only a connection that lasted long begins at zero: the other robot may be
 * the first to find out, and waits longer from then on.
 * @param endings of the connections before
 * @param livedMs how long this one was up
 * @param unserved see `waitsOf`: a twin that hears as little waits as long as this one does
 */
export function countEndings(endings: number, livedMs: number, unserved = 0): number {
  const bounds = { minMs: LIMITS.reconnectMsMin, maxMs: LIMITS.reconnectMsMax };
  const soonMs = unserved > 0 ? reconnectMs(unserved + 1, bounds, 1) : LIMITS.endedSoonMs;
  if (livedMs < soonMs) return endings + 1;
  return endings > 0 && livedMs < LIMITS.endedLateMs ? endings + 1 : 0;
}
