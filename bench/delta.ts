/**
 * `npm run bench -- delta [large | bytes …]`: deltas of real releases, fetched from npm, against
 * what `zstd -19 --long=27 --patch-from` makes of the whole tars: bytes on the wire, seconds and
 * peak memory of build machine and robot, all with real processes. `large` is one payload of 1 GiB
 * with a changed part, a moved one and a new one: the promise is a robot below 256 MiB, zstd
 * included. `bytes` compares sizes alone, beside more peers (delta-bytes.ts).
 */

import { spawn, type ChildProcess } from 'node:child_process';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { callLocalApi } from '../robot-client/local/client.ts';
import { startTcpProxy, type TcpProxy } from '../test/helpers/tcp-proxy.ts';
import { benchDeltaBytes } from './delta-bytes.ts';
import { FamilyWatch, measureFamily, type FamilyRun } from './family.ts';
import { writeLargePair } from './large-pair.ts';
import { fetchPackage } from './npm-release.ts';
import { appendResult, REPOSITORY } from './results.ts';

const PAIRS = [
  ['@esbuild/linux-x64', '0.25.9', '0.25.10'],
  ['typescript', '5.8.3', '5.9.2'],
  ['three', '0.178.0', '0.179.0'],
  ['next', '15.4.1', '15.4.2'],
] as const;
const KiB = 1024;
const RATIO_MAX = 1.02;
const ROBOT_MIB_MAX = 256;

interface Pair {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  /** Application folders. */
  readonly old: string;
  readonly next: string;
  /** Without the peer, which would need twice the tar in memory. */
  readonly isAlone: boolean;
}

interface Measured {
  readonly fullBytes: number;
  readonly deltaBytes: number;
  readonly build: FamilyRun;
  readonly robot: { patch: RobotRun; full: number };
  readonly peer: { bytes: number; make: FamilyRun; apply: FamilyRun } | null;
}

interface RobotRun {
  readonly seconds: number;
  readonly wireBytes: number;
  readonly peakMiB: number;
  readonly zstdMiB: number;
}

