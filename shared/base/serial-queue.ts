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

/**
 * Runs tasks of one topic one after the other. A message is read, judged and written with awaits
 * between; without this two messages could both be judged against the one before them, and the
 * older could overwrite the newer. MQTT 3.1.1 §4.6 also requires the order of a topic.
 */
export class TopicMutex {
  readonly #queues = new Map<string, SerialQueue>();

  /** Runs `task` when every earlier task of this topic has ended, also by a failure. */
  async run<T>(topic: string, task: () => Promise<T>): Promise<T> {
    const queue = this.#queues.get(topic) ?? new SerialQueue();
    this.#queues.set(topic, queue);
    try {
      return await queue.run(task);
    } finally {
      if (queue.size === 0) this.#queues.delete(topic);
    }
  }
}

/**
 * Runs one after another: a failure of one keeps no other from its turn.
 * @throws the last failure, after all had their turn
 */
export async function eachAlone<T>(
  items: Iterable<T>,
  run: (item: T) => Promise<void>,
): Promise<void> {
  let failure: { readonly error: unknown } | null = null;
  for (const item of items) {
    try {
      await run(item);
    } catch (error) {
      failure = { error };
    }
  }
  if (failure) throw failure.error;
}
