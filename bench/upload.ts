/**
 * `npm run bench -- upload [rounds]`: how fast a broker takes chunks from the link that publishers
 * use, beside mosquitto, which acknowledges what it has in memory; ours is on the disk by then.
 * Round by round in turn, with chunks that nobody has seen.
 */

import { randomFillSync } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DroverError } from '../shared/errors.ts';
import { sha256Hex } from '../shared/hash.ts';
import { LIMITS } from '../shared/limits.ts';
import type { Wire } from '../shared/ports.ts';
import type { Scope } from '../test/helpers/scope.ts';
import { median } from './median.ts';
import { startDroverPeer, startMosquittoPeer, type Peer } from './peers.ts';
import { appendResult } from './results.ts';
import { storeChunk, withWire } from './store-over-mqtt.ts';

const ROUNDS_DEFAULT = 5;
const MIB_EACH = 64;
const CHUNK_BYTES = LIMITS.chunkBytesDefault;
const GiB = 2 ** 30;

interface Sample {
  readonly mibPerSecond: number;
  readonly cpuSeconds: number;
}

export async function benchUpload(args: readonly string[]): Promise<void> {
  const rounds = Number(args[0] ?? ROUNDS_DEFAULT);
  if (!Number.isSafeInteger(rounds) || rounds < 1) {
    throw new DroverError('USAGE', `run bench upload: want [rounds] (got ${args[0]})`);
  }
  const cleanUps: (() => void | Promise<void>)[] = [];
  const scope: Scope = { after: (run) => void cleanUps.push(run) };
  try {
    const folder = await mkdtemp(join(tmpdir(), 'drover-bench-'));
    scope.after(() => rm(folder, { recursive: true, force: true }));
    const peers = [
      await startMosquittoPeer(scope, join(folder, 'mosquitto')),
      await startDroverPeer(scope, join(folder, 'drover')),
    ];
    const samples = new Map<Peer, Sample[]>(peers.map((peer) => [peer, []]));
    await withWire(peers, async (wires) => {
      for (let round = 0; round < rounds; round += 1) {
        for (const [at, peer] of peers.entries()) {
          const sample = await upload(peer, wires[at] as Wire);
          console.error(`${peer.name}: ${sample.mibPerSecond.toFixed(0)} MiB/s`);
          samples.get(peer)?.push(sample);
        }
      }
    });
    await report(samples, rounds);
  } finally {
    for (const run of cleanUps.reverse()) await run();
  }
}

async function upload(peer: Peer, wire: Wire): Promise<Sample> {
  const count = (MIB_EACH * 2 ** 20) / CHUNK_BYTES;
  const queue = Array.from({ length: count }, () => {
    const bytes = randomFillSync(Buffer.allocUnsafeSlow(CHUNK_BYTES));
    return { bytes, hash: sha256Hex(bytes) };
  });
  const before = await peer.stats();
  const startedAt = performance.now();
  const worker = async (): Promise<void> => {
    for (let next = queue.pop(); next; next = queue.pop()) {
      await storeChunk(wire, next.hash, next.bytes);
    }
  };
  await Promise.all(Array.from({ length: LIMITS.uploadWindow }, worker));
  const seconds = (performance.now() - startedAt) / 1000;
  const { cpuSeconds } = await peer.stats();
  return { mibPerSecond: MIB_EACH / seconds, cpuSeconds: cpuSeconds - before.cpuSeconds };
}

async function report(
  samples: ReadonlyMap<Peer, readonly Sample[]>,
  rounds: number,
): Promise<void> {
  const rates = [...samples.values()].map((all) => median(all.map((one) => one.mibPerSecond)));
  const [mosquitto = Number.NaN] = rates;
  const rows = await Promise.all(
    [...samples].map(async ([peer, all], at) => {
      const rate = rates[at] as number;
      const gibibytes = (all.length * MIB_EACH * 2 ** 20) / GiB;
      const cpu = all.reduce((sum, one) => sum + one.cpuSeconds, 0) / gibibytes;
      const { peakRssMiB } = await peer.stats();
      const ratio = (rate / mosquitto).toFixed(2);
      return [peer.name, rate.toFixed(0), ratio, cpu.toFixed(2), peakRssMiB.toFixed(0)];
    }),
  );
  await appendResult(
    `Upload: ${MIB_EACH} MiB at QoS 1, ${LIMITS.uploadWindow} chunks under way, median of ${rounds}`,
    `npm run bench -- upload ${rounds}`,
    { columns: ['broker', 'MiB/s', 'x mosquitto', 'CPU s/GiB', 'peak MiB'], rows },
  );
}
