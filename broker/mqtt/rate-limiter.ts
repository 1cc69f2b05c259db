/**
 * Decides whose chunk goes next when all readers together may take only so many bytes a second: a
 * bucket of bytes, and turns of equal weight (deficit round robin), so that a robot that asks for
 * much takes nothing from one that asks for little.
 *
 * Pure: time is a parameter. It must never let more go than the rate, a burst and one chunk, never
 * hold a turn back while the rate would let it go, and never serve a reader out of its order.
 * Sans-I/O.
 */

import type { MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';

export interface Turn<Reader> {
  readonly reader: Reader;
  /** What it will take, as far as that is known. */
  readonly bytes: number;
}

interface Line<T> {
  readonly turns: T[];
  /** Bytes that this reader may take before the others have had as many. */
  credit: number;
}

export class RateBudget<Reader, T extends Turn<Reader>> {
  readonly #bytesPerMs: number;
  /** Readers that wait, in the order in which they are next. */
  readonly #lines = new Map<Reader, Line<T>>();
  #freeAtMs: MonoMs = 0;
  #waiting = 0;

  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
  }

  /** Turns that were asked for and neither taken nor dropped. */
  get waiting(): number {
    return this.#waiting;
  }

  /** False when this reader waits for too much already. */
  ask(turn: T): boolean {
    const line = this.#lines.get(turn.reader) ?? { turns: [], credit: 0 };
    if (line.turns.length >= LIMITS.turnsPerReaderMax) return false;
    line.turns.push(turn);
    this.#lines.set(turn.reader, line);
    this.#waiting += 1;
    return true;
  }

  /** A reader that has left: its turns, which nobody takes any more. */
  drop(reader: Reader): T[] {
    const turns = this.#lines.get(reader)?.turns ?? [];
    this.#lines.delete(reader);
    this.#waiting -= turns.length;
    return turns;
  }

  /** What goes now, in this order; its bytes are spent. */
  take(now: MonoMs): T[] {
    const taken: T[] = [];
    while (this.#waiting > 0 && this.#freeAtMs <= now) {
      const turn = this.#next();
      // What nobody used while nobody waited is lost, but for what a late timer made of it.
      this.#freeAtMs = Math.max(this.#freeAtMs, now - LIMITS.rateBurstMs);
      this.#freeAtMs += turn.bytes / this.#bytesPerMs;
      taken.push(turn);
    }
    return taken;
  }

  /** It took other bytes than it was thought to. */
  settle(turn: T, bytes: number): void {
    const saved = turn.bytes - bytes;
    this.#freeAtMs -= saved / this.#bytesPerMs;
    const line = this.#lines.get(turn.reader);
    if (line) line.credit += saved;
  }

  /** When `take` has something next; null while nobody waits. */
  get wakeAtMs(): MonoMs | null {
    return this.#waiting === 0 ? null : this.#freeAtMs;
  }

  /** A reader whose credit does not do goes to the end with more of it, so this ends. */
  #next(): T {
    for (;;) {
      const [entry] = this.#lines;
      if (!entry) throw new TypeError('next turn: nobody waits');
      const [reader, line] = entry;
      const [turn] = line.turns;
      if (turn && turn.bytes <= line.credit) {
        line.credit -= turn.bytes;
        line.turns.shift();
        if (line.turns.length === 0) this.#lines.delete(reader);
        this.#waiting -= 1;
        return turn;
      }
      line.credit += LIMITS.chunkBytesDefault;
      this.#lines.delete(reader);
      this.#lines.set(reader, line);
    }
  }
}
