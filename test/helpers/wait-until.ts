/**
 * Waits for something to become true in the world outside. The time-out is a bound on a failing
 * test, never an expectation: a passing one ends as soon as the thing is true.
 */

import { setTimeout as sleep } from 'node:timers/promises';

/** The first pause between two looks; each is longer than the one before it, up to the last. */
const POLL_MS = 20;
const POLL_MS_MAX = 200;
const POLL_GROWTH = 1.25;
/** A look that starts a program costs a second: no more than a part of the time goes into looking. */
const PAUSE_PER_LOOK = 3;
const LOOK_PAUSE_MS_MAX = 3_000;
const TIMEOUT_MS_DEFAULT = 15_000;
/** Time-outs are as for a machine of one's own; in CI two cores are shared by several files. */
const PATIENCE = process.env['CI'] === 'true' ? 4 : 1;

/**
 * @param what completes "waited for …" in the failure: `robot r1 to report 1.1.0`
 * @param predicate a value that is neither false, null nor undefined ends the wait and is returned
 * @throws Error after `timeoutMs`, four times that in CI, with the last value or error seen and
 *   `look()` when it is given
 */
export async function waitUntil<T>(
  what: string,
  predicate: () => T | Promise<T>,
  options: { timeoutMs?: number; look?: () => string } = {},
): Promise<Exclude<T, false | null | undefined>> {
  const { look } = options;
  const timeoutMs = (options.timeoutMs ?? TIMEOUT_MS_DEFAULT) * PATIENCE;
  const deadline = performance.now() + timeoutMs;
  let pauseMs = POLL_MS;
  for (;;) {
    const lookedAt = performance.now();
    let seen: string;
    let cause: unknown;
    try {
      const value = await predicate();
      if (value !== false && value !== null && value !== undefined) {
        return value as Exclude<T, false | null | undefined>;
      }
      seen = `last seen: ${String(value)}`;
    } catch (error) {
      // An error often means not yet (a file, a port); the last one is shown at the end.
      cause = error;
      seen = `last error: ${error instanceof Error ? error.message : String(error)}`;
    }
    const now = performance.now();
    if (now > deadline) {
      const around = look ? `\n${look()}` : '';
      throw new Error(`waited ${timeoutMs} ms for ${what}; ${seen}${around}`, { cause });
    }
    await sleep(Math.max(pauseMs, Math.min((now - lookedAt) * PAUSE_PER_LOOK, LOOK_PAUSE_MS_MAX)));
    pauseMs = Math.min(pauseMs * POLL_GROWTH, POLL_MS_MAX);
  }
}
