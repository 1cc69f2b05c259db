/** Access to parts of Aedes beyond its published types. This is the only file that uses them. */

import type { Aedes, AedesPublishPacket, AuthenticateError, Client, PublishPacket } from 'aedes';
import type { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import { LIMITS } from '../../shared/base/limits.ts';
import { filterMatches } from '../../shared/formats/topics.ts';

/** Topic for messages that need no further delivery: no client may subscribe to it. */
const INERT_TOPIC = '$drover/ingested';
const NOTHING = Buffer.alloc(0);

const PUBLISH = 0x30;
const SUBACK = 0x90;
const UNSUBACK = 0xb0;
/** MQTT 3.1.1 §3.9.3. */
const FAILURE = 0x80;
const LENGTH_BYTES_MAX = 4;
const UNREAD_BYTES_MAX =
  LIMITS.chunkBytesMax + LIMITS.packetOverheadBytesMax + LIMITS.unreadAnswerBytesMax;

export interface ChunkPacket {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly retain: boolean;
}

/** Packets of Aedes' parser, as far as they are used here. */
export type ClientPacket =
  | {
      readonly cmd: 'subscribe';
      readonly messageId: number;
      readonly subscriptions: { readonly topic: string; qos: number }[];
    }
  | {
      readonly cmd: 'unsubscribe';
      readonly messageId: number;
      readonly unsubscriptions: readonly string[];
    }
  | { readonly cmd: 'other' };

interface Inside {
  readonly conn: Duplex;
  readonly subscriptions: Readonly<Record<string, { readonly qos: number }>>;
  readonly closed: boolean;
  readonly clean: boolean;
  readonly connackSent: boolean;
  readonly _parser: EventEmitter;
  readonly _keepaliveInterval: number;
  readonly _keepaliveTimer: NodeJS.Timeout | null;
  waitForDrain(done: () => void): void;
  deliverQoS(packet: object, done: () => void): void;
}

const inside = (client: Client): Inside => client as unknown as Inside;

const connected = (aedes: Aedes) =>
  (aedes as unknown as { readonly clients: Readonly<Record<string, Client>> }).clients;

export const asBytes = (payload: string | Uint8Array): Uint8Array =>
  typeof payload === 'string' ? Buffer.from(payload) : payload;

export function clientsOf(aedes: Aedes): Client[] {
  return Object.values(connected(aedes));
}

export function clientOf(aedes: Aedes, id: string): Client | undefined {
  return connected(aedes)[id];
}

export function isSubscribed(client: Client, topic: string): boolean {
  return Object.hasOwn(inside(client).subscriptions, topic);
}

export function isGone(client: Client): boolean {
  const { closed, conn } = inside(client);
  return closed || conn.destroyed;
}

/** For Aedes' event `subscribe`, which also names refused filters. */
export const wasGranted = ({ qos }: { readonly qos: number }): boolean => qos !== FAILURE;

/** Aedes lowers the QoS only for a filter without wildcards [MQTT-3.8.4-6]. */
export function asGranted<P extends PublishPacket>(client: Client, packet: P): P {
  if (packet.qos < 2) return packet;
  const granted = Object.entries(inside(client).subscriptions)
    .filter(([filter]) => filterMatches(filter, packet.topic))
    .map(([, { qos }]) => qos);
  return granted.length === 0 || granted.includes(2) ? packet : { ...packet, qos: 1 };
}

/** True for a session that outlives its connection, with its subscriptions. */
export const keepsSession = (client: Client): boolean => !inside(client).clean;

/**
 * True once the credentials were accepted. Aedes calls a client connected some time after CONNACK.
 */
export function isAuthorized(connection: Duplex): boolean {
  const { client } = connection as Duplex & { client?: { _authorized?: boolean } };
  return client?._authorized === true;
}

/**
 * True when CONNACK was written, the connection is open, and the peer reads its answers: beyond the
 * chunk in the socket hardly anything waits. A client that asks and does not read is left to Aedes,
 * which stops reading from it.
 */
export function isReady(client: Client): boolean {
  const { connackSent, conn } = inside(client);
  return connackSent && !isGone(client) && conn.writableLength <= UNREAD_BYTES_MAX;
}

/**
 * Passes each packet of a client to `take` before Aedes handles it; Aedes never sees what it takes.
 * Call once for each client, before its first packet after CONNECT.
 */
export function lookAhead(client: Client, take: (packet: ClientPacket) => boolean): void {
  const { _parser: parser } = inside(client);
  const handlers = parser.listeners('packet') as ((packet: ClientPacket) => void)[];
  parser.removeAllListeners('packet');
  parser.on('packet', (packet: ClientPacket) => {
    if (!take(packet)) for (const handle of handlers) handle.call(parser, packet);
    else if (inside(client)._keepaliveInterval > 0) inside(client)._keepaliveTimer?.refresh();
  });
}

/** @param granted a QoS for each filter; null for a refused one */
export function writeSubAck(
  client: Client,
  messageId: number,
  granted: readonly (0 | null)[],
): void {
  const codes = granted.map((qos) => qos ?? FAILURE);
  const length = encodeLength(2 + codes.length);
  writeSoon(client, Buffer.from([SUBACK, ...length, messageId >> 8, messageId & 0xff, ...codes]));
}

export function writeUnsubAck(client: Client, messageId: number): void {
  writeSoon(client, Buffer.from([UNSUBACK, 2, messageId >> 8, messageId & 0xff]));
}

/**
 * Written in one call with whatever is written until the loop turns, above all a chunk in memory.
 */
function writeSoon(client: Client, bytes: Buffer): void {
  const { conn } = inside(client);
  conn.cork();
  setImmediate(() => conn.uncork());
  conn.write(bytes);
}

/** Encodes the remaining length of a packet (§2.2.3). */
function encodeLength(bytes: number): number[] {
  const more = Math.floor(bytes / 128);
  return more > 0 ? [(bytes % 128) | 0x80, ...encodeLength(more)] : [bytes];
}

/**
 * Writes one PUBLISH of a chunk with QoS 0 (§3.3 of MQTT 3.1.1) in two pieces: the payload is not
 * copied, and belongs to the socket until `done`, which is called once in every case. All chunks to
 * clients are written here.
 * @returns false when nothing more should be written before `whenDrained`
 */
export function writeChunk(
  client: Client,
  { topic, payload, retain }: ChunkPacket,
  done: () => void,
): boolean {
  const { conn } = inside(client);
  const topicBytes = Buffer.byteLength(topic);
  const length = encodeLength(2 + topicBytes + payload.byteLength);
  const start = Buffer.allocUnsafe(1 + LENGTH_BYTES_MAX + 2 + topicBytes);
  let at = start.writeUInt8(PUBLISH | (retain ? 1 : 0), 0);
  for (const byte of length) at = start.writeUInt8(byte, at);
  at = start.writeUInt16BE(topicBytes, at);
  at += start.write(topic, at);
  conn.cork();
  conn.write(start.subarray(0, at));
  const mayGoOn = conn.write(payload, done);
  conn.uncork();
  return mayGoOn;
}

/**
 * Resolves when the socket can take more or is closed: Aedes closes it when its reader takes
 * nothing for too long.
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
 * Sends to one client directly: not through the emitter, whose slots one stalled reader could hold,
 * and past the queue of its session. Resolves when the packet was written or the client left.
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

/** Marks a packet as handled: Aedes acknowledges it by its id and delivers nothing. */
export function neutralise(packet: PublishPacket | AedesPublishPacket, qos?: 0): void {
  packet.topic = INERT_TOPIC;
  packet.payload = NOTHING;
  packet.retain = false;
  if (qos !== undefined) packet.qos = qos;
}

/**
 * Recognises second copies of a message, for clients with overlapping filters. Aedes numbers
 * messages and takes one for a copy when its number is below the last one that the client was sent.
 * But messages overtake each other: one is first written for an absent session, the next is sent at
 * once. Aedes would then drop messages that were acknowledged and never delivered. Copies of one
 * message reach a client right after each other, so only a number equal to the last one is a copy.
 */
interface Numbered {
  readonly brokerId?: string | null;
  readonly brokerCounter?: number;
}

/** Always empty, so that every message is new to Aedes. */
const NOTHING_SEEN: Record<string, number> = new Proxy({}, { get: () => 0, set: () => true });

export class CopyFilter {
  readonly #last = new WeakMap<Client, number>();

  /** Replaces Aedes' own check, from the first packet of a client on. */
  takeOver(client: Client): void {
    (client as unknown as { duplicates: Record<string, number> }).duplicates = NOTHING_SEEN;
  }

  isCopy(client: Client, { brokerId, brokerCounter }: Numbered): boolean {
    // A message without a number was for this client alone. A message from the queue of a session
    // is never a copy: it would be removed from the queue, acknowledged or not.
    if (!brokerId || brokerCounter === undefined || !client.connected) return false;
    const isCopy = this.#last.get(client) === brokerCounter;
    this.#last.set(client, brokerCounter);
    return isCopy;
  }
}
