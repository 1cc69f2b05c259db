/**
 * Keeps the order of a session whose client has come back (MQTT 3.1.1 §4.6): while it is handed its
 * queue, what is published for it waits in that queue and is not sent past it. Only when the queue
 * is empty are messages sent directly. Sans-I/O; it sees each message twice, as it is read from the
 * queue and as the engine wants to send it, in either order.
 */

export interface QueuedPacket {
  readonly brokerId?: string | null;
  readonly brokerCounter?: number;
}

export class SessionDrain {
  /** Read from the queue, to be written to the client. */
  readonly #handed = new Set<string>();
  /** The engine wanted to send them, and they were not read from the queue yet. */
  readonly #held = new Set<string>();
  /** Read from the queue, and the engine has yet to ask whether to send them. */
  readonly #unasked = new Set<string>();
  #unwritten = 0;
  #isDraining = true;
  #onWritten: (() => void) | null = null;

  /** Held messages: those of them that the next reading of the queue does not find are in none. */
  get held(): readonly string[] {
    return [...this.#held];
  }

  /** The engine will ask about no message any more that came from the queue. */
  get isOver(): boolean {
    return !this.#isDraining && this.#unasked.size === 0;
  }

  /**
   * @param isOnItsWay the engine has yet to ask about it: it was published just now
   * @returns false when it was handed before
   */
  hand(packet: QueuedPacket, isOnItsWay: boolean): boolean {
    const key = packetKey(packet);
    if (this.#handed.has(key)) return false;
    this.#handed.add(key);
    this.#unwritten += 1;
    if (!this.#held.delete(key) && isOnItsWay) this.#unasked.add(key);
    return true;
  }

  /** A message that was handed goes to the socket now. */
  wrote(packet: QueuedPacket): void {
    if (!this.#isDraining || !this.#handed.has(packetKey(packet))) return;
    this.#unwritten -= 1;
    if (this.#unwritten === 0) this.#onWritten?.();
  }

  /** Resolves when all that was handed has gone to the socket. */
  async written(): Promise<void> {
    if (this.#unwritten === 0) return;
    await new Promise<void>((resolve) => (this.#onWritten = resolve));
  }

  /** The queue was full when they came: nobody sends them, as while the client was away. */
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

  /** True when this message must not be sent directly: it comes, or came, from the queue. */
  holds(packet: QueuedPacket): boolean {
    const key = packetKey(packet);
    if (this.#unasked.delete(key)) return true;
    if (this.#isDraining) this.#held.add(key);
    return this.#isDraining;
  }
}

/** The same for a message in the queue and on its way to clients. */
export const packetKey = ({ brokerId, brokerCounter }: QueuedPacket): string =>
  `${brokerId}:${brokerCounter}`;
