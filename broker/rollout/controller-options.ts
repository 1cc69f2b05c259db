/** Options of a rollout controller: its keys, its store, its clocks and its link to the robots. */

import type { Signer } from '../../shared/crypto/ed25519.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Problem } from '../../shared/base/errors.ts';
import type { EpochMs, MonoMs } from '../../shared/base/ids.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import type { Fleet } from '../control/fleet.ts';
import type { LeaseTimes } from './lease.ts';
import type { Announcing } from './notify.ts';
import type { RolloutStore } from './store.ts';

export interface ControllerOptions extends Announcing {
  /** Name of this process; one topic level. */
  readonly self: string;
  readonly trust: TrustRoot;
  /** Enough of them for the threshold of the rollout role. */
  readonly signers: readonly Signer[];
  readonly fleet: Fleet;
  readonly store: RolloutStore;
  /** Makes every pass twice, by the index and in full, and calls this where they differ. */
  readonly onDifference?: (text: string) => void;
  /** A broker that was lost may have used terms up to this; ours are above. */
  readonly termFloor?: number;
  /** True when no other controller can lead on this carrier without a retained lease there. */
  readonly isAlone: boolean;
  /** True for a user who may approve now; left out where the broker knows no users. */
  readonly mayApprove?: (user: string) => boolean;
  /** True while a user of this broker has an approval key. */
  readonly hasApprovalKeys?: () => boolean;
  /** Abilities that its lease names, for publishers. */
  readonly caps?: readonly string[];
  readonly times: ControllerTimes;
  /** The rollout role has other keys: `signers` may have to change as well. */
  readonly onNewKeys?: () => Promise<void>;
  /** Why it cannot sign under the current root; null when it can. */
  readonly keysProblem?: () => Problem | null;
  now(): EpochMs;
  mono(): MonoMs;
  /** Publishes retained with QoS 1; resolves when the broker has it. */
  publish(topic: string, payload: Uint8Array): Promise<void>;
}

export interface ControllerTimes extends LeaseTimes {
  readonly intervalMs: number;
  /**
   * Time after the start before the first wave of a new rollout opens: robots must report first.
   */
  readonly startMs: number;
}

export const DEFAULT_TIMES: ControllerTimes = {
  intervalMs: LIMITS.reconcileIntervalMs,
  startMs: LIMITS.controllerStartMs,
  leaseMs: LIMITS.leaseMs,
  settleMs: LIMITS.leaseSettleMs,
};
