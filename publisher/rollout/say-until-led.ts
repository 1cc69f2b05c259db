/**
 * Sends a command to a controller that may have just started: it is repeated, within a bound, until
 * the rollout is led, and the operator sees what it waits for. Every command may be repeated.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { ApiClient } from './api-client.ts';

/** @throws DroverError as the API, and NOT_LED_YET when nothing leads within `commandWaitMs` */
export async function sayUntilLed(
  api: Pick<ApiClient, 'post'>,
  path: string,
  body: object,
  say: (line: string) => void = (line) => void process.stderr.write(`${line}\n`),
): Promise<Uint8Array> {
  const untilMs = performance.now() + LIMITS.commandWaitMs;
  for (let hasSaid = false; ; hasSaid = true) {
    try {
      return await api.post(path, body);
    } catch (error) {
      if (!isTooEarly(error) || performance.now() > untilMs) throw error;
      const most = LIMITS.commandWaitMs / 1000;
      if (!hasSaid) say(`${toProblem(error).message}; said again for at most ${most} s`);
    }
    await sleep(LIMITS.commandRetryMs);
  }
}

const isTooEarly = (error: unknown): boolean =>
  error instanceof DroverError && error.code === 'NOT_LED_YET';
