/**
 * `npm run bench -- scale [chunks|robots [MAX]]`: the cost of a broker's start, one chunk and one
 * subscription to a control topic as its store grows from 10 to 100,000 chunks: none of the three
 * may follow the store. Then the cost of a pass of the controller as the fleet grows (refresh.ts).
 */

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256Hex } from '../shared/crypto/hash.ts';
import type { Sha256Hex } from '../shared/base/ids.ts';
import { chunkTopic } from '../shared/formats/topics.ts';
import type { Scope } from '../test/helpers/scope.ts';
import { leanMqtt } from './lean-client.ts';
import { median } from './median.ts';
import { startDroverPeer } from './peers.ts';
import { benchRefresh } from './refresh.ts';
import { appendResult } from './results.ts';

const STORED = [10, 1_000, 10_000, 100_000] as const;
/** Small, so that the disk holds them: what is asked is a lookup, whatever is behind it. */
const CHUNK_BYTES = 1_024;
const ASKED_MAX = 200;

export async function benchScale([part, max]: readonly string[] = []): Promise<void> {
  if (part !== 'robots') await benchChunks();
  if (part !== 'chunks') await benchRefresh(max === undefined ? Infinity : Number(max));
}

async function benchChunks(): Promise<void> {
  const rows: (string | number)[][] = [];
  for (const stored of STORED) {
    const cleanUps: (() => void | Promise<void>)[] = [];
    const scope: Scope = { after: (run) => void cleanUps.push(run) };
    try {
      const folder = await mkdtemp(join(tmpdir(), 'drover-bench-'));
      scope.after(() => rm(folder, { recursive: true, force: true }));
      const hashes = await fillStore(join(folder, 'chunks'), stored);
      const row = await measure(scope, folder, hashes);
      console.error(stored, row);
      rows.push([stored, ...row]);
    } finally {
      for (const run of cleanUps.reverse()) await run();
    }
  }
  await appendResult('How cost grows with the chunks stored', 'npm run bench -- scale', {
    columns: ['chunks', 'ms to listen', 'ms for a chunk, median', 'CPU s at start', 'MiB'],
    rows,
  });
}

/** As the broker would have written them, without its fsyncs: nobody cuts the power here. */
async function fillStore(folder: string, count: number): Promise<Sha256Hex[]> {
  for (let shard = 0; shard < 256; shard += 1) {
    await mkdir(join(folder, shard.toString(16).padStart(2, '0')), { recursive: true });
  }
  const hashes: Sha256Hex[] = [];
  const bytes = Buffer.alloc(CHUNK_BYTES);
  for (let at = 0; at < count; at += 1) {
    bytes.writeUInt32BE(at);
    const hash = sha256Hex(bytes);
    hashes.push(hash);
    await writeFile(join(folder, hash.slice(0, 2), hash), bytes);
  }
  return hashes;
}

async function measure(
  scope: Scope,
  folder: string,
  hashes: readonly Sha256Hex[],
): Promise<string[]> {
  const startedAt = performance.now();
  const drover = await startDroverPeer(scope, folder);
  const bootMs = performance.now() - startedAt;
  const { cpuSeconds } = await drover.stats();
  const step = Math.max(1, Math.floor(hashes.length / ASKED_MAX));
  const asked = hashes.filter((_, at) => at % step === 0).slice(0, ASKED_MAX);
  const times: number[] = [];
  for (const hash of asked) {
    const topics = [chunkTopic(hash)];
    const id = `bench-${hash.slice(0, 8)}`;
    const one = await leanMqtt({ port: drover.port, id, topics, window: 1, qos: 1 });
    const askedAt = performance.now();
    await one.pull();
    times.push(performance.now() - askedAt);
    one.end();
  }
  const { rssMiB } = await drover.stats();
  return [bootMs.toFixed(0), median(times).toFixed(2), cpuSeconds.toFixed(2), rssMiB.toFixed(0)];
}
