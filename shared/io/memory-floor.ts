/**
 * Keeps the memory of a process that passes gigabytes through at the size of what it holds. V8
 * counts buffers outside its heap late: some 64 MiB of dead ones may exist before it collects,
 * which on a robot is more than all the rest. So after a few MiB of traffic we ask for a minor
 * collection, a millisecond that frees them (measured: bench/RESULTS.md, `payload`).
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { LIMITS } from '../base/limits.ts';

type Collect = (options: { type: 'minor' | 'major' }) => void;

export class MemoryFloor {
  readonly #collect: Collect;
  readonly #afterBytes: number;
  #passedBytes = 0;

  constructor(afterBytes: number = LIMITS.collectAfterBytes) {
    this.#afterBytes = afterBytes;
    // The way Node offers it to a program that was not started with the flag.
    setFlagsFromString('--expose-gc');
    this.#collect = runInNewContext('gc') as Collect;
  }

  /** Call with the size of each buffer that is done with. */
  passed(bytes: number): void {
    this.#passedBytes += bytes;
    if (this.#passedBytes < this.#afterBytes) return;
    this.#passedBytes = 0;
    this.#collect({ type: 'minor' });
  }
}