export async function benchDelta(args: readonly string[]): Promise<void> {
  if (args[0] === 'bytes') return benchDeltaBytes(args.slice(1));
  const home = await mkdtemp(join(tmpdir(), 'drover-bench-'));
  try {
    const pairs = args[0] === 'large' ? [await largePair(home)] : await fetchPairs(home);
    const results: [Pair, Measured][] = [];
    for (const pair of pairs) {
      const folder = join(home, `run-${results.length}`);
      await mkdir(folder);
      results.push([pair, await new Bench(folder, pair).run()]);
      await rm(folder, { recursive: true, force: true });
    }
    await report(results, args);
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

async function fetchPairs(home: string): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for (const [name, from, to] of PAIRS) {
    const [old, next] = [await fetchPackage(home, name, from), await fetchPackage(home, name, to)];
    pairs.push({ name, from, to, old, next, isAlone: false });
  }
  return pairs;
}

async function largePair(home: string): Promise<Pair> {
  const [old, next] = [join(home, 'old'), join(home, 'next')];
  await writeLargePair(old, next);
  return { name: '1 GiB', from: '1.0.0', to: '1.1.0', old, next, isAlone: true };
}

const drover = (...args: string[]): Promise<FamilyRun> =>
  measureFamily(process.execPath, [join(REPOSITORY, 'dist/drover.js'), ...args]);

class Bench {
  readonly #folder: string;
  readonly #pair: Pair;
  readonly #running: ChildProcess[] = [];
  readonly #ends: (() => unknown)[] = [];

  constructor(folder: string, pair: Pair) {
    this.#folder = folder;
    this.#pair = pair;
  }

  #at(...parts: string[]): string {
    return join(this.#folder, ...parts);
  }

  async run(): Promise<Measured> {
    const { old, next, from, to, isAlone } = this.#pair;
    try {
      await this.#makeKeys();
      await this.#build(old, from);
      const full = await this.#build(next, to);
      await rm(this.#at('bundles', to), { recursive: true });
      const build = await this.#build(next, to, '--delta-from', this.#at('bundles', from));
      // The robot has zstd, so it takes the smaller one.
      const sizes = ['zst', 'add'].map(async (kind) => {
        const part = await stat(this.#at('bundles', to, 'deltas', `${from}.${kind}`));
        return part.size;
      });
      const deltaBytes = Math.min(...(await Promise.all(sizes)));
      const payload = await stat(this.#at('bundles', to, 'payload.tar.gz'));
      const robot = await this.#carry();
      const peer = isAlone ? null : await this.#peer();
      const seconds = build.seconds - full.seconds;
      const fullBytes = payload.size;
      return { fullBytes, deltaBytes, build: { ...build, seconds }, robot, peer };
    } finally {
      for (const end of this.#ends) await end();
      for (const child of this.#running) child.kill('SIGTERM');
    }
  }

  async #makeKeys(): Promise<void> {
    for (const key of ['release', 'rollout']) await drover('keygen', '--out', this.#at(key));
    const keys = ['--release', this.#at('release.pub'), '--rollout', this.#at('rollout.pub')];
    await drover('trust', 'init', ...keys, '--out', this.#at('trust.json'));
  }

  async #build(app: string, version: string, ...more: string[]): Promise<FamilyRun> {
    const out = this.#at('bundles', version);
    const words = ['build', app, '--version', version, '--arch', 'any', '--out', out, ...more];
    const run = await drover(...words);
    await drover('sign', out, '--key', this.#at('release.key'));
    return run;
  }

  /** The update over a real broker, by the delta and, on another robot, by the payload. */
  async #carry(): Promise<Measured['robot']> {
    const { from, to } = this.#pair;
    const trust = ['--trust', this.#at('trust.json')];
    const ports = ['--mqtt', '0', '--http', '0', '--json'];
    const broker = this.#start(
      'broker/drover-broker',
      '--data',
      this.#at('broker'),
      ...trust,
      ...ports,
    );
    const { mqtt } = JSON.parse(await firstLine(broker)) as { mqtt: number };
    const proxy = await startTcpProxy({ after: (end) => void this.#ends.push(end) }, mqtt);
    const url = `mqtt://127.0.0.1:${proxy.port}`;
    const publish = async (version: string): Promise<void> => {
      const signed = ['--key', this.#at('rollout.key'), ...trust, '--waves', '100'];
      const bundle = this.#at('bundles', version);
      await drover('publish', bundle, '--broker', `mqtt://127.0.0.1:${mqtt}`, ...signed);
    };
    await publish(from);
    const own = (id: string) => ['--id', id, '--root', this.#at(id), '--hooks', this.#at('hooks')];
    const robot = this.#start('robot-client/drover-robot', ...own('r1'), '--broker', url, ...trust);
    await this.#untilInstalled('r1', from);
    const watch = new FamilyWatch(robot.pid ?? 0);
    const patch = await this.#update({ watch, proxy, publish: () => publish(to) });
    robot.kill('SIGTERM');
    const before = proxy.bytesDown;
    const words = [...own('r2'), '--broker', url, ...trust, '--no-deltas'];
    this.#start('robot-client/drover-robot', ...words);
    await this.#untilInstalled('r2', to);
    return { patch, full: proxy.bytesDown - before };
  }

  async #update(by: {
    watch: FamilyWatch;
    proxy: TcpProxy;
    publish: () => Promise<void>;
  }): Promise<RobotRun> {
    const { watch, proxy } = by;
    watch.forgetChildren();
    const before = proxy.bytesDown;
    await by.publish();
    await this.#untilInstalled('r1', this.#pair.to);
    watch.stop();
    const state = JSON.parse(await readFile(this.#at('r1/state/machine.json'), 'utf8')) as {
      lastUpdate: Record<'startedAtMs' | 'endedAtMs', number> &
        Record<'deltaFrom' | 'deltaFailed', string | null>;
    };
    const seconds = (state.lastUpdate.endedAtMs - state.lastUpdate.startedAtMs) / 1000;
    const { deltaFrom, deltaFailed } = state.lastUpdate;
    if (deltaFrom !== this.#pair.from) throw new Error(`no delta was taken: ${deltaFailed}`);
    const wireBytes = proxy.bytesDown - before;
    return { seconds, wireBytes, peakMiB: watch.peakMiB, zstdMiB: watch.childPeakMiB };
  }

  #start(command: string, ...args: string[]): ChildProcess {
    const child = spawn(join(REPOSITORY, command), args, {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, DROVER_LOG: 'error' },
    });
    this.#running.push(child);
    return child;
  }

  async #untilInstalled(robot: string, version: string): Promise<void> {
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      try {
        const socket = this.#at(robot, 'state/agent.sock');
        const status = await callLocalApi(socket, 'GET', '/status');
        const [one] = (status as { components: { version: string; phase: string }[] }).components;
        if (one?.version === version && one.phase === 'idle') return;
      } catch {
        // the agent has not opened its socket yet
      }
    }
  }

  async #peer(): Promise<NonNullable<Measured['peer']>> {
    const { from, to } = this.#pair;
    const [base, target] = [await this.#tar(from), await this.#tar(to)];
    const out = this.#at('peer.zst');
    const make = ['-q', '-f', '-19', '--long=27', `--patch-from=${base}`, target, '-o', out];
    const made = await measureFamily('zstd', make);
    const back = [
      '-q',
      '-f',
      '-d',
      '--long=31',
      `--patch-from=${base}`,
      out,
      '-o',
      this.#at('back'),
    ];
    const applied = await measureFamily('zstd', back);
    return { bytes: (await stat(out)).size, make: made, apply: applied };
  }

  async #tar(version: string): Promise<string> {
    const path = this.#at(`${version}.tar`);
    const payload = createReadStream(this.#at('bundles', version, 'payload.tar.gz'));
    await pipeline(payload, createGunzip(), createWriteStream(path));
    return path;
  }
}

async function firstLine(child: ChildProcess): Promise<string> {
  if (!child.stdout) throw new Error('no stdout');
  const lines = createInterface({ input: child.stdout });
  return await new Promise((resolve) => lines.once('line', resolve));
}

const COLUMNS = [
  'release',
  'full KiB',
  'delta KiB',
  'peer KiB',
  'delta / peer',
  'wire KiB of the update',
  'wire KiB in full',
  'make s',
  'peer s',
  'make peak MiB (node, zstd)',
  'peer MiB',
  'robot s',
  'robot peak MiB (agent + zstd)',
  'peer apply MiB',
];

async function report(
  results: readonly [Pair, Measured][],
  args: readonly string[],
): Promise<void> {
  const kib = (bytes: number): string => (bytes / KiB).toFixed(1);
  const rows = results.map(([{ name, from, to }, { build, robot, peer, ...bytes }]) => [
    `${name} ${from} to ${to}`,
    kib(bytes.fullBytes),
    kib(bytes.deltaBytes),
    peer ? kib(peer.bytes) : '',
    peer ? (bytes.deltaBytes / peer.bytes).toFixed(3) : '',
    kib(robot.patch.wireBytes),
    kib(robot.full),
    build.seconds.toFixed(1),
    peer?.make.seconds.toFixed(1) ?? '',
    `${build.peakMiB.toFixed(0)}, ${build.childPeakMiB.toFixed(0)}`,
    peer?.make.peakMiB.toFixed(0) ?? '',
    robot.patch.seconds.toFixed(1),
    `${robot.patch.peakMiB.toFixed(0)} + ${robot.patch.zstdMiB.toFixed(0)}`,
    peer?.apply.peakMiB.toFixed(0) ?? '',
  ]);
  const title = 'Deltas against zstd -19 --long=27 --patch-from on the whole tar';
  await appendResult(title, `npm run bench -- ${['delta', ...args].join(' ')}`, {
    columns: COLUMNS,
    rows,
  });
  const tooLarge = results.filter(
    ([, { deltaBytes, peer }]) => peer && deltaBytes > peer.bytes * RATIO_MAX,
  );
  const tooMuch = results.filter(
    ([, { robot }]) => robot.patch.peakMiB + robot.patch.zstdMiB > ROBOT_MIB_MAX,
  );
  if (tooLarge.length + tooMuch.length > 0) throw new Error('a delta is above its promise');
}
