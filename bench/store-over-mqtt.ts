/** Chunks into brokers, the way publishers do it: retained, QoS 1, acknowledged. */

import type { Sha256Hex } from '../shared/base/ids.ts';
import { connectWire } from '../shared/io/mqtt-wire.ts';
import type { Wire } from '../shared/base/ports.ts';
import { chunkTopic } from '../shared/formats/topics.ts';
import type { Peer } from './peers.ts';

const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

/** Gives one link to each of the brokers, for as long as the work takes. */
export async function withWire<T>(
  brokers: readonly Peer[],
  work: (wires: readonly Wire[]) => Promise<T>,
): Promise<T> {
  const wires = await Promise.all(
    brokers.map(({ port }) =>
      connectWire(
        { url: `mqtt://127.0.0.1:${port}`, clientId: `bench-publisher-${process.pid}` },
        { onMessage: () => undefined },
        QUIET,
      ),
    ),
  );
  try {
    return await work(wires);
  } finally {
    for (const wire of wires) await wire.close();
  }
}

export async function storeChunk(wire: Wire, hash: Sha256Hex, bytes: Uint8Array): Promise<void> {
  await wire.send(chunkTopic(hash), bytes, { retain: true, qos: 1 });
}
