/**
 * `npm run bench -- install [rounds]`: verify, stage and swap as the agent does them, beside what a
 * script would do with the same payload: `sha256sum`, `tar -xzf`, a new link. The script does not
 * care for a power cut, so it runs a second time with `sync -f` before the link, which is the least
 * that ours promises.
 */

import { spawn } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { layoutOf, payloadFile, stagingFolder } from '../robot-client/install/layout.ts';
import { makeJob, type Job } from '../robot-client/update/state.ts';
import { openAnnouncement } from '../shared/formats/announcement.ts';
import { verifyRollout } from '../shared/formats/bundle-signature.ts';
import { DroverError } from '../shared/base/errors.ts';
import { makeFleet } from '../test/helpers/fleet.ts';
import { measureFamily } from './family.ts';
import type { InstallOutcome, InstallTask } from './install-task.ts';
import { median } from './median.ts';
import { appendResult } from './results.ts';

const MiB = 2 ** 20;
const ROUNDS_DEFAULT = 5;
const CHUNK_BYTES = 256 * 1024;
/** The agent's own flags: robot-client/drover-robot. */
const AGENT_FLAGS = ['--max-semi-space-size=1', '--no-opt'];

/** A few large files, as models and binaries are, and a tree of many small ones. */
const TREES = [
  { name: '4 files of 64 MiB', files: 4, bytes: 64 * MiB },
  { name: '4,000 files of 16 KiB', files: 4_000, bytes: 16 * 1024 },
] as const;
type Tree = (typeof TREES)[number];

interface Sample {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakMiB: number;
  readonly steps: string;
}
type Contender = readonly [name: string, run: (at: Place) => Promise<Sample>];

interface Place {
  /** Empty but for the payload in its place. */
  readonly root: string;
  readonly payload: string;
  readonly job: Job;
  readonly trust: string;
}

const script = (isDurable: boolean): string =>
  [
    'sha256sum "$1" > sum',
    'mkdir tree',
    'tar -xzf "$1" -C tree',
    ...(isDurable ? ['sync -f tree'] : []),
    'ln -s tree active.new',
    'mv -T active.new active',
    ...(isDurable ? ['sync .'] : []),
  ].join(' && ');

const CONTENDERS: readonly Contender[] = [
  ['sha256sum, tar, ln', (at) => runScript(at, script(false))],
  ['the same and sync -f', (at) => runScript(at, script(true))],
  ['Drover', runDrover],
];

