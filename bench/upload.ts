/**
 * `npm run bench -- upload [rounds]`: how fast a broker takes chunks from the link that publishers
 * use, beside mosquitto, which acknowledges chunks in memory; ours has them on the disk by then.
 * Our store alone, in this process and without a link, shows the cost of the disk. The three take
 * turns in each round, always with new chunks.
 */

import { randomFillSync } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DroverError } from '../shared/base/errors.ts';
import { FolderChunkStore } from '../broker/chunks/chunk-store.ts';
import { sha256Hex } from '../shared/crypto/hash.ts';
import type { Sha256Hex } from '../shared/base/ids.ts';
import { LIMITS } from '../shared/base/limits.ts';
import type { Wire } from '../shared/base/ports.ts';
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
    const store = await FolderChunkStore.open({
      folder: join(folder, 'store'),
      bytesMax: GiB * 64,
    });
    const alone: Sample[] = [];
    const samples = new Map<Peer, Sample[]>(peers.map((peer) => [peer, []]));
    await withWire(peers, async (wires) => {
      for (let round = 0; round < rounds; round += 1) {
        for (const [at, peer] of peers.entries()) {
          const wire = wires[at] as Wire;
          const sample = await upload(
            (hash, bytes) => storeChunk(wire, hash, bytes),
            async () => (await peer.stats()).cpuSeconds,
          );
          console.error(`${peer.name}: ${sample.mibPerSecond.toFixed(0)} MiB/s`);
          samples.get(peer)?.push(sample);
        }
        alone.push(await upload((hash, bytes) => store.put(hash, bytes), ownCpuSeconds));
      }
    });
    await report(samples, alone, rounds);
  } finally {
    for (const run of cleanUps.reverse()) await run();
  }
}

async function ownCpuSeconds(): Promise<number> {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

async function upload(
  put: (hash: Sha256Hex, bytes: Uint8Array) => Promise<void>,
  cpuSecondsSoFar: () => Promise<number>,
): Promise<Sample> {
  const count = (MIB_EACH * 2 ** 20) / CHUNK_BYTES;
  const queue = Array.from({ length: count }, () => {
    const bytes = randomFillSync(Buffer.allocUnsafeSlow(CHUNK_BYTES));
    return { bytes, hash: sha256Hex(bytes) };
  });
  const before = await cpuSecondsSoFar();
  const startedAt = performance.now();
  const worker = async (): Promise<void> => {
    for (let next = queue.pop(); next; next = queue.pop()) {
      await put(next.hash, next.bytes);
    }
  };
  await Promise.all(Array.from({ length: LIMITS.uploadWindow }, worker));
  const seconds = (performance.now() - startedAt) / 1000;
  return { mibPerSecond: MIB_EACH / seconds, cpuSeconds: (await cpuSecondsSoFar()) - before };
}

async function report(
  samples: ReadonlyMap<Peer, readonly Sample[]>,
  alone: readonly Sample[],
  rounds: number,
): Promise<void> {
  const rateOf = (all: readonly Sample[]): number => median(all.map((one) => one.mibPerSecond));
  const [mosquitto = []] = samples.values();
  const row = (name: string, all: readonly Sample[], peakMiB: string): string[] => {
    const gibibytes = (all.length * MIB_EACH * 2 ** 20) / GiB;
    const cpu = all.reduce((sum, one) => sum + one.cpuSeconds, 0) / gibibytes;
    const ratio = rateOf(all) / rateOf(mosquitto);
    return [name, rateOf(all).toFixed(0), ratio.toFixed(2), cpu.toFixed(2), peakMiB];
  };
  const rows = await Promise.all(
    [...samples].map(async ([peer, all]) =>
      row(peer.name, all, (await peer.stats()).peakRssMiB.toFixed(0)),
    ),
  );
  rows.push(row('the store of Drover alone, no link', alone, ''));
  await appendResult(
    `Upload: ${MIB_EACH} MiB at QoS 1, ${LIMITS.uploadWindow} chunks under way, median of ${rounds}`,
    `npm run bench -- upload ${rounds}`,
    { columns: ['broker', 'MiB/s', 'x mosquitto', 'CPU s/GiB', 'peak MiB'], rows },
  );
}
