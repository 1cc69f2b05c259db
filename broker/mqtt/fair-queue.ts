/**
 * Every chunk passes this queue on its way to a client: bytes are counted here, and with
 * `--max-rate` chunks wait here. They wait before they are read, so that a waiting chunk is a hash
 * and takes no memory. Control messages are not limited.
 */

import type { Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { RateLimiter } from './rate-limiter.ts';
import type { LentChunk } from '../chunks/chunk-cache.ts';

/** A reader is a connection, not a client id: the next connection of a robot has the same id. */
type Reader = object;

interface Waiting {
  readonly reader: Reader;
  readonly hash: Sha256Hex;
  readonly bytes: number;
  readonly go: (mayGo: boolean) => void;
}

export interface FairQueueOptions {
  /** Bytes to send and then give back; null when the chunk is not stored. */
  borrow(hash: Sha256Hex): Promise<LentChunk | null>;
  /** Null for no limit. */
  readonly bytesPerSecondMax: number | null;
  onServed(bytes: number): void;
}

export class FairQueue {
  readonly #limiter: RateLimiter<Reader, Waiting> | null;
  readonly #options: FairQueueOptions;
  readonly #asked = new Map<Reader, Set<Sha256Hex>>();
  readonly #left = new WeakSet<Reader>();
  #timer: NodeJS.Timeout | null = null;

  constructor(options: FairQueueOptions) {
    const { bytesPerSecondMax } = options;
    this.#options = options;
    this.#limiter = bytesPerSecondMax === null ? null : new RateLimiter(bytesPerSecondMax);
  }

  /** Chunks that wait for the rate limit. */
  get waiting(): number {
    return this.#limiter?.waiting ?? 0;
  }

  /**
   * The bytes of a chunk, to send to this reader now and then give back. Null when there is nothing
   * to send: the chunk is not stored, the reader waits for it already (a robot asks again when it
   * is late), or the reader has left.
   */
  async lend(reader: Reader, hash: Sha256Hex): Promise<LentChunk | null> {
    const queued = this.#limiter && (await this.#waitInQueue(this.#limiter, { reader, hash }));
    if (this.#limiter && !queued) return null;
    let lent: LentChunk | null = null;
    try {
      lent = await this.#options.borrow(hash);
    } finally {
      if (queued) this.#settle(queued, lent?.bytes.byteLength ?? 0);
    }
    if (lent) this.#options.onServed(lent.bytes.byteLength);
    return lent;
  }

  /** The connection has ended: chunks that it waited for are dropped. */
  leave(reader: Reader): void {
    this.#left.add(reader);
    for (const queued of this.#limiter?.drop(reader) ?? []) {
      this.#forget(queued);
      queued.go(false);
    }
  }

  close(): void {
    if (this.#timer) clearTimeout(this.#timer);
    for (const reader of [...this.#asked.keys()]) this.leave(reader);
  }

  async #waitInQueue(
    limiter: RateLimiter<Reader, Waiting>,
    { reader, hash }: Pick<Waiting, 'reader' | 'hash'>,
  ): Promise<Waiting | null> {
    const asked = this.#asked.get(reader) ?? new Set<Sha256Hex>();
    if (this.#left.has(reader) || asked.has(hash)) return null;
    return await new Promise((resolve) => {
      const go = (mayGo: boolean): void => resolve(mayGo ? waiting : null);
      const waiting: Waiting = { reader, hash, bytes: LIMITS.chunkBytesDefault, go };
      if (!limiter.ask(waiting)) return resolve(null);
      this.#asked.set(reader, asked.add(hash));
      this.#pass();
    });
  }

  #settle(queued: Waiting, bytes: number): void {
    this.#forget(queued);
    this.#limiter?.settle(queued, bytes);
    this.#pass();
  }

  #pass(): void {
    const limiter = this.#limiter;
    if (!limiter) return;
    for (const queued of limiter.take(performance.now())) queued.go(true);
    if (this.#timer) clearTimeout(this.#timer);
    const { wakeAtMs } = limiter;
    if (wakeAtMs === null) return;
    const inMs = Math.max(1, Math.min(LIMITS.timerMsMax, wakeAtMs - performance.now()));
    this.#timer = setTimeout(() => this.#pass(), inMs);
  }

  #forget({ reader, hash }: Waiting): void {
    const asked = this.#asked.get(reader);
    asked?.delete(hash);
    if (asked?.size === 0) this.#asked.delete(reader);
  }
}
