/**
 * `npm run bench -- links [rounds] [name…]`: over each slow link in turn one HTTP download (nginx to
 * curl) and one pull of a robot from our broker, several times. The goal is a pull that uses at
 * least 85 % of what the download gets.
 *
 * Both are timed by the wire itself, from the first packet to the last full one, so that what a
 * pull needs before its first chunk (CONNECT, announcement, index) counts against it, and the start
 * of a program does not. Needs root, nginx and curl.
 */

import { randomFillSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DroverError } from '../shared/base/errors.ts';
import { startBrokerChild } from '../test/e2e/broker-child.ts';
import { Site } from '../test/e2e/site.ts';
import { WiredSite } from '../test/e2e/wired-site.ts';
import { startChild } from '../test/helpers/child.ts';
import { findPeer } from '../test/helpers/peer.ts';
import type { Scope } from '../test/helpers/scope.ts';
import { openShapedWire, ShapedWire, type WireSettings } from '../test/helpers/shaped-wire.ts';
import { tempFolder } from '../test/helpers/temp-folder.ts';
import { waitUntil } from '../test/helpers/wait-until.ts';
import { appendResult } from './results.ts';

const MiB = 1024 * 1024;
const HTTP_PORT = 8081;
const RATIO_MIN = 0.85;
const RUN_MS_MAX = 300_000;
const ROUNDS = 3;

interface Link extends WireSettings {
  readonly name: string;
  readonly mebibytes: number;
}

/** Payloads that take from ten seconds to a minute. */
const LINKS: readonly Link[] = [
  { name: '1M-300ms', bitsPerSecond: 1e6, rttMs: 300, loss: 0, mebibytes: 2 },
  { name: '1M-300ms-2%', bitsPerSecond: 1e6, rttMs: 300, loss: 0.02, mebibytes: 2 },
  { name: '20M-80ms', bitsPerSecond: 20e6, rttMs: 80, loss: 0, mebibytes: 16 },
  { name: '20M-80ms-2%', bitsPerSecond: 20e6, rttMs: 80, loss: 0.02, mebibytes: 8 },
  { name: '20M-600ms', bitsPerSecond: 20e6, rttMs: 600, loss: 0, mebibytes: 16 },
  { name: '20M-600ms-2%', bitsPerSecond: 20e6, rttMs: 600, loss: 0.02, mebibytes: 3 },
];

interface Run {
  readonly seconds: number;
  readonly bytesDown: number;
}

/** Ends in the order opposite to that of the starts. */
class BenchScope implements Scope {
  readonly #ends: (() => void | Promise<void>)[] = [];

  after(run: () => void | Promise<void>): void {
    this.#ends.push(run);
  }

