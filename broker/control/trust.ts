/**
 * Moves a broker's trust root along the updates that it carries: at a start along those that it
 * retains, later with each one that it takes. What it carries of rollouts is judged by the newest.
 */

import { toProblem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
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

/**
 * Trust updates that came before the one that they follow, since retained messages come in any
 * order. Nothing of them is verified yet, so there are few: the longest unneeded makes room.
 */
export class LaterTrusts {
  readonly #kept = new Map<number, Uint8Array>();

  keep(version: number, update: Uint8Array): void {
    this.#kept.delete(version);
    this.#kept.set(version, update);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > LIMITS.trustUpdatesAheadMax && oldest !== undefined) {
      this.#kept.delete(oldest);
    }
  }

  /** Hands it out once; null when it has not come. */
  take(version: number): Uint8Array | null {
    const update = this.#kept.get(version) ?? null;
    this.#kept.delete(version);
    return update;
  }
}
