/**
 * `npm run bench -- fanout [rounds]` and `idle`: what many connected robots cost a broker, beside
 * mosquitto. Fan-out is the time until the last of them has an announcement of 8 KiB at QoS 1;
 * idle is the memory that each of them takes while nothing happens.
 */

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { DroverError } from '../shared/base/errors.ts';
import type { Scope } from '../test/helpers/scope.ts';
import { median } from './median.ts';
import { startDroverPeer, startMosquittoPeer, type Peer } from './peers.ts';
import type { ProcessStats } from './process-stats.ts';
import { appendResult } from './results.ts';

const ROBOTS = [1_000, 5_000, 9_000] as const;
const ROUNDS_DEFAULT = 5;
const SETTLE_MS = 3_000;
const STARTS = { mosquitto: startMosquittoPeer, Drover: startDroverPeer } as const;
type Name = keyof typeof STARTS;

interface Held {
  readonly before: ProcessStats;
  readonly idle: ProcessStats;
  readonly after: ProcessStats;
  readonly ms: readonly number[];
}

export async function benchFanout(args: readonly string[]): Promise<void> {
  const rounds = Number(args[0] ?? ROUNDS_DEFAULT);
  if (!Number.isSafeInteger(rounds) || rounds < 1) {
    throw new DroverError('USAGE', `run bench fanout: want [rounds] (got ${args[0]})`);
  }
  const rows: (string | number)[][] = [];
  for (const robots of ROBOTS) {
    const times: Partial<Record<Name, number>> = {};
    for (const name of ['mosquitto', 'Drover'] as const) {
      const { ms, idle, after } = await holdRobots(name, robots, rounds);
      times[name] = median(ms);
      const cpuMs = ((after.cpuSeconds - idle.cpuSeconds) * 1000) / rounds;
      rows.push([
        robots,
        name,
        median(ms).toFixed(0),
        name === 'Drover' ? (median(ms) / (times.mosquitto ?? Number.NaN)).toFixed(2) : '',
        cpuMs.toFixed(0),
        after.peakRssMiB.toFixed(0),
      ]);
    }
  }
  await appendResult(
    `An announcement to all, median of ${rounds}`,
    `npm run bench -- fanout ${rounds}`,
    {
      columns: ['robots', 'broker', 'ms to the last', 'x mosquitto', 'CPU ms each', 'peak MiB'],
      rows,
    },
  );
}

export async function benchIdle(): Promise<void> {
  const rows: (string | number)[][] = [];
  for (const robots of ROBOTS) {
    for (const name of ['mosquitto', 'Drover'] as const) {
      const { before, idle } = await holdRobots(name, robots, 0);
      const kib = ((idle.rssMiB - before.rssMiB) * 1024) / robots;
      rows.push([robots, name, before.rssMiB.toFixed(0), idle.rssMiB.toFixed(0), kib.toFixed(1)]);
    }
  }
  await appendResult('Memory of a broker for idle robots', 'npm run bench -- idle', {
    columns: ['robots', 'broker', 'MiB without any', 'MiB with all', 'KiB for each'],
    rows,
  });
}

/** A fresh broker, the robots at it, and so many announcements. */
async function holdRobots(name: Name, robots: number, rounds: number): Promise<Held> {
  const cleanUps: (() => void | Promise<void>)[] = [];
  const scope: Scope = { after: (run) => void cleanUps.push(run) };
  try {
    const folder = await mkdtemp(join(tmpdir(), 'drover-bench-'));
    cleanUps.push(() => rm(folder, { recursive: true, force: true }));
    const peer = await STARTS[name](scope, join(folder, name));
    return await measure(peer, robots, { rounds, cleanUps });
  } finally {
    for (const run of cleanUps.reverse()) await run();
  }
}

async function measure(
  peer: Peer,
  robots: number,
  { rounds, cleanUps }: { rounds: number; cleanUps: (() => void)[] },
): Promise<Held> {
  const program = fileURLToPath(new URL('held-robots.js', import.meta.url));
  const before = await peer.stats();
  const args = [program, String(robots), String(peer.port)];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  cleanUps.push(() => void child.kill('SIGKILL'));
  const lines = linesOf(child);
  await expectLine(lines, 'holding');
  await sleep(SETTLE_MS);
  const idle = await peer.stats();
  const ms: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    child.stdin?.write(`${round}\n`);
    ms.push(Number(await expectLine(lines, 'all')));
  }
  console.error(`${robots} robots at ${peer.name}: ${ms.join(' ')} ms`);
  return { before, idle, after: await peer.stats(), ms };
}

function linesOf(child: ChildProcess): AsyncIterator<string> {
  if (!child.stdout) throw new Error('no stdout');
  return createInterface({ input: child.stdout })[Symbol.asyncIterator]();
}

/** @returns what follows the word */
async function expectLine(lines: AsyncIterator<string>, word: string): Promise<string> {
  const { value, done } = await lines.next();
  if (done !== true && String(value).startsWith(word)) return String(value).slice(word.length);
  throw new Error(`the robots ended before they said ${word}`);
}
