/**
 * `npm run bench -- payload [MiB]`: one large payload through the whole path with real processes,
 * and what each of them needed at its peak. Default 1,024 MiB; the promise is a robot under 96 MiB
 * and a broker under 150 MiB, whatever the payload.
 */

import { spawn, type ChildProcess } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { callLocalApi } from '../robot-client/io/local-client.ts';
import { readProcessStats, type ProcessStats } from './process-stats.ts';
import { appendResult, REPOSITORY } from './results.ts';

const MiB = 1024 * 1024;
const ROBOT_MIB_MAX = 96;
const BROKER_MIB_MAX = 150;

interface Run {
  readonly seconds: number;
  readonly stats: ProcessStats;
}

function start(program: string, args: readonly string[]): ChildProcess {
  const main = join(REPOSITORY, 'dist', program, 'main.js');
  return spawn(process.execPath, [main, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, DROVER_LOG: 'warn' },
  });
}

/** Runs a program to its end, watching its memory. */
async function measure(program: string, args: readonly string[]): Promise<Run> {
  const startedAt = performance.now();
  const child = start(program, args);
  child.stdout?.resume();
  let stats: ProcessStats = { peakRssMiB: 0, cpuSeconds: 0 };
  const watch = setInterval(() => {
    readProcessStats(child.pid ?? 0).then(
      (seen) => (stats = seen),
      () => undefined, // it has just ended: the last reading stands
    );
  }, 100);
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  clearInterval(watch);
  if (code !== 0) throw new Error(`${program} ${args[0]}: exit ${code}`);
  return { seconds: (performance.now() - startedAt) / 1000, stats };
}

/** Bytes that gzip cannot shrink, so that the payload is as large as the tree. */
async function writeNoise(path: string, mebibytes: number): Promise<void> {
  const file = await open(path, 'w');
  const block = Buffer.alloc(MiB);
  for (let at = 0; at < mebibytes; at += 1) await file.write(randomFillSync(block));
  await file.close();
}

async function firstLine(child: ChildProcess): Promise<string> {
  if (!child.stdout) throw new Error('no stdout');
  const lines = createInterface({ input: child.stdout });
  return await new Promise((resolve) => lines.once('line', resolve));
}

async function untilInstalled(socket: string, version: string): Promise<void> {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    try {
      const status = await callLocalApi(socket, 'GET', '/status');
      const [component] = (status as { components: { version: string; phase: string }[] })
        .components;
      if (component?.version === version && component.phase === 'idle') return;
    } catch {
      // the agent has not opened its socket yet
    }
  }
}

export async function benchPayload(args: readonly string[]): Promise<void> {
  const mebibytes = Number(args[0] ?? 1024);
  const home = await mkdtemp(join(tmpdir(), 'drover-bench-'));
  const at = (...parts: string[]): string => join(home, ...parts);
  const running: ChildProcess[] = [];
  try {
    await mkdir(at('app'));
    await writeNoise(at('app/noise'), mebibytes);
    for (const key of ['release', 'rollout'])
      await measure('publisher', ['keygen', '--out', at(key)]);
    const trust = ['--release', at('release.pub'), '--rollout', at('rollout.pub')];
    await measure('publisher', ['trust', 'init', ...trust, '--out', at('trust.json')]);
    const bundle = at('bundle');
    const build = await measure('publisher', [
      'build',
      at('app'),
      '--version',
      '1.0.0',
      '--arch',
      'any',
      '--out',
      bundle,
    ]);
    await measure('publisher', ['sign', bundle, '--key', at('release.key')]);
    const broker = start('broker', [
      '--data',
      at('broker'),
      '--trust',
      at('trust.json'),
      '--mqtt',
      '0',
      '--http',
      '0',
      '--json',
    ]);
    running.push(broker);
    const url = `mqtt://127.0.0.1:${(JSON.parse(await firstLine(broker)) as { mqtt: number }).mqtt}`;
    const publish = await measure('publisher', [
      'publish',
      bundle,
      '--broker',
      url,
      '--key',
      at('rollout.key'),
      '--trust',
      at('trust.json'),
      '--waves',
      '100',
    ]);
    const startedAt = performance.now();
    const robot = start('robot-client', [
      '--id',
      'r1',
      '--broker',
      url,
      '--root',
      at('r1'),
      '--trust',
      at('trust.json'),
      '--hooks',
      at('hooks'),
    ]);
    running.push(robot);
    await untilInstalled(at('r1/state/agent.sock'), '1.0.0');
    const seconds = (performance.now() - startedAt) / 1000;
    const robotRun = { seconds, stats: await readProcessStats(robot.pid ?? 0) };
    const brokerRun = {
      seconds: publish.seconds + seconds,
      stats: await readProcessStats(broker.pid ?? 0),
    };
    await report(mebibytes, { build, publish, robot: robotRun, broker: brokerRun });
    if (robotRun.stats.peakRssMiB > ROBOT_MIB_MAX || brokerRun.stats.peakRssMiB > BROKER_MIB_MAX) {
      throw new Error('a peak is above its promise');
    }
  } finally {
    for (const child of running) child.kill('SIGTERM');
    await rm(home, { recursive: true, force: true });
  }
}

async function report(mebibytes: number, runs: Record<string, Run>): Promise<void> {
  const bounds: Record<string, string> = {
    robot: `< ${ROBOT_MIB_MAX}`,
    broker: `< ${BROKER_MIB_MAX}`,
  };
  const rows = Object.entries(runs).map(([name, { seconds, stats }]) => [
    name,
    seconds.toFixed(1),
    (mebibytes / seconds).toFixed(0),
    stats.cpuSeconds.toFixed(1),
    stats.peakRssMiB.toFixed(1),
    bounds[name] ?? '',
  ]);
  await appendResult(
    `One payload of ${mebibytes} MiB, from tree to running release`,
    `npm run bench -- payload ${mebibytes}`,
    { columns: ['process', 'seconds', 'MiB/s', 'CPU s', 'peak RSS MiB', 'promise MiB'], rows },
  );
}
