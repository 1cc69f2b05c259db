/**
 * The module `package` of examples/modules with the power cut at each program that it runs: `PATH`
 * has a stand-in for each, which counts, kills the module at the chosen one (a removal when a part
 * of it is done) and else runs the real program. A tree that runs is complete after each cut.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { requirePeer } from '../helpers/peer.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { seedOfRun } from '../helpers/run-seed.ts';
import { Share } from '../helpers/share.ts';
import { tempFolder } from '../helpers/temp-folder.ts';

const FILES = ['one', 'two', 'three', 'four'];
/** Programs after which something on the disk is another. */
const PROGRAMS = ['cp', 'dpkg', 'ln', 'mkdir', 'mktemp', 'mv', 'rm', 'sync'];
/** Of so many points one is cut in each run. */
const ONE_IN = 6;

const standIn = (name: string): string => `#!/bin/sh
real=$(PATH=\${PATH#*:}; command -v ${name})
count=$(($(cat "$CUTS/count") + 1))
echo "$count" >"$CUTS/count"
if [ "$count" = "$CUT_AT" ]; then
  if [ ${name} = rm ]; then
    for last; do :; done
    find "$last" -type f 2>/dev/null | head -n 2 | xargs -r "$real" -f
  fi
  kill -9 0
fi
exec "$real" "$@"
`;

interface Release {
  readonly version: string;
  /** Content of each of its files. */
  readonly bytes: string;
  readonly folder: string;
}

class Site {
  readonly folder: string;
  readonly #module: string;

  constructor(folder: string) {
    this.folder = folder;
    this.#module = join(folder, 'package');
  }

  static async open(t: TestContext): Promise<Site> {
    const site = new Site(await tempFolder(t));
    await mkdir(join(site.folder, 'bin'));
    for (const name of PROGRAMS) {
      await writeFile(join(site.folder, 'bin', name), standIn(name));
      await chmod(join(site.folder, 'bin', name), 0o755);
    }
    const text = await readFile(repositoryFile('examples/modules/package'), 'utf8');
    await writeFile(site.#module, text);
    await chmod(site.#module, 0o755);
    await writeFile(join(site.folder, 'package.conf'), `PLACE=${site.place}\n`);
    return site;
  }

  get place(): string {
    return join(this.folder, 'place');
  }

  async release(version: string, bytes: string): Promise<Release> {
    const [tree, folder] = [join(this.folder, `deb-${bytes}`), join(this.folder, bytes)];
    await mkdir(join(tree, 'DEBIAN'), { recursive: true, mode: 0o755 });
    await mkdir(join(tree, 'opt'), { recursive: true });
    const control = `Package: tool\nVersion: ${version}\nArchitecture: all\nMaintainer: us <us@example.org>\nDescription: a tool\n`;
    await writeFile(join(tree, 'DEBIAN', 'control'), control);
    for (const name of FILES) await writeFile(join(tree, 'opt', name), bytes);
    await mkdir(join(folder, 'packages'), { recursive: true });
    const deb = join(folder, 'packages', 'tool.deb');
    const built = spawnSync('dpkg-deb', ['--build', '--root-owner-group', tree, deb]);
    assert.equal(built.status, 0, built.stderr.toString());
    return { version, bytes, folder };
  }

  /** @param cutAt number of the program at which the power fails; 0 for none */
  run(verb: string, release: Release, previous: Release | null, cutAt = 0) {
    const env = {
      PATH: `${join(this.folder, 'bin')}:${process.env['PATH']}`,
      CUTS: this.folder,
      CUT_AT: String(cutAt),
      DROVER_VERSION: release.version,
      DROVER_PAYLOAD_DIR: release.folder,
      DROVER_PREVIOUS_VERSION: previous?.version ?? '',
      DROVER_PREVIOUS_DIR: previous?.folder ?? '',
    };
    // In a group of its own, as the agent runs it: `kill 0` ends all of it, and not this test.
    return spawnSync('setsid', ['--wait', this.#module, verb], { env, encoding: 'utf8' });
  }

  async count(to?: number): Promise<number> {
    if (to !== undefined) await writeFile(join(this.folder, 'count'), String(to));
    return Number(await readFile(join(this.folder, 'count'), 'utf8'));
  }

  /** Content of the tree that runs; null for no tree. */
  async runs(): Promise<string | null> {
    const link = await readlink(join(this.place, 'current')).catch(() => null);
    if (link === null) return null;
    const tree = join(this.place, link, 'opt');
    assert.deepEqual((await readdir(tree)).sort(), [...FILES].sort(), 'each file is there');
    const bytes = await Promise.all(FILES.map((name) => readFile(join(tree, name), 'utf8')));
    assert.equal(new Set(bytes).size, 1, bytes.join(' '));
    return bytes[0] ?? null;
  }
}

test('a tree of the module package is complete after a power cut at any program that it runs', async (t) => {
  if (requirePeer(t, 'dpkg-deb') === null) return;
  const site = await Site.open(t);
  const [old, next] = [await site.release('1.0.0', 'old'), await site.release('2.0.0', 'new')];
  const begin = async (): Promise<void> => {
    await rm(site.place, { recursive: true, force: true });
    await site.count(0);
    assert.equal(site.run('switch', old, null).status, 0);
    await site.count(0);
  };
  /** An update that is cut at one program; null when it came to its end before. */
  const cut = async (at: number): Promise<string | null> => {
    await begin();
    for (const verb of ['stage', 'switch', 'confirm']) {
      if (site.run(verb, next, old, at).status !== 0) return verb;
    }
    return null;
  };
  assert.equal(await cut(0), null);
  const points = Array.from({ length: await site.count() }, (_, nth) => nth + 1);
  assert.ok(points.length > 15, `${points.length} points`);
  const share = new Share(ONE_IN, seedOfRun());
  const verbs = new Set<string>();
  for (const at of share.of(points, (one) => (one > points.length - 6 ? `end ${one}` : 'begin'))) {
    const verb = await cut(at);
    assert.ok(verb, `cut at ${at}`);
    verbs.add(verb);
    assert.ok(['old', 'new'].includes((await site.runs()) ?? ''), `cut at ${at} in ${verb}`);
    const ran = site.run('revert', next, old);
    assert.equal(ran.status, 0, `${at}: ${ran.stderr}`);
    assert.equal(await site.runs(), 'old', `went back after a cut at ${at} in ${verb}`);
    assert.equal(site.run('version', next, old).stdout, '1.0.0\n');
    assert.equal((await readdir(join(site.place, 'trees'))).length, 1, 'nothing is left behind');
  }
  assert.ok(verbs.has('confirm'), 'the removal was cut');
  t.diagnostic(share.said);
});

test('the module package never runs another payload of the same version', async (t) => {
  if (requirePeer(t, 'dpkg-deb') === null) return;
  const site = await Site.open(t);
  await site.count(0);
  const old = await site.release('1.0.0', 'old');
  const [bad, mended] = [await site.release('2.0.0', 'bad'), await site.release('2.0.0', 'mended')];
  for (const [verb, release] of [
    ['switch', old],
    ['stage', bad],
    ['stage', mended],
    ['switch', mended],
  ] as const) {
    assert.equal(site.run(verb, release, old).status, 0, verb);
  }
  assert.equal(await site.runs(), 'mended');
});
