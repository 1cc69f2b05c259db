/** The module `package` of examples/modules, with dpkg and small packages made here. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, mkdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ExampleModule } from '../helpers/example-module.ts';
import { requirePeer } from '../helpers/peer.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const SETTINGS = 'PLACE=FOLDER/place\n';

/** A release of one package with one file; `more` are lines of its control file. */
async function releaseOf(folder: string, version: string, more = ''): Promise<string> {
  const [release, tree] = [join(folder, `release-${version}`), join(folder, `deb-${version}`)];
  await mkdir(join(tree, 'DEBIAN'), { recursive: true });
  await mkdir(join(tree, 'opt', 'tool'), { recursive: true });
  await chmod(join(tree, 'DEBIAN'), 0o755);
  const control = `Package: tool\nVersion: ${version}\nArchitecture: all\nMaintainer: us <us@example.org>\nDescription: a tool\n${more}`;
  await writeFile(join(tree, 'DEBIAN', 'control'), control);
  await writeFile(join(tree, 'opt', 'tool', 'version'), version);
  await mkdir(join(release, 'packages'), { recursive: true });
  const deb = join(release, 'packages', 'tool.deb');
  const built = spawnSync('dpkg-deb', ['--build', '--root-owner-group', tree, deb]);
  assert.equal(built.status, 0, built.stderr.toString());
  return release;
}

async function opened(t: TestContext, settings = SETTINGS): Promise<ExampleModule | null> {
  if (requirePeer(t, 'dpkg-deb') === null) return null;
  return await ExampleModule.open(t, 'package', settings);
}

test('packages are installed in a tree of their own, and go back with one rename', async (t) => {
  const module = await opened(t);
  if (module === null) return;
  const { folder, bench } = module;
  const installed = (): Promise<string> =>
    readFile(join(folder, 'place', 'current', 'opt', 'tool', 'version'), 'utf8');

  await module.offer('2.0.0', await releaseOf(folder, '2.0.0'));
  await module.rests('2.0.0');
  assert.equal(await installed(), '2.0.0');
  await module.offer('2.1.0', await releaseOf(folder, '2.1.0'));
  await module.rests('2.1.0');
  assert.equal(await installed(), '2.1.0');
  const current = join(folder, 'place', 'current');
  const asked = spawnSync('dpkg', [`--root=${current}/`, '--status', 'tool']);
  assert.match(asked.stdout.toString(), /Status: install ok installed[^]*Version: 2\.1\.0/);

  bench.recall('2.1.0');
  await module.rests('2.0.0');
  assert.equal(await installed(), '2.0.0');
  assert.match(await readlink(current), /^trees\/2\.0\.0_[0-9a-f]{32}$/);
});

test('a set that dpkg cannot configure is refused while the old one stays', async (t) => {
  const module = await opened(t);
  if (module === null) return;
  const { folder } = module;
  await module.offer('2.0.0', await releaseOf(folder, '2.0.0'));
  await module.rests('2.0.0');
  await module.offer('2.1.0', await releaseOf(folder, '2.1.0', 'Depends: nowhere\n'));
  assert.equal(await module.blockOf('2.1.0'), 'MODULE_FAILED');
  assert.match(module.bench.component.view.state.lastProblem?.message ?? '', /nowhere/);
  await module.rests('2.0.0');
});

test('the root of the machine is refused: it has no way back', async (t) => {
  const module = await opened(t, 'PLACE=/\n');
  if (module === null) return;
  await module.offer('2.0.0', await releaseOf(module.folder, '2.0.0'));
  await waitUntil('the refusal', () => module.bench.codes.includes('MODULE_UNFIT'));
  assert.match(module.bench.component.view.state.lastProblem?.message ?? '', /no way back/);
  assert.equal(module.bench.carrier.sent, 0);
});
