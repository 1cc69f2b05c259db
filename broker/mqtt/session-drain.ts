/**
 * Keeps the order of messages of a session whose client has come back (MQTT 3.1.1 §4.6). While the
 * client gets its queue, new messages wait in that queue and do not overtake it. Only when the
 * queue is empty are messages sent directly. The class sees each message twice, in either order:
 * when it is read from the queue, and when the engine is about to send it. Sans-I/O.
 */

export interface QueuedPacket {
  readonly brokerId?: string | null;
  readonly brokerCounter?: number;
}

export class SessionDrain {
  /** Messages that were read from the queue, to be written to the client. */
  readonly #handed = new Set<string>();
  /** Messages that the engine was about to send and that were not read from the queue yet. */
  readonly #held = new Set<string>();
  /** Messages that were read from the queue and that the engine has yet to ask about. */
  readonly #unasked = new Set<string>();
  /** Messages that were read from the queue and are not written yet. */
  readonly #unwritten = new Set<string>();
  /** Number of the newest message that was ever among those. */
  #newestUnasked = 0;
  #isDraining = true;
  #onWritten: (() => void) | null = null;

  /** Held messages. A message that the next reading of the queue does not find is in no queue. */
  get held(): readonly string[] {
    return [...this.#held];
  }

  /** True when the engine asks about no further message that came from the queue. */
  get isOver(): boolean {
    return !this.#isDraining && this.#unasked.size === 0;
  }

  /**
   * Records a message that was read from the queue.
   * @param isOnItsWay true when it was published just now: the engine has yet to ask about it
   * @returns false when it was handed over before
   */
  hand(packet: QueuedPacket, isOnItsWay: boolean): boolean {
    const key = packetKey(packet);
    if (this.#handed.has(key)) return false;
    this.#handed.add(key);
    this.#unwritten.add(key);
    if (!this.#held.delete(key) && isOnItsWay) {
      this.#unasked.add(key);
      this.#newestUnasked = Math.max(this.#newestUnasked, packet.brokerCounter ?? 0);
    }
    return true;
  }

  /**
   * Call when a message from the queue goes to the socket. It may be called again for the same
   * message: the PUBREL of a QoS 2 message has the key of its message.
   */
  wrote(packet: QueuedPacket): void {
    if (this.#unwritten.delete(packetKey(packet)) && this.#unwritten.size === 0)
      this.#onWritten?.();
  }

  /** Resolves when all messages from the queue have gone to the socket. */
  async written(): Promise<void> {
    if (this.#unwritten.size === 0) return;
    await new Promise<void>((resolve) => (this.#onWritten = resolve));
  }

  /**
   * Drops held messages that arrived while the queue was full: they are not sent, as while the
   * client was away.
   */
  giveUp(held: readonly string[]): void {
    for (const key of held) this.#held.delete(key);
  }

  /** @returns false while a message is held: the queue has to be read again */
  tryEnd(): boolean {
    if (this.#held.size > 0) return false;
    this.#isDraining = false;
    this.#handed.clear();
    return true;
  }

  /**
   * True when this message must not be sent directly, because the client gets it from the queue. So
   * is one that found the queue full, when a newer one was read from the queue: it is lost, as
   * while the client was away, and does not come out of order.
   */
  holds(packet: QueuedPacket): boolean {
    const key = packetKey(packet);
    if (this.#unasked.delete(key)) return true;
    if (this.#isDraining) this.#held.add(key);
    const isLate = this.#unasked.size > 0 && (packet.brokerCounter ?? 0) < this.#newestUnasked;
    return this.#isDraining || isLate;
  }
}

/** Key of a message. It is the same in the queue and on the way to clients. */
export const packetKey = ({ brokerId, brokerCounter }: QueuedPacket): string =>
  `${brokerId}:${brokerCounter}`;

/** The queue of a session, as `drainQueue` needs it. */
export interface DrainedQueue<M> {
  /** Its messages in order; a reading that begins later has those that were queued meanwhile. */
  read(): AsyncIterable<M>;
  isOnItsWay(message: M): boolean;
  /** Resolves when what was begun in this turn of the event loop was done. */
  loopTurns(): Promise<void>;
}

/** Hands out messages until the queue is empty and all of them were written: then it has ended. */
export async function* drainQueue<M extends QueuedPacket>(
  drain: SessionDrain,
  queue: DrainedQueue<M>,
): AsyncGenerator<M> {
  for (;;) {
    const { held } = drain;
    let handed = 0;
    for await (const message of queue.read()) {
      if (!drain.hand(message, queue.isOnItsWay(message))) continue;
      handed += 1;
      yield message;
    }
    if (handed > 0) continue;
    drain.giveUp(held);
    await drain.written();
    await queue.loopTurns(); // the last message is written right after its update
    if (drain.tryEnd()) return;
  }
}
