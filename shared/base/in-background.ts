/**
 * Owner of promises that nothing waits for. A rejection without an owner ends a Node process, and a
 * broker that ends on one bad sector takes its whole site with it.
 * Sans-I/O.
 */

import { toProblem } from './errors.ts';
import type { Log } from './ports.ts';

/**
 * Logs the failure of a task that nothing waits for; never rejects, never throws.
 * @param what the task, as the log line names it: `answer want`
 */
export function inBackground(log: Log, what: string, task: Promise<unknown>): void {
  task.catch((error: unknown) => {
    log.error({ task: what, problem: toProblem(error) }, 'task in the background failed');
  });
}
