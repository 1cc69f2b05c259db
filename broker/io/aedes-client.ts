/** What we need of an Aedes client beyond its published types, in one place. */

import type { Aedes, AuthenticateError, Client, PublishPacket } from 'aedes';
import type { Duplex } from 'node:stream';

const PUBLISH = 0x30;
const LENGTH_BYTES_MAX = 4;
const MESSAGE_ID_MAX = 65_535;

export interface ChunkPacket {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1;
  readonly retain: boolean;
}

interface Inside {
  readonly conn: Duplex;
  readonly subscriptions: Readonly<Record<string, { readonly qos: number } | undefined>>;
  readonly closed: boolean;
  _nextId: number;
  waitForDrain(done: () => void): void;
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

/** Null for one who is gone, or has not subscribed to this very topic. */
export function qosOf(client: Client, topic: string): number | null {
  const { closed, conn, subscriptions } = inside(client);
  if (closed || conn.destroyed) return null;
  return subscriptions[topic]?.qos ?? null;
}

/** The next packet identifier, from the row that Aedes takes its own from. */
function takeMessageId(client: Inside): number {
  const id = client._nextId;
  client._nextId = id >= MESSAGE_ID_MAX ? 1 : id + 1;
  return id;
}

/**
 * One PUBLISH of a chunk (MQTT 3.1.1 §3.3) in one write of two pieces: the payload is not copied,
 * and belongs to the socket until `done`, which is called once whatever happens. All bytes of chunks
 * to clients pass here.
 * @returns false when nothing more should be written before `whenDrained`
 */
export function writeChunk(
  client: Client,
  { topic, payload, qos, retain }: ChunkPacket,
  done: () => void,
): boolean {
  const { conn } = inside(client);
  const topicBytes = Buffer.byteLength(topic);
  const startBytes = 2 + topicBytes + (qos > 0 ? 2 : 0);
  const start = Buffer.allocUnsafe(1 + LENGTH_BYTES_MAX + startBytes);
  let at = start.writeUInt8(PUBLISH | (qos << 1) | (retain ? 1 : 0), 0);
  let length = startBytes + payload.byteLength;
  do {
    const more = length > 127 ? 0x80 : 0;
    at = start.writeUInt8((length % 128) | more, at);
    length = Math.floor(length / 128);
  } while (length > 0);
  at = start.writeUInt16BE(topicBytes, at);
  at += start.write(topic, at);
  if (qos > 0) at = start.writeUInt16BE(takeMessageId(inside(client)), at);
  conn.cork();
  conn.write(start.subarray(0, at));
  const mayGoOn = conn.write(payload, done);
  conn.uncork();
  return mayGoOn;
}

/**
 * Resolves when the socket wants more, or is closed: Aedes closes it when its reader takes nothing
 * for too long.
 */
export function whenDrained(client: Client): Promise<void> {
  return new Promise((resolve) => {
    const { conn } = inside(client);
    if (conn.destroyed || !conn.writableNeedDrain) return resolve();
    const end = (): void => {
      conn.off('close', end);
      resolve();
    };
    conn.once('close', end);
    inside(client).waitForDrain(end);
  });
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
