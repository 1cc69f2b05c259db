/**
 * The newest progress of each rollout as the carrier holds it, from this controller or an earlier
 * one, with the keys that signed it. Sans-I/O.
 */

import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { proofOf } from '../../shared/formats/envelope.ts';
import { openProgress, type Progress } from '../../shared/formats/progress.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { assertTimely } from '../../shared/rules/freshness.ts';
import type { SignedProgress } from './new-keys.ts';

export class ToldProgress {
  readonly #newest = new Map<string, SignedProgress>();

  get(rollout: string): SignedProgress | undefined {
    return this.#newest.get(rollout);
  }

  /**
   * @param isAnnounced announced rollouts are never dropped for want of room
   * @throws DroverError ENVELOPE_*, PROGRESS_INVALID, FLEET_WRONG, ANNOUNCEMENT_AHEAD
   */
  take(
    payload: Uint8Array,
    at: { trust: TrustRoot; now: EpochMs; isAnnounced: (rollout: string) => boolean },
  ): Progress {
    const { trust, now, isAnnounced } = at;
    const progress = openProgress(payload, trust);
    assertTimely({ kind: 'progress', ...progress }, trust, now);
    const known = this.#newest.get(progress.rollout)?.progress;
    const { signers } = proofOf(payload, trust.roles.rollout);
    const isNews = !known || progress.seq >= known.seq;
    if (isNews) this.#newest.set(progress.rollout, { progress, signers });
    for (const id of this.#newest.keys()) {
      if (this.#newest.size > LIMITS.endedRunsMax && !isAnnounced(id)) this.#newest.delete(id);
    }
    return progress;
  }

  clear(): void {
    this.#newest.clear();
  }
}
