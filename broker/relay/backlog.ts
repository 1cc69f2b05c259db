/**
 * Decides the order of the messages that wait to go upstream, which of them are being sent, and
 * which are dropped when there are too many. The messages themselves are on the disk. A message is
 * never sent twice at once and none is skipped: the events of a robot go up in the order in which
 * they came. Sans-I/O.
 */

import type { ErrorCode } from '../../shared/base/error-catalogue.ts';

export interface BacklogBounds {
  readonly countMax: number;
  readonly bytesMax: number;
}

export class Backlog {
  readonly #bounds: BacklogBounds;
  /** Size in bytes of each message by its number, oldest first. */
  readonly #waiting = new Map<number, number>();
  readonly #onTheWay = new Set<number>();
  #bytes = 0;
  #next = 0;

  constructor(bounds: BacklogBounds) {
    this.#bounds = bounds;
  }

  get count(): number {
    return this.#waiting.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Reserves a number for a message that is about to be written. */
  reserve(): number {
    this.#next += 1;
    return this.#next - 1;
  }

  /**
   * The message is on the disk. Numbers may arrive slightly out of order, as writes run at once.
   */
  written(at: number, bytes: number): void {
    this.#next = Math.max(this.#next, at + 1);
    this.#waiting.set(at, bytes);
    this.#bytes += bytes;
  }

  /** The oldest messages beyond the bound: the caller deletes them, and a gap stays. */
  excess(): number[] {
    const gone: number[] = [];
    let [count, bytes] = [this.#waiting.size, this.#bytes];
    for (const [at, size] of this.#waiting) {
      if (count <= this.#bounds.countMax && bytes <= this.#bounds.bytesMax) break;
      if (this.#onTheWay.has(at)) continue;
      gone.push(at);
      count -= 1;
      bytes -= size;
    }
    return gone;
  }

  /** The next messages to send, oldest first; they count as sent until `back` or removal. */
  take(countMax: number): number[] {
    const taken: number[] = [];
    for (const at of this.#waiting.keys()) {
      if (taken.length >= countMax) break;
      if (this.#onTheWay.has(at)) continue;
      this.#onTheWay.add(at);
      taken.push(at);
    }
    return taken;
  }

  /** The message was not acknowledged: it is sent again, in its place. */
  back(at: number): void {
    this.#onTheWay.delete(at);
  }

  removed(at: number): void {
    this.#onTheWay.delete(at);
    this.#bytes -= this.#waiting.get(at) ?? 0;
    this.#waiting.delete(at);
  }
}

/** A message refused with one of these codes would be refused again and hold up all others. */
const HOPELESS: readonly ErrorCode[] = ['DOCUMENT_TOO_LARGE', 'JSON_INVALID'];

export function isHopeless(code: string): boolean {
  return HOPELESS.some((one) => one === code);
}
