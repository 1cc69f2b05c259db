/**
 * Limits the messages per second of each robot's credential, over all its connections: one that
 * sends without end (stolen, or in a loop) would keep the broker from everybody else. A message
 * beyond its share waits, and Aedes reads nothing more from its connection meanwhile, so the sender
 * waits as well. Nothing is refused or lost, and the order of a connection stays.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { SeldomLog } from '../../shared/base/seldom-log.ts';
import type { Identity } from '../access/access.ts';

const SPAN_MS = 1_000 / LIMITS.robotMessagesPerSecondMax;
const BURST_MS = SPAN_MS * LIMITS.robotMessagesBurst;

export class MessagePace {
  readonly #seldom: SeldomLog;
  /** By user: when all of its messages have had their time. The longest untouched first. */
  readonly #spentAtMs = new Map<string, MonoMs>();

  constructor(seldom: SeldomLog) {
    this.#seldom = seldom;
  }

  /** Resolves when the next message of this user may be handled. Never rejects. */
  async takeTurn(identity: Identity | undefined, client: string): Promise<void> {
    const waitMs = this.waitMs(identity, performance.now());
    if (waitMs === 0) return;
    const facts = { client, want: `at most ${LIMITS.robotMessagesPerSecondMax} a second` };
    this.#seldom.warn(`pace ${client}`, facts, 'too many messages of one robot: they wait');
    await sleep(waitMs, undefined, { ref: false });
  }

  /**
   * Counts one message. @returns the milliseconds that it waits; 0 for most, and for everybody who
   * is no robot: a relay or a publisher carries what others made
   */
  waitMs(identity: Identity | undefined, now: MonoMs): number {
    if (identity?.kind !== 'user' || identity.role !== 'robot') return 0;
    const { username } = identity;
    const spentAt = Math.max(this.#spentAtMs.get(username) ?? -Infinity, now - BURST_MS) + SPAN_MS;
    this.#spentAtMs.delete(username);
    this.#spentAtMs.set(username, spentAt);
    this.#forget(now);
    return Math.max(0, spentAt - now);
  }

  /** Users whose share is whole again. */
  #forget(now: MonoMs): void {
    for (const [username, spentAt] of this.#spentAtMs) {
      if (spentAt > now - BURST_MS) return;
      this.#spentAtMs.delete(username);
    }
  }
}
