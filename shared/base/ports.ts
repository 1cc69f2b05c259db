/**
 * The ports between decisions and the outside world, as interfaces only: the log, an MQTT
 * connection, the chunk store and programs that unpack deltas. Tests may use one in memory.
 * Sans-I/O.
 */

import type { DroverError } from './errors.ts';
import type { MonoMs, Sha256Hex } from './ids.ts';

export interface Log {
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

export interface SendOptions {
  readonly retain: boolean;
  readonly qos: 0 | 1;
}

/**
 * An MQTT link that reconnects by itself and keeps no state: the caller repeats subscriptions and
 * unsent messages from `onUp`.
 */
export interface Wire {
  readonly isUp: boolean;
  /** Why the last connection failed or ended; null when there was no failure yet. */
  readonly lastError?: DroverError | null;
  /** When bytes of a message last came: it may be slow, but it is on its way.
   * -Infinity when none ever did; left out by a wire that sees whole messages only. */
  readonly bodyAtMs?: MonoMs;
  /** Connections in a row that the broker ended soon after they were up; see `countEndings`. */
  readonly endings?: number;
  /**
   * Resolves at PUBACK (QoS 1) or when written (QoS 0). Rejects with BROKER_UNREACHABLE when the
   * link is or goes down, or with the code of the broker's refusal. A message is never queued for
   * another link.
   */
  send(topic: string, payload: Uint8Array, options: SendOptions): Promise<void>;
  /** Resolves at SUBACK; rejects ACCESS_DENIED when the broker refuses a filter. */
  subscribe(filters: readonly string[], qos: 0 | 1): Promise<void>;
  unsubscribe(filters: readonly string[]): Promise<void>;
  /** Ends the connection that is up, if there is one; another one is made. */
  renew?(why: DroverError): void;
  close(): Promise<void>;
}

export interface WireHandlers {
  /**
   * Awaited before the next message is read, and before this one is acknowledged: that is the
   * backpressure of a pull. `payload` is a view that is only valid until the promise settles.
   * `isRetained`: the message was stored for subscribers, so it proves nothing about this moment.
   */
  onMessage(topic: string, payload: Uint8Array, isRetained: boolean): void | Promise<void>;
  onUp?(): void;
  onDown?(reason: string): void;
  /** A connection ended before it was up. The wire tries again, and logs nothing itself. */
  onFailed?(problem: DroverError): void;
}

/**
 * Chunks at their content address. Each interface adds rights: a parameter's type says which rights
 * it needs.
 */
export interface ChunkStore {
  has(hash: Sha256Hex): Promise<boolean>;
  /** Verified bytes, or null when the chunk is absent or was found damaged (and removed). */
  get(hash: Sha256Hex): Promise<Uint8Array | null>;
}

export interface WritableChunkStore extends ChunkStore {
  /**
   * Verified, written and fsynced when it resolves; putting a chunk that is there is a no-op.
   * @throws DroverError CHUNK_HASH_MISMATCH, CHUNK_TOO_LARGE, STORE_FULL, DISK_FULL
   */
  put(hash: Sha256Hex, bytes: Uint8Array): Promise<void>;
}

export interface PrunableChunkStore extends WritableChunkStore {
  /**
   * @param mayRemove called right before the removal; false keeps the chunk
   * @returns bytes that were freed, 0 when nothing was removed
   */
  remove(hash: Sha256Hex, mayRemove?: () => boolean): Promise<number>;
  /** All that is there, in groups of a bounded size; what comes meanwhile may be missing. */
  list(): AsyncIterable<readonly Sha256Hex[]>;
  readonly bytesStored: number;
  readonly chunksStored: number;
}

/**
 * Unpacks a stream while it is read, no further than its user asks for, in memory of one window.
 * The stream that it returns throws DroverError DELTA_INVALID for one that is damaged or cut short.
 */
export type Unpacker = (packed: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;

/** A program that unpacks one frame of a delta. Its output is only bytes, and these are hashed. */
export interface PatchProgram {
  /**
   * @param run.dictionary path of a file, null for none
   * @param run.take awaited before more is unpacked; what it throws ends the program
   * @throws DroverError ZSTD_MISSING, ZSTD_FAILED, ZSTD_TIMED_OUT
   */
  unpack(run: {
    readonly dictionary: string | null;
    readonly frame: AsyncIterable<Uint8Array>;
    readonly signal: AbortSignal;
    take(piece: Uint8Array): Promise<void>;
  }): Promise<void>;
}
