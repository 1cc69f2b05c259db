/**
 * `npm run bench -- pull [rounds] [robots,…]`: the highest rate at which robots get chunks, beside
 * nginx and mosquitto at their best settings. Each round measures every peer in turn, so that a
 * busy moment of the machine disturbs all of them; the clients hash all they get and share one
 * process.
 */

import { randomFillSync } from 'node:crypto';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DroverError } from '../shared/base/errors.ts';
import { sha256Hex } from '../shared/crypto/hash.ts';
import type { Sha256Hex } from '../shared/base/ids.ts';
import { startChild } from '../test/helpers/child.ts';
import type { Scope } from '../test/helpers/scope.ts';
import { median } from './median.ts';
import { startDroverPeer, startMosquittoPeer, startNginx, type Peer } from './peers.ts';
import type { PullOutcome, PullTask } from './pull-clients.ts';
import { appendResult } from './results.ts';
import { storeChunk, withWire } from './store-over-mqtt.ts';

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const CHUNK_BYTES = 256 * 1024;
const ROUNDS_DEFAULT = 5;
const UPLOADS_AT_ONCE = 32;
/** The size of each robot's pull; many robots pull less, so that a run stays short. */
const MIB_EACH: readonly (readonly [robots: number, mebibytes: number])[] = [
  [1, 128],
  [8, 128],
  [64, 32],
];
const MOSQUITTO_BEST = { window: 16, qos: 0 } as const;

interface Contender {
  readonly name: string;
  readonly peer: Peer;
  readonly client: PullTask['client'];
  readonly fixed: PullTask['fixed'];
}

interface Sample extends PullOutcome {
  readonly serverCpuSeconds: number;
}

export async function benchPull(args: readonly string[]): Promise<void> {
  const { rounds, robots } = parseArgs(args);
  const cleanUps: (() => void | Promise<void>)[] = [];
  const scope: Scope = { after: (run) => void cleanUps.push(run) };
  try {
    const { contenders, hashes } = await prepare(scope);
    console.error('stored: now they are pulled');
    for (const [count, mebibytes] of MIB_EACH) {
      if (robots && !robots.includes(count)) continue;
      const task = {
        robots: count,
        chunkBytes: CHUNK_BYTES,
        hashes: hashes.slice(0, (mebibytes * MiB) / CHUNK_BYTES),
      };
      const samples = new Map<Contender, Sample[]>();
      for (let round = -1; round < rounds; round += 1) {
        for (const one of contenders) {
          const sample = await runOnce(scope, one, task);
          console.error(`${count} robots, ${one.name}: ${sample.seconds.toFixed(2)} s`);
          // The first fills caches: of the disk, of the code, of the store.
          if (round >= 0) samples.set(one, [...(samples.get(one) ?? []), sample]);
        }
      }
      await report({ samples, rounds, robots: count, mebibytes });
    }
  } finally {
    for (const run of cleanUps.reverse()) await run();
  }
}

function parseArgs([rounds, robots]: readonly string[]): {
  rounds: number;
  robots: number[] | null;
} {
  const count = Number(rounds ?? ROUNDS_DEFAULT);
  const wanted = robots === undefined ? null : robots.split(',').map(Number);
  const known = MIB_EACH.map(([robots]) => robots);
  const isKnown = wanted === null || wanted.every((one) => known.includes(one));
  if (Number.isSafeInteger(count) && count > 0 && isKnown) return { rounds: count, robots: wanted };
  throw new DroverError(
    'USAGE',
    `run bench pull: want [rounds] [${known.join(',')}] (got ${rounds} ${robots})`,
  );
}

async function prepare(
  scope: Scope,
): Promise<{ contenders: readonly Contender[]; hashes: Sha256Hex[] }> {
  const folder = await mkdtemp(join(tmpdir(), 'drover-bench-'));
  scope.after(() => rm(folder, { recursive: true, force: true }));
  const nginx = await startNginx(scope, join(folder, 'nginx'));
  const mosquitto = await startMosquittoPeer(scope, join(folder, 'mosquitto'));
  const drover = await startDroverPeer(scope, join(folder, 'drover'));
  const hashes = await fill(join(folder, 'nginx/files'), [mosquitto, drover]);
  const http = { client: 'http', fixed: null } as const;
  const fixed = MOSQUITTO_BEST;
  return {
    hashes,
    contenders: [
      { name: 'nginx, lean client', peer: nginx, ...http },
      {
        name: 'mosquitto, robot client, QoS 0, window 16',
        peer: mosquitto,
        client: 'robot',
        fixed,
      },
      { name: 'Drover, robot client as it is', peer: drover, client: 'robot', fixed: null },
      { name: 'mosquitto, lean client, QoS 0, window 16', peer: mosquitto, client: 'lean', fixed },
      { name: 'Drover, lean client, QoS 1, window 8', peer: drover, client: 'lean', fixed: null },
    ],
  };
}

