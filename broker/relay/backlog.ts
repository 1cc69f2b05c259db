/**
 * The messages that wait to go upstream, by number: in which order it goes, what is on its way, and
 * what has to go when there is too much. Pure; the messages themselves are on the disk. It must
 * never name one twice at a time, nor pass one by: a robot's events go up in the order they came.
 * Sans-I/O.
 */

import type { ErrorCode } from '../../shared/base/error-catalogue.ts';

export interface BacklogBounds {
  readonly countMax: number;
  readonly bytesMax: number;
}

export class Backlog {
  readonly #bounds: BacklogBounds;
  /** Size of each message by its number, oldest first. */
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

  /** A number for a message that is about to be written. */
  reserve(): number {
    this.#next += 1;
    return this.#next - 1;
  }

  /** It is on the disk. Numbers may come a little out of order: those being written at once. */
  written(at: number, bytes: number): void {
    this.#next = Math.max(this.#next, at + 1);
    this.#waiting.set(at, bytes);
    this.#bytes += bytes;
  }

  /** The oldest that are more than may wait: to be removed from the disk, and a gap is what stays. */
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

  /** The next to be sent, oldest first; they are on their way until they are back or removed. */
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

  /** Not acknowledged: it is sent again, in its place. */
  back(at: number): void {
    this.#onTheWay.delete(at);
  }

  removed(at: number): void {
    this.#onTheWay.delete(at);
    this.#bytes -= this.#waiting.get(at) ?? 0;
    this.#waiting.delete(at);
  }
}

/** Refused for what it is: sending it again would end the same way and hold up all others. */
const HOPELESS: readonly ErrorCode[] = ['DOCUMENT_TOO_LARGE', 'JSON_INVALID'];

export function isHopeless(code: string): boolean {
  return HOPELESS.some((one) => one === code);
}
