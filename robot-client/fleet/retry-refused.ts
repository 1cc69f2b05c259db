/**
 * Keeps documents that were refused for a reason that may pass, such as a wrong clock or a full
 * disk, and tries them again. A carrier delivers a retained message once for each subscription, so
 * otherwise a robot with a corrected clock would wait for the next announcement or the next boot.
 * The bytes are kept unchanged and go through every check again. Only the newest of each topic is
 * kept, and only in memory: after a start the carrier delivers it anyway.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';

/** A bug in handling a message must not end the agent: it is reported like any other problem. */
export function problemOf(thrown: unknown, log: Log): Problem {
  if (!(thrown instanceof DroverError)) {
    log.error({ error: String(thrown) }, 'unexpected failure on a message');
  }
  return toProblem(thrown);
}

export class RefusedRetry {
  readonly #kept = new Map<string, Uint8Array>();
  readonly #deliver: (topic: string, payload: Uint8Array) => Promise<void>;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  /** @param deliver handles the document as if it had just arrived; never rejects */
  constructor(deliver: (topic: string, payload: Uint8Array) => Promise<void>) {
    this.#deliver = deliver;
  }

  /** Retries after `retrySoonMs`; beyond `rolloutsMax` topics the oldest is dropped. */
  keep(topic: string, payload: Uint8Array): void {
    if (this.#closed) return;
    this.#kept.delete(topic);
    this.#kept.set(topic, payload);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > LIMITS.rolloutsMax + 1 && oldest) this.#kept.delete(oldest);
    this.#timer ??= setTimeout(() => void this.#retry(), LIMITS.retrySoonMs);
  }

  /** A newer document arrived on this topic. */
  forget(topic: string): void {
    this.#kept.delete(topic);
  }

  close(): void {
    this.#closed = true;
    if (this.#timer) clearTimeout(this.#timer);
  }

  async #retry(): Promise<void> {
    this.#timer = null;
    const kept = [...this.#kept];
    this.#kept.clear();
    for (const [topic, payload] of kept) await this.#deliver(topic, payload);
  }
}
