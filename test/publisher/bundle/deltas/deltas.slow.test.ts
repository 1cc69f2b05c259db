/**
 * Deltas on the command line: built, checked, shown, and refused when they are not what they say.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { parseManifest } from '../../../../shared/formats/manifest.ts';
import { LIMITS } from '../../../../shared/base/limits.ts';
import { startDrover, type Child } from '../../../helpers/child.ts';
import { makeFleet } from '../../../helpers/fleet.ts';
import { tempFolder } from '../../../helpers/temp-folder.ts';
import { makeBundleFolder, writeFleetFiles } from '../../bundle-maker.ts';

const DATA_BYTES = 200_000;

class World {
  readonly folder: string;
  readonly #t: TestContext;

  private constructor(t: TestContext, folder: string) {
    this.#t = t;
    this.folder = folder;
  }

  /** Bundles 1.0.0 and 1.0.1, the application of 1.1.0, keys and trust. */
  static async open(t: TestContext): Promise<World> {
    const world = new World(t, await tempFolder(t));
    await writeFleetFiles(world.folder);
    for (const version of ['1.0.0', '1.0.1', '1.1.0']) {
      await makeBundleFolder(world.folder, version, DATA_BYTES);
    }
    await rm(world.path('1.1.0'), { recursive: true });
    return world;
  }

  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  async run(line: string): Promise<Child> {
    const child = startDrover(this.#t, 'publisher', line.split(' '), { cwd: this.folder });
    await child.exit;
    return child;
  }

  async ok(line: string): Promise<Record<string, unknown>> {
    const child = await this.run(`${line} --json`);
    assert.equal(child.ended?.code, 0, child.describe());
    return JSON.parse(child.stdout) as Record<string, unknown>;
  }

  async refused(line: string, exit: number, code: string, words = /./): Promise<void> {
    const child = await this.run(line);
    assert.equal(child.ended?.code, exit, child.describe());
    assert.match(child.stderr, new RegExp(`\\(${code}\\)$`, 'm'));
    assert.match(child.stderr, words);
  }

  build(more: string): string {
    return `build app-1.1.0 --version 1.1.0 --arch any --out out ${more}`;
  }

  async program(name: string, script: string): Promise<string> {
    await writeFile(this.path(name), `#!/bin/sh\n${script}\n`);
    await chmod(this.path(name), 0o755);
    return this.path(name);
  }

  async left(): Promise<string[]> {
    return (await readdir(this.folder)).filter((name) => /^\.?out/.test(name));
  }
}

