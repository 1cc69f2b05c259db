/**
 * A compromised relay between a real broker and robots: it forwards, changes or withholds messages
 * as the test says. It has no keys.
 */

import { Aedes } from 'aedes';
import { createServer, type AddressInfo } from 'node:net';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import type { Wire } from '../../shared/base/ports.ts';
import {
  chunkOfFilter,
  chunkTopic,
  parseTopic,
  PROGRESS_FILTER,
} from '../../shared/formats/topics.ts';
import { UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import type { Scope } from '../helpers/scope.ts';

/** Changes a message from the upstream; null withholds it. */
type Twist = (payload: Uint8Array) => Uint8Array | null;
const asItIs: Twist = (payload) => payload;

export class FalseRelay {
  readonly #aedes: Aedes;
  #above: Wire | null = null;
  #port = 0;
  /** Set these to be false. */
  chunks: Twist = asItIs;
  control: Twist = asItIs;
  /** Chunks that went down, twisted or not. */
  served = 0;
  /** Messages that robots said, by topic. */
  readonly heard = new Map<string, number>();

  private constructor(aedes: Aedes) {
    this.#aedes = aedes;
  }

  static async open(scope: Scope, above: string): Promise<FalseRelay> {
    const aedes = await Aedes.createBroker();
    const relay = new FalseRelay(aedes);
    const server = createServer((socket) => void aedes.handle(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    relay.#port = (server.address() as AddressInfo).port;
    relay.#above = await connectWire(
      { url: above, clientId: 'false-relay' },
      { onMessage: (topic, payload) => relay.#carry(topic, payload) },
      makeLog('test', 'silent'),
    );
    scope.after(async () => {
      await relay.#above?.close();
      await new Promise<void>((resolve) => aedes.close(() => resolve()));
      server.close();
    });
    aedes.on('publish', (packet, client) => {
      if (client) relay.heard.set(packet.topic, (relay.heard.get(packet.topic) ?? 0) + 1);
    });
    aedes.on('subscribe', (subscriptions) => {
      const asked = subscriptions.map(({ topic }) => chunkOfFilter(topic));
      for (const hash of asked) if (hash !== null) relay.fetch(hash);
    });
    await relay.#above.subscribe([UPDATES_TOPIC, PROGRESS_FILTER], 1);
    return relay;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.#port}`;
  }

  /** Asks above for a chunk, again when it was served before. */
  fetch(hash: Sha256Hex): void {
    const asked = this.#above?.subscribe([chunkTopic(hash)], 1);
    void asked?.catch(() => undefined); // a robot that still lacks it asks again
  }

  /** Says anything to everybody, retained. */
  async say(topic: string, payload: Uint8Array): Promise<void> {
    const message = { topic, payload: Buffer.from(payload), qos: 1, retain: true } as const;
    await new Promise<void>((resolve, reject) => {
      const done = (error?: Error | null): void => (error ? reject(error) : resolve());
      this.#aedes.publish({ cmd: 'publish', dup: false, ...message }, done);
    });
  }

  async #carry(topic: string, payload: Uint8Array): Promise<void> {
    const isChunk = parseTopic(topic)?.kind === 'chunk';
    const twisted = (isChunk ? this.chunks : this.control)(payload);
    if (!twisted) return;
    if (isChunk) this.served += 1;
    await this.say(topic, twisted);
  }
}
