/**
 * An MQTT engine that lacks one thing which Drover needs, as stock engines do: Aedes with that one
 * thing taken away. RabbitMQ 3.10, for one, hands nothing retained to a filter with `+` in it.
 */

import { Aedes, type Client } from 'aedes';
import { createServer, type AddressInfo, type Server } from 'node:net';
import type { Scope } from './scope.ts';

export interface Lame {
  readonly retains?: false;
  /** Ends the connection at a retained message. */
  readonly takesRetained?: false;
  readonly retainsForWildcards?: false;
  readonly clears?: false;
  readonly keepsSessions?: false;
  readonly keepsOrder?: false;
  /** It acknowledges and hands out what it retains, and brings nothing to who has subscribed. */
  readonly delivers?: false;
  /** Larger ones end the connection. */
  readonly payloadBytesMax?: number;
  /** Acknowledged, and dropped. */
  readonly denies?: (topic: string) => boolean;
}

interface Retained {
  createRetainedStreamCombi(patterns: string[]): unknown;
  storeRetained(packet: { payload: Uint8Array }): Promise<void>;
}

const SHUFFLE_MS = 40;
const NOWHERE = 'nowhere';

export async function startLameEngine(scope: Scope, lame: Lame): Promise<{ url: string }> {
  const aedes = await Aedes.createBroker();
  spoilRetained((aedes as unknown as { persistence: Retained }).persistence, lame);
  spoilMessages(aedes, lame);
  const server: Server = createServer((socket) => void aedes.handle(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  scope.after(async () => {
    await new Promise<void>((resolve) => aedes.close(() => resolve()));
    server.close();
  });
  return { url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

function spoilRetained(persistence: Retained, lame: Lame): void {
  const [retained, store] = [
    persistence.createRetainedStreamCombi.bind(persistence),
    persistence.storeRetained.bind(persistence),
  ];
  const isServed = (pattern: string): boolean =>
    lame.retains !== false && (lame.retainsForWildcards !== false || !/[+#]/.test(pattern));
  persistence.createRetainedStreamCombi = (patterns) => retained(patterns.filter(isServed));
  persistence.storeRetained = async (packet) => {
    if (lame.clears !== false || packet.payload.byteLength > 0) await store(packet);
  };
}

function spoilMessages(aedes: Aedes, lame: Lame): void {
  let count = 0;
  aedes.authorizePublish = (_client: Client | null, packet, done) => {
    if (packet.payload.length > (lame.payloadBytesMax ?? Infinity))
      return done(new Error('too large'));
    if (packet.retain && lame.takesRetained === false) return done(new Error('no retained'));
    count += 1;
    const isLate = lame.keepsOrder === false && count % 2 === 0;
    const { topic } = packet;
    if (isLate) {
      const later = { ...packet, topic };
      setTimeout(() => aedes.publish(later, () => undefined), SHUFFLE_MS);
    }
    if (isLate || lame.denies?.(topic)) packet.topic = NOWHERE;
    done(null);
  };
  if (lame.delivers === false)
    aedes.authorizeForward = (_client, packet) => (packet.retain ? packet : null);
  if (lame.keepsSessions !== false) return;
  aedes.preConnect = (_client, packet, done) => {
    packet.clean = true;
    done(null, true);
  };
}