/** The same bytes for all: as files, and as retained chunks. */
async function fill(files: string, brokers: readonly Peer[]): Promise<Sha256Hex[]> {
  await mkdir(files, { recursive: true });
  const count = Math.max(...MIB_EACH.map(([, mebibytes]) => (mebibytes * MiB) / CHUNK_BYTES));
  const names = new Set(MIB_EACH.map(([, mebibytes]) => (mebibytes * MiB) / CHUNK_BYTES));
  const handles = await Promise.all(
    [...names].map(async (chunks) => ({
      chunks,
      file: await open(join(files, `${chunks}.bin`), 'w'),
    })),
  );
  const hashes: Sha256Hex[] = [];
  const running: Promise<void>[] = [];
  await withWire(brokers, async (wires) => {
    for (let at = 0; at < count; at += 1) {
      const bytes = randomFillSync(Buffer.allocUnsafeSlow(CHUNK_BYTES));
      for (const { chunks, file } of handles) if (at < chunks) await file.write(bytes);
      const hash = sha256Hex(bytes);
      for (const wire of wires) running.push(storeChunk(wire, hash, bytes));
      hashes.push(hash);
      if (running.length >= UPLOADS_AT_ONCE) await Promise.all(running.splice(0));
    }
    await Promise.all(running);
  });
  for (const { file } of handles) await file.close();
  return hashes;
}

async function runOnce(
  scope: Scope,
  { name, peer, client, fixed }: Contender,
  rest: Pick<PullTask, 'robots' | 'chunkBytes' | 'hashes'>,
): Promise<Sample> {
  const program = fileURLToPath(new URL('pull-clients.js', import.meta.url));
  const task: PullTask = { client, port: peer.port, fixed, ...rest };
  const before = await peer.stats();
  const child = startChild(scope, process.execPath, [program, JSON.stringify(task)]);
  const { code } = await child.exit;
  if (code !== 0) throw new Error(`${name}: the clients failed\n${child.describe().slice(-4_000)}`);
  const after = await peer.stats();
  const outcome = JSON.parse(child.stdout) as PullOutcome;
  return { ...outcome, serverCpuSeconds: after.cpuSeconds - before.cpuSeconds };
}

async function report(run: {
  samples: ReadonlyMap<Contender, readonly Sample[]>;
  rounds: number;
  robots: number;
  mebibytes: number;
}): Promise<void> {
  const { samples, rounds, robots, mebibytes } = run;
  const rateOf = (one: Contender): number =>
    median((samples.get(one) ?? []).map(({ bytes, seconds }) => bytes / MiB / seconds));
  const perGiB = (all: readonly Sample[], of: (sample: Sample) => number): string => {
    const bytes = all.reduce((sum, one) => sum + one.bytes, 0);
    return (all.reduce((sum, one) => sum + of(one), 0) / (bytes / GiB)).toFixed(2);
  };
  const contenders = [...samples.keys()];
  const rows = await Promise.all(
    contenders.map(async (one) => {
      const all = samples.get(one) ?? [];
      const rivals = contenders.filter(({ peer, client }) => {
        const isBeside = peer.name === 'nginx' || client === one.client;
        return isBeside && peer.name !== one.peer.name && one.peer.name === 'Drover';
      });
      const ratios = rivals.map(
        (rival) => `${(rateOf(one) / rateOf(rival)).toFixed(2)} x ${rival.peer.name}`,
      );
      return [
        one.name,
        rateOf(one).toFixed(0),
        ratios.join(', '),
        perGiB(all, (sample) => sample.serverCpuSeconds),
        perGiB(all, (sample) => sample.cpuSeconds),
        (await one.peer.stats()).peakRssMiB.toFixed(0),
        Math.max(...all.map(({ peakRssMiB }) => peakRssMiB)).toFixed(0),
      ];
    }),
  );
  await appendResult(
    `Pull: ${robots} robots at once, ${mebibytes} MiB each, median of ${rounds}`,
    `npm run bench -- pull ${rounds} ${robots}`,
    {
      columns: [
        'server and clients',
        'MiB/s in all',
        'ratio',
        'server CPU s/GiB',
        'clients CPU s/GiB',
        'server peak MiB',
        'clients peak MiB',
      ],
      rows,
    },
  );
}