describe('build --delta-from', { concurrency: 2 }, () => {
  test('makes a small delta from each base, which verify and inspect confirm', async (t) => {
    const world = await World.open(t);
    await writeFile(
      world.path('old.tar'),
      gunzipSync(await readFile(world.path('1.0.1/payload.tar.gz'))),
    );
    const built = await world.ok(world.build('--delta-from 1.0.0 --delta-from 1.0.1=old.tar'));
    const deltas = built['deltas'] as { from_version: string; coding: string; size: number }[];
    assert.deepEqual(deltas.map((one) => `${one.from_version} ${one.coding}`).sort(), [
      '1.0.0 add',
      '1.0.0 zstd',
      '1.0.1 add',
      '1.0.1 zstd',
    ]);
    assert.ok(
      deltas.every(({ size }) => size < 2_000),
      JSON.stringify(deltas),
    );
    assert.deepEqual(await world.left(), ['out'], 'no scratch stays behind');
    await world.ok('sign out --key release.key');
    const verified = await world.ok('verify out --trust trust.json');
    assert.deepEqual(verified['deltas'], ['1.0.0', '1.0.1']);
    await world.ok('pack out --out out.drover');
    const shown = await world.run('inspect out.drover');
    assert.match(shown.stdout, /^delta +from 1\.0\.0, .* in 1 segment of up to /m);
    const again = await world.ok(world.build('--delta-from 1.0.0').replace('--out out', '--out b'));
    const [first] = parseManifest(await readFile(world.path('out/manifest.json'))).deltas;
    const [second] = parseManifest(await readFile(world.path('b/manifest.json'))).deltas;
    assert.ok(again && first);
    assert.deepEqual(second, first, 'equal inputs give equal deltas');
  });

  test('leaves a delta out that would hardly be smaller, and says so', async (t) => {
    const world = await World.open(t);
    await mkdir(world.path('other'));
    await writeFile(world.path('other/file'), randomBytes(20_000));
    const line = 'build other --version 2.0.0 --arch any --out out --delta-from 1.0.0';
    const child = await world.run(line);
    assert.equal(child.ended?.code, 0, child.describe());
    assert.match(child.stdout, /no delta from 1\.0\.0 without zstd: too large \(19\./);
    assert.deepEqual(parseManifest(await readFile(world.path('out/manifest.json'))).deltas, []);
    assert.deepEqual((await readdir(world.path('out'))).sort(), [
      'manifest.json',
      'payload.tar.gz',
    ]);
  });

  test('leaves nothing behind and says why when zstd is missing, old, broken or a liar', async (t) => {
    const world = await World.open(t);
    const from = '--delta-from 1.0.0 --zstd';
    const version = 'case "$*" in --version) echo "zstd v1.5.4"; exit 0;; esac';
    await world.refused(
      world.build(`${from} /nowhere/zstd`),
      2,
      'ZSTD_MISSING',
      /apt install zstd/,
    );
    const old = await world.program('old', 'echo "*** zstd command line v1.3.8 ***"');
    await world.refused(world.build(`${from} ${old}`), 2, 'ZSTD_MISSING', /1\.3\.8, want 1\.4\.5/);
    const broken = await world.program('broken', `${version}\necho out of memory >&2; exit 7`);
    await world.refused(
      world.build(`${from} ${broken}`),
      3,
      'ZSTD_FAILED',
      /with 7: out of memory/,
    );
    const liar = await world.program('liar', `${version}\nhead -c 100`);
    await world.refused(world.build(`${from} ${liar}`), 3, 'DELTA_INVALID');
    assert.deepEqual(await world.left(), []);
  });

  test('refuses bases that no robot could patch from', async (t) => {
    const world = await World.open(t);
    const cases: [string, number, string][] = [
      ['--delta-from 1.0.0 --delta-from 1.0.0', 2, 'USAGE'],
      ['--delta-from 1.0.0 --min-current 1.0.1', 2, 'USAGE'],
      ['--delta-from 1.0.0 --name arm', 2, 'USAGE'],
      ['--delta-from nowhere', 2, 'FILE_UNREADABLE'],
      ['--delta-from 1.0.0=nowhere.tar', 2, 'FILE_UNREADABLE'],
    ];
    for (const [more, exit, code] of cases) await world.refused(world.build(more), exit, code);
    await writeFile(world.path('1.0.1/payload.tar.gz'), 'other bytes');
    await world.refused(world.build('--delta-from 1.0.1'), 3, 'PAYLOAD_SIZE_MISMATCH');
    assert.deepEqual(await world.left(), []);
  });
});

describe('a bundle with a delta', { concurrency: 2 }, () => {
  async function signed(t: TestContext): Promise<World> {
    const world = await World.open(t);
    await world.ok(world.build('--delta-from 1.0.0'));
    await world.ok('sign out --key release.key');
    return world;
  }
  const PUBLISH = 'publish out --broker mqtt://127.0.0.1:1 --key rollout.key --trust trust.json';

  test('is refused when the delta is another one, and good without it', async (t) => {
    const world = await signed(t);
    await rm(world.path('out/deltas/1.0.0.add'));
    const part = world.path('out/deltas/1.0.0.zst');
    const bytes = await readFile(part);
    bytes[bytes.byteLength - 1] = (bytes[bytes.byteLength - 1] ?? 0) ^ 1;
    await writeFile(part, bytes);
    await world.refused('verify out --trust trust.json', 3, 'DELTA_INVALID', /hash differs/);
    await world.refused(PUBLISH, 3, 'DELTA_INVALID');
    assert.match((await world.run('inspect out')).stdout, /^delta .*, refused: .*DELTA_INVALID/m);
    await writeFile(part, bytes.subarray(1));
    await world.refused('verify out --trust trust.json', 3, 'DELTA_INVALID', /size differs/);
    await rm(part);
    assert.deepEqual((await world.ok('verify out --trust trust.json'))['deltas'], []);
    assert.match((await world.run('inspect out')).stdout, /^delta .*, not in this bundle$/m);
  });

  test('is not signed when its tar and its payload are two different things', async (t) => {
    const world = await signed(t);
    const path = world.path('out/manifest.json');
    const manifest = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
    await writeFile(path, JSON.stringify({ ...manifest, payload_tar_sha256: 'a'.repeat(64) }));
    await world.refused('sign out --key release.key', 3, 'PAYLOAD_HASH_MISMATCH', /its tar/);
  });
});

test('the most deltas of a bundle fit in an announcement, in several rollouts beside each other', async () => {
  const fleet = makeFleet();
  const hash = 'a'.repeat(64);
  const deltas = Array.from({ length: LIMITS.deltasMax }, (_, at) => ({
    from_version: `1.0.${at}-${'x'.repeat(50)}`,
    from_tar_sha256: hash,
    sha256: hash,
    size: LIMITS.payloadBytesMax,
  }));
  const bundle = await fleet.makeBundle({ version: '2.0.0', manifest: { deltas } });
  const artifacts = [
    bundle.artifact,
    ...deltas.map(({ sha256, size }) => ({
      ...{ kind: 'zstd-patch' as const, sha256, size },
      ...{ chunk_size: LIMITS.chunkBytesMax, chunk_index: hash },
    })),
  ];
  const rollouts = Array.from({ length: LIMITS.rolloutsMax / 2 }, (_, at) =>
    fleet.makeRollout(`rollout-${at}`, bundle, { artifacts }),
  );
  assert.ok(fleet.announce(1, rollouts).byteLength < LIMITS.announcementBytesMax * 2);
});
