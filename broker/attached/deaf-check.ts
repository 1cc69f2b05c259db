/**
 * Notices an engine that acknowledges messages of QoS 1 and does not deliver them: NATS 2.9.10 may
 * come up like that after a restart. There the controller listens with QoS 0, so it hears the fleet
 * and leads on, while robots, which subscribe with QoS 1, hear nothing until they connect again. So
 * the lease is also subscribed to with QoS 1, on another connection, and has to come on both. Pure:
 * it is told what came where, and asked. Sans-I/O.
 */

import type { MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { bytesEqual } from '../../shared/crypto/bytes.ts';

export class DeafCheck {
  #isSubscribed = false;
  /** The last lease that came with QoS 1: it may come before its copy with QoS 0. */
  #delivered: Uint8Array | null = null;
  /** When the first lease came with QoS 0 after which none came with QoS 1. */
  #missingSinceMs: MonoMs | null = null;

  /** With QoS 1, on a new connection: what comes with QoS 0 from now on has to come with QoS 1. */
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

  /** A lease came, live: one that is handed out because it is retained says nothing of delivery. */
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
