/** Access to parts of Aedes beyond its published types, in one place. */

import type { Aedes, AedesPublishPacket, AuthenticateError, Client, PublishPacket } from 'aedes';
import type { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import { LIMITS } from '../../shared/base/limits.ts';

/** Nobody may subscribe to it: where a message goes that has been dealt with. */
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

/** What Aedes' parser makes of a packet, as far as it is looked at here. */
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
  readonly subscriptions: Readonly<Record<string, unknown>>;
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

/** Of Aedes' event `subscribe`, which names refused filters as well. */
export const wasGranted = ({ qos }: { readonly qos: number }): boolean => qos !== FAILURE;

/** A session that outlives its connection, with what it is subscribed to. */
export const keepsSession = (client: Client): boolean => !inside(client).clean;

/** Its credentials were found good. Aedes calls it connected later, some time after CONNACK. */
export function isAuthorized(connection: Duplex): boolean {
  const { client } = connection as Duplex & { client?: { _authorized?: boolean } };
  return client?._authorized === true;
}

/**
 * CONNACK is written, the connection is there, and its peer takes what it is answered: beyond the
 * chunk that is at the socket hardly anything waits. Who asks and does not read is left to Aedes,
 * which reads no more of it until it does.
 */
export function isReady(client: Client): boolean {
  const { connackSent, conn } = inside(client);
  return connackSent && !isGone(client) && conn.writableLength <= UNREAD_BYTES_MAX;
}

/**
 * Shows each packet of a client to `take` before Aedes handles it; what it takes, Aedes never sees.
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

/** @param granted a QoS for each filter; null where it was refused */
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

/** Beside what is written until the loop turns, a chunk in memory above all: in one call. */
function writeSoon(client: Client, bytes: Buffer): void {
  const { conn } = inside(client);
  conn.cork();
  setImmediate(() => conn.uncork());
  conn.write(bytes);
}

/** The remaining length of a packet (§2.2.3). */
function encodeLength(bytes: number): number[] {
  const more = Math.floor(bytes / 128);
  return more > 0 ? [(bytes % 128) | 0x80, ...encodeLength(more)] : [bytes];
}

/**
 * One PUBLISH of a chunk with QoS 0 (§3.3 of MQTT 3.1.1) in one write of two pieces: the payload is
 * not copied, and belongs to the socket until `done`, which is called once whatever happens. All
 * bytes of chunks to clients pass here.
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

/** The packet has been dealt with: Aedes acknowledges it by its id and has nothing to pass on. */
export function neutralise(packet: PublishPacket | AedesPublishPacket, qos?: 0): void {
  packet.topic = INERT_TOPIC;
  packet.payload = NOTHING;
  packet.retain = false;
  if (qos !== undefined) packet.qos = qos;
}

/**
 * Finds messages that are second copies, for clients with overlapping filters. Aedes numbers
 * messages and takes one for a copy when its number is below the last that the client was sent. But
 * messages overtake each other: one has to be written for a session that is away, the next goes
 * straight on. Then Aedes drops what was acknowledged and never delivered. Copies of one message
 * reach a client right after each other, so only a number equal to the last one is a copy.
 */
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
