/** Names what a rollout controller is given: its keys, its memory, its clocks and the way to robots. */

import type { Signer } from '../../shared/crypto/signer.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Problem } from '../../shared/base/errors.ts';
import type { EpochMs, MonoMs } from '../../shared/base/ids.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import type { Fleet } from '../control/fleet.ts';
import type { LeaseTimes } from './lease.ts';
import type { Announcing } from './notify.ts';
import type { RolloutStore } from './store.ts';

export interface ControllerOptions extends Announcing {
  /** Of this process; a topic level. */
  readonly self: string;
  readonly trust: TrustRoot;
  /** Enough for the threshold of the rollout role. */
  readonly signers: readonly Signer[];
  readonly fleet: Fleet;
  readonly store: RolloutStore;
  /** A broker that was lost may have used terms up to this; ours begin above. */
  readonly termFloor?: number;
  /** True when another controller can lead on this carrier only if its lease is retained there. */
  readonly isAlone: boolean;
  readonly times: ControllerTimes;
  /** Other keys sign for the role: `signers` may have to be others as well. */
  readonly onNewKeys?: () => Promise<void>;
  /** Why it cannot sign under the root in force; null when it can. */
  readonly keysProblem?: () => Problem | null;
  now(): EpochMs;
  mono(): MonoMs;
  /** Retained, QoS 1; resolves when the broker has it. */
  publish(topic: string, payload: Uint8Array): Promise<void>;
}

export interface ControllerTimes extends LeaseTimes {
  readonly intervalMs: number;
  /** After the start, before the first wave of a new rollout opens: robots have to be known first. */
  readonly startMs: number;
}

export const DEFAULT_TIMES: ControllerTimes = {
  intervalMs: LIMITS.reconcileIntervalMs,
  startMs: LIMITS.controllerStartMs,
  leaseMs: LIMITS.leaseMs,
  settleMs: LIMITS.leaseSettleMs,
};
