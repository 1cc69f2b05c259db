/**
 * One thing after the other for each topic. What is stored is read, judged and written in between
 * awaits: without a lane two messages could both be judged against the one before them, and the
 * older could overwrite the newer (MQTT 3.1.1 §4.6 wants the order of a topic kept as well).
 */

import { SerialQueue } from '../../shared/base/serial-queue.ts';

export class TopicLanes {
  readonly #lanes = new Map<string, SerialQueue>();

  /** Runs `task` when every earlier one of this topic has ended, well or not. */
  async run<T>(topic: string, task: () => Promise<T>): Promise<T> {
    const lane = this.#lanes.get(topic) ?? new SerialQueue();
    this.#lanes.set(topic, lane);
    try {
      return await lane.run(task);
    } finally {
      if (lane.size === 0) this.#lanes.delete(topic);
    }
  }
}
