/**
 * Which messages are second copies, for clients with overlapping filters. Aedes numbers messages
 * and takes one for a copy when its number is below the last that the client was sent. But messages
 * overtake each other: one has to be written for a session that is away, the next goes straight on.
 * Then Aedes drops what was acknowledged and never delivered. Copies of one message reach a client
 * right after each other, so only a number equal to the last one is a copy.
 */

import type { Client } from 'aedes';

interface Numbered {
  readonly brokerId?: string | null;
  readonly brokerCounter?: number;
}

/** Remembers nothing, so that to Aedes every message is new. */
const NOTHING_SEEN: Record<string, number> = new Proxy({}, { get: () => 0, set: () => true });

export class CopyFilter {
  readonly #last = new WeakMap<Client, number>();

  /** In the place of Aedes' own judgement, from the first packet of a client on. */
  takeOver(client: Client): void {
    (client as unknown as { duplicates: Record<string, number> }).duplicates = NOTHING_SEEN;
  }

  isCopy(client: Client, { brokerId, brokerCounter }: Numbered): boolean {
    // Without a number it was meant for this client alone. What a session finds in its queue when
    // it comes back is never a copy: it would be removed from there, acknowledged or not.
    if (!brokerId || brokerCounter === undefined || !client.connected) return false;
    const isCopy = this.#last.get(client) === brokerCounter;
    this.#last.set(client, brokerCounter);
    return isCopy;
  }
}
