/**
 * `npm run bench -- weight [seconds]`: the cost of an agent on a robot that has nothing to do. Two
 * real robots idle at real brokers behind proxies that read along; the result is per hour. Default
 * 1,800 s: the one that no rollout watches reports every ten minutes.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { DroverError } from '../shared/base/errors.ts';
import { LIMITS } from '../shared/base/limits.ts';
import { startIdleRobot, type IdleRobot } from '../test/e2e/idle-robot.ts';
import type { Purpose, TrafficMeter } from '../test/helpers/traffic-meter.ts';
import { readProcessStats, type ProcessStats } from './process-stats.ts';
import { appendResult } from './results.ts';

const SECONDS_DEFAULT = 1_800;
/** Garbage of the start is collected within this time. */
const SETTLE_MS = 60_000;
const MiB = 1024 * 1024;
/** IPv4, TCP with time stamps: what the link carries beside the bytes of one segment. */
const SEGMENT_HEADER_BYTES = 52;

interface Reading {
  readonly stats: ProcessStats;
  readonly seen: TrafficMeter['seen'];
  readonly segments: number;
}

/** Use of one robot, per hour where that applies. */
interface Weight {
  readonly rssMiB: number;
  readonly ownMiB: number;
  readonly peakMiB: number;
  readonly cpuMs: number;
  readonly bytes: Readonly<Record<Purpose | 'all' | 'link', number>>;
}

function parseArgs(args: readonly string[]): number {
  const seconds = Number(args[0] ?? SECONDS_DEFAULT);
  if (Number.isSafeInteger(seconds) && seconds > 0) return seconds;
  throw new DroverError('USAGE', `run bench weight: want seconds (got ${args[0]})`);
}

export async function benchWeight(args: readonly string[]): Promise<void> {
  const seconds = parseArgs(args);
  const cleanUps: (() => void | Promise<void>)[] = [];
  const scope = { after: (run: () => void | Promise<void>) => void cleanUps.push(run) };
  try {
    const robots = {
      resting: await startIdleRobot(scope, 'resting'),
      updated: await startIdleRobot(scope, 'updated'),
    };
    const [resting, updated] = await Promise.all([
      weigh(robots.resting, seconds),
      weigh(robots.updated, seconds),
    ]);
    await report({ resting, updated, seconds });
  } finally {
    for (const run of cleanUps.reverse()) await run();
  }
}

async function weigh({ child, traffic }: IdleRobot, seconds: number): Promise<Weight> {
  const read = async (): Promise<Reading> => {
    const stats = await readProcessStats(child.pid);
    return { stats, seen: traffic.seen, segments: traffic.segments };
  };
  await sleep(SETTLE_MS);
  const before = await read();
  await sleep(seconds * 1000);
  const after = await read();
  const perHour = (amount: number): number => Math.round((amount * 3600) / seconds);
  const bytes = (purpose: Purpose): number =>
    perHour(after.seen[purpose].bytes - before.seen[purpose].bytes);
  const [keepalive, reports, rest] = [bytes('keepalive'), bytes('reports'), bytes('rest')];
  const all = keepalive + reports + rest;
  const link = all + perHour(after.segments - before.segments) * SEGMENT_HEADER_BYTES;
  return {
    rssMiB: after.stats.rssMiB,
    ownMiB: after.stats.ownMiB,
    peakMiB: after.stats.peakRssMiB,
    cpuMs: perHour((after.stats.cpuSeconds - before.stats.cpuSeconds) * 1000),
    bytes: { keepalive, reports, rest, all, link },
  };
}

async function report(run: { resting: Weight; updated: Weight; seconds: number }): Promise<void> {
  const { resting, updated, seconds } = run;
  const row = (what: string, of: (weight: Weight) => number | string, promise = '') => [
    what,
    of(resting),
    of(updated),
    promise,
  ];
  const { agentIdleRssBytesMax, agentIdleBytesPerHourMax, agentWatchedBytesPerHourMax } = LIMITS;
  const bytesMax = `< ${agentIdleBytesPerHourMax}, < ${agentWatchedBytesPerHourMax}`;
  await appendResult('What an idle agent costs', `npm run bench -- weight ${seconds}`, {
    columns: ['what', 'no rollout goes on', 'has just been updated', 'promise'],
    rows: [
      row('resident MiB', (one) => one.rssMiB.toFixed(1), `< ${agentIdleRssBytesMax / MiB}`),
      row('of it shared with no other process', (one) => one.ownMiB.toFixed(1)),
      row('peak MiB since it started', (one) => one.peakMiB.toFixed(1)),
      row('CPU ms per hour, its health hook not counted', (one) => one.cpuMs),
      row('bytes per hour: keep-alive', ({ bytes }) => bytes.keepalive),
      row('bytes per hour: reports', ({ bytes }) => bytes.reports),
      row('bytes per hour: rest', ({ bytes }) => bytes.rest),
      row('bytes per hour of MQTT, both ways', ({ bytes }) => bytes.all, bytesMax),
      row('the same with the headers of TCP/IP', ({ bytes }) => bytes.link),
    ],
  });
  const isHeavy = [resting, updated].some((one) => one.rssMiB * MiB > agentIdleRssBytesMax);
  const isTalkative =
    resting.bytes.all > agentIdleBytesPerHourMax || updated.bytes.all > agentWatchedBytesPerHourMax;
  if (isHeavy || isTalkative) throw new Error('an idle agent costs more than its promise');
}
