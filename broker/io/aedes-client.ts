/** What we need of an Aedes client beyond its published types, in one place. */

import type { Aedes, AuthenticateError, Client, PublishPacket } from 'aedes';
import type { Duplex } from 'node:stream';

interface Inside {
  readonly conn: Duplex;
  readonly subscriptions: object;
  deliverQoS(packet: object, done: () => void): void;
}

const inside = (client: Client): Inside => client as unknown as Inside;

const connected = (aedes: Aedes) =>
  (aedes as unknown as { readonly clients: Readonly<Record<string, Client>> }).clients;

export function clientsOf(aedes: Aedes): Client[] {
  return Object.values(connected(aedes));
}

export function clientOf(aedes: Aedes, id: string): Client | undefined {
  return connected(aedes)[id];
}

export function isSubscribed(client: Client, topic: string): boolean {
  return Object.hasOwn(inside(client).subscriptions, topic);
}

/** Bytes that wait for the socket of this client. */
export function bytesUnsent(client: Client): number {
  return inside(client).conn.writableLength;
}

/**
 * Straight to one client: not through the emitter, whose slots one stalled reader could hold, and
 * past the queue of its session. Resolves when it was written or the client left.
 */
export function handTo(
  client: Client,
  message: Pick<PublishPacket, 'topic' | 'payload'> & { readonly qos: 0 | 1 },
): Promise<void> {
  const packet = { cmd: 'publish', ...message, retain: false, dup: false, brokerId: null };
  return new Promise((resolve) => inside(client).deliverQoS(packet, () => resolve()));
}

/** CONNACK return codes of MQTT 3.1.1 §3.2.2.3: 2 client id rejected, 3 unavailable, 4 wrong
 * credentials, 5 not allowed. */
export function refusedLogin(returnCode: 2 | 3 | 4 | 5): AuthenticateError {
  return Object.assign(new Error('login refused'), { returnCode });
}