  async end(): Promise<void> {
    for (const run of this.#ends.splice(0).reverse()) await run();
  }
}

async function within<T>(run: (scope: Scope) => Promise<T>): Promise<T> {
  const scope = new BenchScope();
  try {
    return await run(scope);
  } finally {
    await scope.end();
  }
}

interface Pair {
  readonly http: Run;
  readonly pull: Run;
}

interface Stage {
  readonly site: Site;
  /** Folder of a broker that has a payload of so many MiB, and the payload for nginx. */
  readonly published: ReadonlyMap<number, { data: string; file: string }>;
}

async function publishAll(scope: Scope, sizes: readonly number[]): Promise<Stage> {
  const site = await Site.open(scope);
  const published = new Map<number, { data: string; file: string }>();
  for (const size of new Set(sizes)) {
    const noise = randomFillSync(Buffer.alloc(size * MiB));
    const version = `1.0.${size}`;
    const bundle = await site.bundle(version, { noise });
    const data = await tempFolder(scope);
    await within(async (while_) => {
      const broker = await startBrokerChild(while_, { data });
      await site.publish(broker.url, bundle);
    });
    published.set(size, { data, file: join(bundle, 'payload.tar.gz') });
  }
  return { site, published };
}

async function startNginx(scope: Scope, wire: ShapedWire, file: string): Promise<void> {
  const folder = await tempFolder(scope);
  const config = join(folder, 'nginx.conf');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  const text = `
    ${process.getuid?.() === 0 ? 'user root;' : ''}
    daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/errors;
    events { worker_connections 64; }
    http {
      access_log off; sendfile on; tcp_nopush on;
      ${temporary.join(' ')}
      server {
        listen ${ShapedWire.FAR_ADDRESS}:${HTTP_PORT};
        location = /payload { alias ${file}; }
      }
    }`;
  await writeFile(config, text);
  const args = ['-e', join(folder, 'errors'), '-c', config];
  const nginx = startChild(scope, findPeer('nginx') ?? 'nginx', args, wire.on('far'));
  const url = `http://${ShapedWire.FAR_ADDRESS}:${HTTP_PORT}/none`;
  await waitUntil(
    'nginx to listen',
    async () => {
      const probe = startChild(scope, 'curl', ['-s', '-o', '/dev/null', url], wire.on('far'));
      return (await probe.exit).code === 0;
    },
    { look: () => nginx.describe() },
  );
}

async function timed(wire: ShapedWire, run: () => Promise<void>): Promise<Run> {
  await wire.mark();
  await run();
  const { up, down } = await wire.read();
  if (up.first_ms === null || down.last_large_ms === null) throw new Error('nothing was carried');
  return { seconds: (down.last_large_ms - up.first_ms) / 1000, bytesDown: down.bytes };
}

/** Both over one wire, which loses by the same draws for each of them. */
async function measure(stage: Stage, link: Link, round: number): Promise<Pair> {
  const { data, file } = stage.published.get(link.mebibytes) ?? { data: '', file: '' };
  return await within(async (scope) => {
    const wire = await openShapedWire(scope, { ...link, seed: round + 1 });
    await startNginx(scope, wire, file);
    const http = await timed(wire, async () => {
      const url = `http://${ShapedWire.FAR_ADDRESS}:${HTTP_PORT}/payload`;
      const curl = startChild(scope, 'curl', ['-sf', '-o', '/dev/null', url], wire.on('near'));
      if ((await curl.exit).code !== 0) throw new Error(curl.describe());
    });
    const wired = new WiredSite(scope, stage.site, wire);
    await wired.broker(data);
    const id = `r${link.name.replace(/[^0-9a-zA-Z-]/g, '')}-${round}`;
    const pull = await timed(wire, async () => {
      const robot = wired.robot(id);
      await robot.runs(`1.0.${link.mebibytes}`, RUN_MS_MAX);
      await robot.child.stop();
    });
    return { http, pull };
  });
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;

export async function benchLinks(args: readonly string[]): Promise<void> {
  const lacks = ['nginx', 'curl', 'ip', 'nsenter'].filter((peer) => findPeer(peer) === null);
  if (lacks.length > 0)
    throw new DroverError('USAGE', `measure links: install ${lacks.join(', ')}`);
  const rounds = Number(args[0] ?? ROUNDS);
  const links = LINKS.filter(({ name }) => args.length < 2 || args.slice(1).includes(name));
  const rows: (string | number)[][] = [];
  await within(async (scope) => {
    const sizes = links.map(({ mebibytes }) => mebibytes);
    const stage = await publishAll(scope, sizes);
    for (const link of links) {
      const runs: Pair[] = [];
      for (let round = 0; round < rounds; round += 1) {
        const run = await measure(stage, link, round);
        console.log(link.name, run.http.seconds.toFixed(2), run.pull.seconds.toFixed(2));
        runs.push(run);
      }
      rows.push(rowOf(link, runs));
    }
  });
  await appendResult(
    'A pull over slow links, beside one HTTP download over the same link',
    `npm run bench -- links ${args.join(' ')}`.trim(),
    {
      columns: ['link', 'MiB', 'nginx to curl, s', 'pull, s', 'ratio', 'bytes / payload', 'goal'],
      rows,
    },
  );
}

function rowOf(link: Link, runs: readonly Pair[]): (string | number)[] {
  const http = median(runs.map((run) => run.http.seconds));
  const pull = median(runs.map((run) => run.pull.seconds));
  const bytes = median(runs.map((run) => run.pull.bytesDown));
  const ratio = http / pull;
  return [
    link.name,
    link.mebibytes,
    http.toFixed(2),
    pull.toFixed(2),
    ratio.toFixed(2),
    (bytes / (link.mebibytes * MiB)).toFixed(3),
    ratio >= RATIO_MIN ? `>= ${RATIO_MIN}` : `missed: >= ${RATIO_MIN}`,
  ];
}
