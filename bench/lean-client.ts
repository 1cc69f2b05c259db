/**
 * The least that a client can do: it hashes each piece as the kernel hands it over, and never joins
 * two. Its cost is the floor for any client in Node and is the same for every peer; the remaining
 * time is the server's.
 */

import { createHash, type Hash } from 'node:crypto';
import { createConnection, type Socket } from 'node:net';
import { generate, type Packet } from 'mqtt-packet';
import type { Sha256Hex } from '../shared/base/ids.ts';
import { LIMITS } from '../shared/base/limits.ts';
import { chunkTopic } from '../shared/formats/topics.ts';

const CONNACK = 2;
const PUBLISH = 3;

export interface LeanPull {
  readonly port: number;
  readonly id: string;
  readonly topics: readonly string[];
  readonly window: number;
  readonly qos: 0 | 1;
}

export interface LeanConnection {
  /** Resolves with the bytes that came, all of them whole. */
  pull(): Promise<number>;
  end(): void;
}

export async function dial(port: number): Promise<Socket> {
  const socket = createConnection({ port, host: '127.0.0.1', noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return socket;
}

type OnPacket = (type: number, id: number, digest: string, bytes: number) => void;

/** Reads fixed headers by itself, and of a body only what it must: a topic, an id, the hash. */
export class LeanParser {
  readonly #onPacket: OnPacket;
  #head: number[] = [];
  #left = -1;
  #type = 0;
  #qos = 0;
  /** Of the variable header: two bytes of length, the topic, two bytes of id. */
  #start: number[] = [];
  #startBytes = 0;
  #topicBytes = 0;
  #hash: Hash | null = null;
  #bytes = 0;

  constructor(onPacket: OnPacket) {
    this.#onPacket = onPacket;
  }

  feed(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.byteLength) {
      if (this.#left < 0) this.#header(bytes[at++] as number);
      else if (this.#startBytes !== this.#start.length) this.#variable(bytes[at++] as number);
      else {
        const piece = bytes.subarray(at, Math.min(bytes.byteLength, at + this.#left));
        this.#hash?.update(piece);
        at += piece.byteLength;
        this.#left -= piece.byteLength;
        this.#bytes += piece.byteLength;
      }
      if (this.#left === 0) this.#done();
    }
  }

  #header(byte: number): void {
    this.#head.push(byte);
    if (this.#head.length === 1 || (byte & 0x80) !== 0) return;
    const [first = 0, ...length] = this.#head;
    this.#type = first >> 4;
    this.#qos = (first >> 1) & 3;
    this.#left = length.reduce((sum, one, place) => sum + (one & 0x7f) * 128 ** place, 0);
    this.#head = [];
    this.#start = [];
    this.#bytes = 0;
    this.#startBytes = this.#type === PUBLISH ? 2 : 0;
    this.#hash = this.#type === PUBLISH ? createHash('sha256') : null;
  }

  #variable(byte: number): void {
    this.#start.push(byte);
    this.#left -= 1;
    if (this.#start.length !== 2) return;
    this.#topicBytes = ((this.#start[0] as number) << 8) | byte;
    this.#startBytes = 2 + this.#topicBytes + (this.#qos > 0 ? 2 : 0);
  }

  #done(): void {
    const at = 2 + this.#topicBytes;
    const id = this.#qos > 0 ? ((this.#start[at] as number) << 8) | (this.#start[at + 1] ?? 0) : 0;
    this.#left = -1;
    this.#onPacket(this.#type, id, this.#hash?.digest('hex') ?? '', this.#bytes);
  }
}

/** Connected when it resolves. A window of topics is asked for, one more for each that came. */
export async function leanMqtt({
  port,
  id,
  topics,
  window,
  qos,
}: LeanPull): Promise<LeanConnection> {
  const socket = await dial(port);
  const send = (packet: Packet): void => void socket.write(generate(packet));
  let onConnected = (): void => undefined;
  let onChunk = (_digest: string, _bytes: number): void => undefined;
  const parser = new LeanParser((type, messageId, digest, bytes) => {
    if (type === CONNACK) onConnected();
    if (type !== PUBLISH) return;
    if (messageId > 0) send({ cmd: 'puback', messageId });
    onChunk(digest, bytes);
  });
  socket.on('data', (bytes) => parser.feed(bytes));
  await new Promise<void>((resolve) => {
    onConnected = resolve;
    send({ cmd: 'connect', clientId: id, protocolId: 'MQTT', protocolVersion: 4, clean: true });
  });
  const pull = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const wanted = new Set(topics.map((topic) => topic.slice(topic.lastIndexOf('/') + 1)));
      const kept: string[] = [];
      let next = 0;
      let total = 0;
      const ask = (): void => {
        const topic = topics[next++];
        if (topic === undefined) return;
        const subscriptions = [{ topic, qos }];
        send({ cmd: 'subscribe', messageId: 1 + (next % 60_000), subscriptions });
      };
      onChunk = (digest, bytes) => {
        if (!wanted.delete(digest)) return reject(new Error(`not what was asked for: ${digest}`));
        total += bytes;
        // A broker bounds what one client subscribes to; several at once, as a robot does it.
        if (kept.push(chunkTopic(digest as Sha256Hex)) >= LIMITS.filtersPerSubscribeMax) {
          const messageId = 60_000 + (wanted.size % 5_000);
          send({ cmd: 'unsubscribe', messageId, unsubscriptions: kept.splice(0) });
        }
        if (wanted.size === 0) resolve(total);
        else ask();
      };
      socket.once('close', () => reject(new Error('connection lost')));
      for (let at = 0; at < window; at += 1) ask();
    });
  return { pull, end: () => socket.destroy() };
}

/** One download of `path`, hashed. */
export async function leanHttp(port: number, path: string): Promise<LeanConnection> {
  const socket = await dial(port);
  const pull = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const hash = createHash('sha256');
      let left = -1;
      let total = 0;
      const onData = (bytes: Buffer): void => {
        let body = bytes;
        if (left < 0) {
          const end = bytes.indexOf('\r\n\r\n');
          const length = /content-length: (\d+)/i.exec(bytes.subarray(0, end).toString('latin1'));
          if (!length) return reject(new Error('an answer without a length'));
          left = Number(length[1]);
          body = bytes.subarray(end + 4);
        }
        hash.update(body);
        left -= body.byteLength;
        total += body.byteLength;
        if (left > 0) return;
        socket.off('data', onData);
        hash.digest();
        resolve(total);
      };
      socket.on('data', onData);
      socket.once('close', () => reject(new Error('connection lost')));
      socket.write(`GET ${path} HTTP/1.1\r\nHost: bench\r\n\r\n`);
    });
  return { pull, end: () => socket.destroy() };
}
