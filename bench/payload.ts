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
import { callLocalApi } from '../robot-client/local/client.ts';
import { readProcessStats, type ProcessStats } from './process-stats.ts';
import { appendResult, REPOSITORY } from './results.ts';

const MiB = 1024 * 1024;
const ROBOT_MIB_MAX = 96;
const BROKER_MIB_MAX = 150;

interface Run {
  readonly seconds: number;
  readonly stats: ProcessStats;
}

/** The commands that npm installs, as users start them: their flags are part of what is measured. */
const COMMANDS = {
  drover: 'dist/drover.js',
  'drover-broker': 'broker/drover-broker',
  'drover-robot': 'robot-client/drover-robot',
} as const;
type Command = keyof typeof COMMANDS;

function start(command: Command, args: readonly string[]): ChildProcess {
  const path = join(REPOSITORY, COMMANDS[command]);
  const [program, first] = command === 'drover' ? [process.execPath, [path]] : [path, []];
  return spawn(program, [...first, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, DROVER_LOG: 'error' },
  });
}

/** Runs a program to its end, watching its memory. */
async function measure(command: Command, args: readonly string[]): Promise<Run> {
  const startedAt = performance.now();
  const child = start(command, args);
  child.stdout?.resume();
  let stats: ProcessStats = { rssMiB: 0, ownMiB: 0, peakRssMiB: 0, cpuSeconds: 0 };
  const watch = setInterval(() => {
    readProcessStats(child.pid ?? 0).then(
      (seen) => (stats = seen),
      () => undefined, // it has just ended: the last reading stands
    );
  }, 100);
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  clearInterval(watch);
  if (code !== 0) throw new Error(`${command} ${args[0]}: exit ${code}`);
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

interface Place {
  readonly running: ChildProcess[];
  path(...parts: string[]): string;
}

async function makeBundle(at: Place, mebibytes: number): Promise<Run> {
  await mkdir(at.path('app'));
  await writeNoise(at.path('app/noise'), mebibytes);
  for (const key of ['release', 'rollout']) {
    await measure('drover', ['keygen', '--out', at.path(key)]);
  }
  const keys = ['--release', at.path('release.pub'), '--rollout', at.path('rollout.pub')];
  await measure('drover', ['trust', 'init', ...keys, '--out', at.path('trust.json')]);
  const version = ['--version', '1.0.0', '--arch', 'any', '--out', at.path('bundle')];
  const build = await measure('drover', ['build', at.path('app'), ...version]);
  await measure('drover', ['sign', at.path('bundle'), '--key', at.path('release.key')]);
  return build;
}

async function carry(at: Place): Promise<Record<'publish' | 'robot' | 'broker', Run>> {
  const trust = ['--trust', at.path('trust.json')];
  const ports = ['--mqtt', '0', '--http', '0', '--json'];
  const broker = start('drover-broker', ['--data', at.path('broker'), ...trust, ...ports]);
  at.running.push(broker);
  const { mqtt } = JSON.parse(await firstLine(broker)) as { mqtt: number };
  const url = ['--broker', `mqtt://127.0.0.1:${mqtt}`];
  const signed = ['--key', at.path('rollout.key'), ...trust, '--waves', '100'];
  const publish = await measure('drover', ['publish', at.path('bundle'), ...url, ...signed]);
  const startedAt = performance.now();
  const own = ['--id', 'r1', '--root', at.path('r1'), '--hooks', at.path('hooks')];
  const robot = start('drover-robot', [...own, ...url, ...trust]);
  at.running.push(robot);
  await untilInstalled(at.path('r1/state/agent.sock'), '1.0.0');
  const seconds = (performance.now() - startedAt) / 1000;
  return {
    publish,
    robot: { seconds, stats: await readProcessStats(robot.pid ?? 0) },
    broker: {
      seconds: publish.seconds + seconds,
      stats: await readProcessStats(broker.pid ?? 0),
    },
  };
}

export async function benchPayload(args: readonly string[]): Promise<void> {
  const mebibytes = Number(args[0] ?? 1024);
  const home = await mkdtemp(join(tmpdir(), 'drover-bench-'));
  const at: Place = { running: [], path: (...parts) => join(home, ...parts) };
  try {
    const build = await makeBundle(at, mebibytes);
    const runs = await carry(at);
    await report(mebibytes, { build, ...runs });
    const robotMiB = runs.robot.stats.peakRssMiB;
    if (robotMiB > ROBOT_MIB_MAX || runs.broker.stats.peakRssMiB > BROKER_MIB_MAX) {
      throw new Error('a peak is above its promise');
    }
  } finally {
    for (const child of at.running) child.kill('SIGTERM');
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