export async function benchInstall(args: readonly string[]): Promise<void> {
  const rounds = Number(args[0] ?? ROUNDS_DEFAULT);
  if (!Number.isSafeInteger(rounds) || rounds < 1) {
    throw new DroverError('USAGE', `run bench install: want [rounds] (got ${args[0]})`);
  }
  const home = await mkdtemp(join(tmpdir(), 'drover-bench-'));
  try {
    for (const tree of TREES) await benchTree(home, tree, rounds);
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

async function benchTree(home: string, tree: Tree, rounds: number): Promise<void> {
  const made = await makePayload(home, tree);
  const samples = new Map<string, Sample[]>();
  for (let round = -1; round < rounds; round += 1) {
    for (const [name, run] of CONTENDERS) {
      const root = join(home, 'root');
      const { job, trust } = made;
      const folder = stagingFolder(layoutOf(root), job.payloadSha256);
      await mkdir(folder, { recursive: true });
      const payload = payloadFile(folder);
      await copyFile(made.payload, payload);
      await measureFamily('sync', ['-f', root]); // the copy is nobody's cost
      const sample = await run({ root, payload, job, trust });
      console.error(`${tree.name}, ${name}: ${sample.seconds.toFixed(2)} s`);
      // The first fills the cache of the disk.
      if (round >= 0) samples.set(name, [...(samples.get(name) ?? []), sample]);
      await rm(root, { recursive: true });
      await measureFamily('sync', ['-f', home]);
    }
  }
  await report(tree, made.job.payloadBytes, samples, rounds);
}

/** Half noise, half zeros: gzip has something to do and something to find. */
async function makePayload(
  home: string,
  { files, bytes }: Tree,
): Promise<Pick<Place, 'payload' | 'job' | 'trust'>> {
  const app = join(home, 'app');
  await mkdir(app);
  for (let at = 0; at < files; at += 1) {
    const folder = join(app, `part-${at % 50}`);
    await mkdir(folder, { recursive: true });
    await writeHalfNoise(join(folder, `file-${at}`), bytes, at);
  }
  const payload = join(home, 'payload.tar.gz');
  await measureFamily('tar', ['-C', app, '-czf', payload, '--sort=name', '.']);
  await rm(app, { recursive: true });
  const fleet = makeFleet();
  const version = '1.0.0';
  const content = await readFile(payload);
  const bundle = await fleet.makeBundle({ version, payload: content, chunkBytes: CHUNK_BYTES });
  const bytesOf = fleet.announce(1, [fleet.makeRollout('r-1', bundle)]);
  const [rollout] = openAnnouncement(bytesOf, fleet.trust).rollouts;
  const artifact = rollout?.artifacts[0];
  if (!rollout || !artifact) throw new Error('an announcement of nothing');
  const verified = verifyRollout(rollout, fleet.trust);
  const job = makeJob({ rollout, artifact, bundle: verified, seq: 1, now: Date.now() });
  return { payload, job, trust: Buffer.from(fleet.trustBytes).toString() };
}

async function writeHalfNoise(path: string, bytes: number, seed: number): Promise<void> {
  const file = await open(path, 'w');
  const block = Buffer.alloc(Math.min(bytes, MiB));
  let state = seed + 1;
  for (let at = 0; at < bytes; at += block.byteLength) {
    for (let word = 0; word < block.byteLength / 2; word += 4) {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      block.writeInt32LE(state ^ (state >>> 15), word);
    }
    await file.write(block);
  }
  await file.close();
}

async function runDrover({ root, job, trust }: Place): Promise<Sample> {
  const task: InstallTask = { root, job, trust };
  const told = join(root, 'task.json');
  await writeFile(told, JSON.stringify(task));
  const program = fileURLToPath(new URL('install-task.js', import.meta.url));
  const { out } = await run(process.execPath, [...AGENT_FLAGS, program, told], root);
  const { seconds, ...rest } = JSON.parse(out) as InstallOutcome;
  const { verify, stage, swap } = seconds;
  const steps = [verify, stage, swap].map((one) => one.toFixed(2)).join(' + ');
  return { seconds: verify + stage + swap, steps, ...rest };
}

async function runScript({ root, payload }: Place, text: string): Promise<Sample> {
  const timed = `TIMEFORMAT='%R %U %S'; time { ${text}; }`;
  const { told } = await run('bash', ['-c', timed, 'bash', payload], root);
  const [seconds = Number.NaN, user = 0, system = 0] = told.trim().split(' ').map(Number);
  return { seconds, cpuSeconds: user + system, peakMiB: Number.NaN, steps: '' };
}

async function run(
  program: string,
  args: readonly string[],
  cwd: string,
): Promise<{ out: string; told: string }> {
  const child = spawn(program, [...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  const [out, told]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (piece: Buffer) => out.push(piece));
  child.stderr.on('data', (piece: Buffer) => told.push(piece));
  const code = await new Promise((resolve, reject) => {
    child.once('close', resolve);
    child.once('error', reject);
  });
  const text = { out: Buffer.concat(out).toString(), told: Buffer.concat(told).toString() };
  if (code !== 0) throw new Error(`${program}: exit ${String(code)}: ${text.told}`);
  return text;
}

async function report(
  tree: Tree,
  payloadBytes: number,
  samples: ReadonlyMap<string, readonly Sample[]>,
  rounds: number,
): Promise<void> {
  const of = (name: string, what: (sample: Sample) => number): number =>
    median((samples.get(name) ?? []).map(what));
  const seconds = (name: string): number => of(name, (sample) => sample.seconds);
  const [plain = '', durable = '', ours = ''] = CONTENDERS.map(([name]) => name);
  const rows = [...samples].map(([name, all]) => {
    const peak = Math.max(...all.map((sample) => sample.peakMiB));
    return [
      name,
      seconds(name).toFixed(2),
      all.at(-1)?.steps ?? '',
      of(name, (sample) => sample.cpuSeconds).toFixed(2),
      Number.isNaN(peak) ? '' : peak.toFixed(0),
      name === ours ? (seconds(ours) / seconds(plain)).toFixed(2) : '',
      name === ours ? (seconds(ours) / seconds(durable)).toFixed(2) : '',
    ];
  });
  await appendResult(
    `Install: ${tree.name}, ${(payloadBytes / MiB).toFixed(0)} MiB packed, median of ${rounds}`,
    `npm run bench -- install ${rounds}`,
    {
      columns: [
        'who',
        'seconds',
        'verify + stage + swap, last',
        'CPU s',
        'peak MiB',
        'times the script',
        'times it with sync',
      ],
      rows,
    },
  );
}
