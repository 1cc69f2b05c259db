/**
 * Notices an engine that acknowledges messages of QoS 1 and does not deliver them: NATS 2.9.10 may
 * start in that state after a restart. The controller subscribes there with QoS 0, so it still
 * receives the reports of the fleet and leads on. Robots subscribe with QoS 1, so they receive
 * nothing until they connect again. Therefore this broker also subscribes to the lease with QoS 1,
 * on another connection, and the lease has to arrive on both. The class records what arrived where.
 * Sans-I/O.
 */

import type { MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { bytesEqual } from '../../shared/crypto/bytes.ts';

export class DeafCheck {
  #isSubscribed = false;
  /** The last lease that arrived with QoS 1. It may arrive before its copy with QoS 0. */
  #delivered: Uint8Array | null = null;
  /** Time at which a lease arrived with QoS 0 and none has arrived with QoS 1 since. */
  #missingSinceMs: MonoMs | null = null;

  /**
   * Call after a subscription with QoS 1 on a new connection. Each lease that arrives with QoS 0
   * from now on has to arrive with QoS 1 too.
   */
  subscribed(): void {
    this.ended();
    this.#isSubscribed = true;
  }

  /** The connection of the subscription with QoS 1 was lost. */
  ended(): void {
    this.#isSubscribed = false;
    this.#delivered = null;
    this.#missingSinceMs = null;
  }

  /**
   * Records a live lease. A retained copy that the engine sends on subscribing proves no delivery.
   */
  heard(qos: 0 | 1, lease: Uint8Array, now: MonoMs): void {
    if (qos === 1) this.#delivered = lease.slice();
    const isOnBoth = this.#delivered !== null && bytesEqual(lease, this.#delivered);
    if (isOnBoth) this.#missingSinceMs = null;
    else if (this.#isSubscribed) this.#missingSinceMs ??= now;
  }

  isDeaf(now: MonoMs): boolean {
    return this.#missingSinceMs !== null && now - this.#missingSinceMs >= LIMITS.echoMsMax;
  }
}
