/**
 * Moves a broker's trust root along the updates that it carries: at a start along those that it
 * retains, later with each one that it takes. What it carries of rollouts is judged by the newest.
 */

import { toProblem } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/ports.ts';
import { trustTopic } from '../../shared/formats/topics.ts';
import { openTrustUpdate, type LiveTrust } from '../../shared/formats/trust-chain.ts';
import type { ControlStore } from './control-store.ts';

/** From the root of the file that the broker was given to the newest one that it retains. */
export function walkTrust(trust: LiveTrust, control: ControlStore, log: Log): void {
  for (;;) {
    const update = control.get(trustTopic(trust.version + 1));
    if (!update) return;
    try {
      trust.moveTo(openTrustUpdate(update.payload, trust));
    } catch (error) {
      const problem = toProblem(error);
      log.error({ topic: update.topic, problem }, 'retained trust update does not hold');
      return;
    }
    log.info({ version: trust.version }, 'trust root taken from what is retained');
  }
}
