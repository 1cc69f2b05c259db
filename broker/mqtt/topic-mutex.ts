/**
 * One thing after the other for each topic. What is stored is read, judged and written in between
 * awaits: without a lane two messages could both be judged against the one before them, and the
 * older could overwrite the newer (MQTT 3.1.1 §4.6 wants the order of a topic kept as well).
 */

export class TopicLanes {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Runs `task` when every earlier one of this topic has ended, well or not. */
  async run<T>(topic: string, task: () => Promise<T>): Promise<T> {
    const before = this.#last.get(topic) ?? Promise.resolve();
    const mine = before.then(task);
    const ended = mine.catch(() => undefined); // its own caller hears of the failure
    this.#last.set(topic, ended);
    try {
      return await mine;
    } finally {
      if (this.#last.get(topic) === ended) this.#last.delete(topic);
    }
  }
}
