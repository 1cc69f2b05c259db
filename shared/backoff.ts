/** Waits between attempts. Full jitter, so that a fleet that lost its broker does not return as one. */

export interface BackoffBounds {
  readonly minMs: number;
  readonly maxMs: number;
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
