/**
 * Notices a topic that the access list of an engine forbids. MQTT 3.1.1 cannot refuse a message,
 * and mosquitto acknowledges the messages that it drops; but a message that we publish on a topic
 * that we also subscribe to has to come back. This class records what was published and what
 * arrived, and says which topics are late. Sans-I/O.
 */

import type { MonoMs } from '../../shared/base/ids.ts';
import { bytesEqual } from '../../shared/crypto/bytes.ts';
import { LIMITS } from '../../shared/base/limits.ts';

export class EchoCheck {
  /** One entry for each topic: a later message replaces an earlier one, as on the engine. */
  readonly #expected = new Map<string, { payload: Uint8Array; sinceMs: MonoMs }>();

  /** Call before publishing: an echo may be faster than the acknowledgement. */
  sending(topic: string, payload: Uint8Array, now: MonoMs): void {
    const first = this.#expected.get(topic)?.sinceMs;
    this.#expected.set(topic, { payload: payload.slice(), sinceMs: first ?? now });
  }

  /** Call when the message was not sent: no echo is expected then. */
  forget(topic: string): void {
    this.#expected.delete(topic);
  }

  clear(): void {
    this.#expected.clear();
  }

  /** True when this is the latest message on the topic and its echo has not arrived yet. */
  isExpected(topic: string, payload: Uint8Array): boolean {
    const expected = this.#expected.get(topic);
    return expected !== undefined && bytesEqual(expected.payload, payload);
  }

  /** @returns true when this echo was expected */
  heard(topic: string, payload: Uint8Array): boolean {
    return this.isExpected(topic, payload) && this.#expected.delete(topic);
  }

  /** Topics whose echo is late. */
  late(now: MonoMs): string[] {
    return [...this.#expected]
      .filter(([, { sinceMs }]) => now - sinceMs >= LIMITS.echoMsMax)
      .map(([topic]) => topic);
  }
}
