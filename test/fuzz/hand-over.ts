/**
 * Memory that a hunt shares with the thread that watches it: the current input, and the number of
 * inputs so far. It outlives a thread that hangs or ran out of memory and so cannot report
 * anything.
 */

import { INPUT_BYTES_MAX } from './hunt.ts';

const HEAD_BYTES = 8;
const COUNT = 0;
const LENGTH = 1;

export class HandOver {
  readonly memory: SharedArrayBuffer;
  readonly #head: Int32Array;
  readonly #input: Uint8Array;

  constructor(memory = new SharedArrayBuffer(HEAD_BYTES + INPUT_BYTES_MAX)) {
    this.memory = memory;
    this.#head = new Int32Array(memory, 0, 2);
    this.#input = new Uint8Array(memory, HEAD_BYTES);
  }

  /** Inputs so far; it turns over, so only a change says something. */
  get count(): number {
    return Atomics.load(this.#head, COUNT);
  }

  get input(): Uint8Array {
    return this.#input.slice(0, Atomics.load(this.#head, LENGTH));
  }

  note(input: Uint8Array): void {
    const kept = input.subarray(0, INPUT_BYTES_MAX);
    this.#input.set(kept);
    Atomics.store(this.#head, LENGTH, kept.byteLength);
    Atomics.add(this.#head, COUNT, 1);
  }
}
