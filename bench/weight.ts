/**
 * `npm run bench -- weight [seconds]`: what the agent costs a robot that has nothing to do. A real
 * robot with a version installed idles at a real broker behind a proxy that reads along; what it
 * used in that time is told per hour. Default 600 s: a look at health and a report are due each
 * minute, so a shorter time says less.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { DroverError } from '../shared/errors.ts';
import { LIMITS } from '../shared/limits.ts';
import { startIdleRobot } from '../test/e2e/idle-robot.ts';
import type { Purpose, TrafficMeter } from '../test/helpers/traffic-meter.ts';
import { readProcessStats, type ProcessStats } from './process-stats.ts';
import { appendResult } from './results.ts';

const SECONDS_DEFAULT = 600;
/** What starting left behind is collected within this. */
const SETTLE_MS = 60_000;
const MiB = 1024 * 1024;
/** IPv4, TCP with time stamps: what the link carries beside the bytes of one segment. */
const SEGMENT_HEADER_BYTES = 52;
const PURPOSES: readonly Purpose[] = ['keepalive', 'reports', 'rest'];

interface Reading {
  readonly stats: ProcessStats;
  readonly seen: TrafficMeter['seen'];
  readonly segments: number;
}

function parseArgs(args: readonly string[]): number {
  const seconds = Number(args[0] ?? SECONDS_DEFAULT);
  if (Number.isSafeInteger(seconds) && seconds > 0) return seconds;
  throw new DroverError('USAGE', `run bench weight: want seconds (got ${args[0]})`);
}

export async function benchWeight(args: readonly string[]): Promise<void> {
  const seconds = parseArgs(args);
  const cleanUps: (() => void | Promise<void>)[] = [];
  try {
    const { child, traffic } = await startIdleRobot({ after: (run) => cleanUps.push(run) });
    const read = async (): Promise<Reading> => {
      const stats = await readProcessStats(child.pid);
      return { stats, seen: traffic.seen, segments: traffic.segments };
    };
    await sleep(SETTLE_MS);
    const before = await read();
    await sleep(seconds * 1000);
    await report({ before, after: await read(), seconds });
  } finally {
    for (const run of cleanUps.reverse()) await run();
  }
}

async function report(run: { before: Reading; after: Reading; seconds: number }): Promise<void> {
  const { before, after, seconds } = run;
  const perHour = (amount: number): number => Math.round((amount * 3600) / seconds);
  const bytes = (purpose: Purpose): number =>
    perHour(after.seen[purpose].bytes - before.seen[purpose].bytes);
  const packets = (purpose: Purpose): number =>
    perHour(after.seen[purpose].packets - before.seen[purpose].packets);
  const all = PURPOSES.reduce((sum, purpose) => sum + bytes(purpose), 0);
  const segments = perHour(after.segments - before.segments);
  const cpuMs = (after.stats.cpuSeconds - before.stats.cpuSeconds) * 1000;
  const rssMax = `< ${LIMITS.agentIdleRssBytesMax / MiB}`;
  await appendResult('What an idle agent costs', `npm run bench -- weight ${seconds}`, {
    columns: ['what', 'amount', 'promise'],
    rows: [
      ['resident MiB', after.stats.rssMiB.toFixed(1), rssMax],
      ['of it shared with no other process', after.stats.ownMiB.toFixed(1), ''],
      ['peak MiB since it started', after.stats.peakRssMiB.toFixed(1), ''],
      ['CPU ms per hour (health hook not counted)', perHour(cpuMs), ''],
      ...PURPOSES.map((one) => [
        `bytes per hour: ${one} (${packets(one)} packets)`,
        bytes(one),
        '',
      ]),
      ['bytes per hour of MQTT, both ways', all, `< ${LIMITS.agentIdleBytesPerHourMax}`],
      [`with TCP/IP headers of ${segments} segments`, all + segments * SEGMENT_HEADER_BYTES, ''],
    ],
  });
  const isHeavy = after.stats.rssMiB * MiB > LIMITS.agentIdleRssBytesMax;
  if (isHeavy || all > LIMITS.agentIdleBytesPerHourMax) {
    throw new Error('an idle agent costs more than its promise');
  }
}
