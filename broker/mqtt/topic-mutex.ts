/**
 * Runs tasks of one topic one after the other. A message is read, judged and written with awaits
 * between; without this two messages could both be judged against the one before them, and the
 * older could overwrite the newer. MQTT 3.1.1 §4.6 also requires the order of a topic.
 */

import { SerialQueue } from '../../shared/base/serial-queue.ts';

export class TopicLanes {
  readonly #lanes = new Map<string, SerialQueue>();

  /** Runs `task` when every earlier task of this topic has ended, also by a failure. */
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
