/**
 * Runs tasks one after another, in the order of the calls. A task that fails does not stop the next
 * one; its caller gets the failure. Sans-I/O.
 */

import { LIMITS } from './limits.ts';

export class SerialQueue {
  readonly #tasksMax: number;
  /** Never rejects. */
  #last: Promise<unknown> = Promise.resolve();
  #size = 0;

  /** @param tasksMax running and waiting at once; a caller that has a smaller bound names it */
  constructor(tasksMax: number = LIMITS.serialTasksMax) {
    this.#tasksMax = tasksMax;
  }

  /** Tasks that run or wait. */
  get size(): number {
    return this.#size;
  }

  /**
   * Runs `task` when every earlier one has ended, well or not.
   * @returns what the task returns; rejects with its failure
   * @throws RangeError when the queue is full: the callers have bounds of their own, so it is a bug
   */
  async run<T>(task: () => T | Promise<T>): Promise<T> {
    if (this.#size >= this.#tasksMax) {
      throw new RangeError(`SerialQueue: ${this.#size} tasks wait already`);
    }
    this.#size += 1;
    const mine = this.#last.then(task).finally(() => (this.#size -= 1));
    this.#last = mine.catch(() => undefined); // the caller has the failure
    return await mine;
  }

  /** Resolves when every task from before this call has ended; never rejects. */
  async idle(): Promise<void> {
    await this.#last;
  }
}
