/** Tells the log at the start, and once a day, what expires soon or has expired. */

import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { ExpiryView } from './expiry.ts';

/** @returns what ends it */
export function watchExpiry(view: () => ExpiryView, log: Log): () => Promise<void> {
  const tell = (): void => {
    for (const problem of view().problems) {
      const isOver = problem.code.endsWith('_EXPIRED');
      log[isOver ? 'error' : 'warn']({ problem }, problem.message);
    }
  };
  tell();
  const timer = setInterval(tell, LIMITS.expiryTellMs);
  timer.unref();
  return async () => clearInterval(timer);
}
