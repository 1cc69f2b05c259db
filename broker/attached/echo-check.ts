/**
 * Notices a topic that an engine's access list forbids. MQTT 3.1.1 has no refusal of a message, and
 * mosquitto acknowledges what it drops; but what we publish on a topic that we also read has to
 * come back. Pure: it is told what was acknowledged and what was heard, and asked who is late.
 * Sans-I/O.
 */

import type { MonoMs } from '../../shared/base/ids.ts';
import { bytesEqual } from '../../shared/crypto/bytes.ts';
import { LIMITS } from '../../shared/base/limits.ts';

export class EchoWatch {
  /** One for each topic: a later word replaces an earlier one, as it does on the engine. */
  readonly #expected = new Map<string, { payload: Uint8Array; sinceMs: MonoMs }>();

  /** Call before it is sent: an echo may be faster than the acknowledgement. */
  sending(topic: string, payload: Uint8Array, now: MonoMs): void {
    const first = this.#expected.get(topic)?.sinceMs;
    this.#expected.set(topic, { payload: payload.slice(), sinceMs: first ?? now });
  }

  /** It was never sent, or the link is new: nothing has to come back. */
  forget(topic: string): void {
    this.#expected.delete(topic);
  }

  clear(): void {
    this.#expected.clear();
  }

  /** It is the last word there, and is waited for. */
  isExpected(topic: string, payload: Uint8Array): boolean {
    const expected = this.#expected.get(topic);
    return expected !== undefined && bytesEqual(expected.payload, payload);
  }

  /** @returns true when it was waited for */
  heard(topic: string, payload: Uint8Array): boolean {
    return this.isExpected(topic, payload) && this.#expected.delete(topic);
  }

  /** Topics whose word should have come back by now. */
  late(now: MonoMs): string[] {
    return [...this.#expected]
      .filter(([, { sinceMs }]) => now - sinceMs >= LIMITS.echoMsMax)
      .map(([topic]) => topic);
  }
}
