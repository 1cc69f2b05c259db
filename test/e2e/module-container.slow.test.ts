/** The module `container` of examples/modules, with podman and images made from nothing. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ExampleModule } from '../helpers/example-module.ts';
import { requirePeer } from '../helpers/peer.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/** Without an overlay and without limits: a container inside of a container may set none. */
const podmanIn = (folder: string): string =>
  `podman --root ${folder}/containers --runroot ${folder}/run --storage-driver vfs --cgroup-manager cgroupfs --runtime runc`;
const LIMITS_CONF = '[containers]\ndefault_ulimits=[]\n';
const SETTINGS = `export CONTAINERS_CONF=FOLDER/containers.conf\nENGINE="${podmanIn('FOLDER')}"\n`;

class Site {
  readonly module: ExampleModule;
  readonly #maker: string;

  constructor(module: ExampleModule, maker: string) {
    this.module = module;
    this.#maker = maker;
  }

  /** @param where the folder of an engine */
  podman(args: readonly string[], where = this.module.folder): string {
    const env = { ...process.env, CONTAINERS_CONF: join(this.module.folder, 'containers.conf') };
    const [command = '', ...own] = podmanIn(where).split(' ');
    const run = spawnSync(command, [...own, ...args], { env, encoding: 'utf8' });
    assert.equal(run.status, 0, `podman ${args.join(' ')}: ${run.stderr}`);
    return run.stdout.trim();
  }

  /** A pod of one container, whose image no registry has. */
  async release(version: string, command = 'sleep'): Promise<string> {
    const [tree, release] = [join(this.#maker, version), join(this.#maker, `r-${version}`)];
    await mkdir(join(tree, 'bin'), { recursive: true });
    await mkdir(join(release, 'images'), { recursive: true });
    await copyFile('/bin/busybox', join(tree, 'bin', 'busybox'));
    await writeFile(join(tree, 'VERSION'), version);
    const [tar, image] = [join(this.#maker, `${version}.tar`), `localhost/arm:${version}`];
    assert.equal(spawnSync('tar', ['-cf', tar, '-C', tree, '.']).status, 0);
    this.podman(['import', '-q', tar, image], this.#maker);
    this.podman(['save', '-q', '-o', join(release, 'images', 'arm.tar'), image], this.#maker);
    await writeFile(
      join(release, 'pod.yaml'),
      `apiVersion: v1
kind: Pod
metadata:
  name: arm
spec:
  hostNetwork: true
  containers:
    - name: app
      image: ${image}
      imagePullPolicy: Never
      command: ["/bin/busybox", "${command}", "100000"]
`,
    );
    return release;
  }

  runs(): string {
    return this.podman(['exec', 'arm-app', '/bin/busybox', 'cat', '/VERSION']);
  }

  /** At a start the agent sees that something else runs, and repairs it. */
  async isMissed(): Promise<void> {
    const { bench } = this.module;
    bench.codes.length = 0;
    await bench.cutPower();
    await waitUntil('the word', () => bench.codes.includes('MODULE_DIFFERS'));
    await this.module.rests(bench.component.view.version ?? '');
  }

  images(): string[] {
    const found = this.podman(['images', '--format', '{{.Repository}}:{{.Tag}}']).split('\n');
    return found.filter((one) => one.startsWith('localhost/arm:')).sort();
  }
}

async function opened(t: TestContext): Promise<Site | null> {
  for (const peer of ['podman', 'runc', '/bin/busybox']) {
    if (requirePeer(t, peer) === null) return null;
  }
  // Before the folders are removed, in which its containers have mounts.
  let opening: Site | null = null;
  t.after(() => opening?.podman(['pod', 'rm', '-fa']));
  const module = await ExampleModule.open(t, 'container', SETTINGS);
  await writeFile(join(module.folder, 'containers.conf'), LIMITS_CONF);
  const site = (opening = new Site(module, await tempFolder(t)));
  return site;
}

test('a pod is replaced without a registry, and goes back after its old image was removed', async (t) => {
  const site = await opened(t);
  if (site === null) return;
  const { module } = site;
  await module.offer('2.0.0', await site.release('2.0.0'));
  await module.rests('2.0.0');
  assert.equal(site.runs(), '2.0.0');
  const other = await site.release('2.1.0');
  await module.offer('2.1.0', other);
  await module.rests('2.1.0');
  assert.equal(site.runs(), '2.1.0');
  await waitUntil('the old image to go', () => site.images().length === 1);
  assert.deepEqual(site.images(), ['localhost/arm:2.1.0']);

  // The engine is asked: a pod that is gone does not run, whatever was noted.
  site.podman(['pod', 'rm', '-fa']);
  await site.isMissed();
  assert.equal(site.runs(), '2.1.0');

  module.bench.recall('2.1.0');
  await module.rests('2.0.0');
  assert.equal(site.runs(), '2.0.0');
  // And a pod of the same name that is made of other images is another.
  site.podman(['play', 'kube', '--replace', join(other, 'pod.yaml')]);
  assert.equal(site.runs(), '2.1.0');
  await site.isMissed();
  assert.equal(site.runs(), '2.0.0');
});

test('a pod that does not stay up is replaced by the one before', async (t) => {
  const site = await opened(t);
  if (site === null) return;
  const { module } = site;
  await module.offer('2.0.0', await site.release('2.0.0'));
  await module.rests('2.0.0');
  const bad = await site.release('2.1.0', 'false');
  await module.offer('2.1.0', bad, 3);
  assert.equal(await module.blockOf('2.1.0'), 'HEALTH_DEADLINE');
  await module.rests('2.0.0');
  assert.equal(site.runs(), '2.0.0');
  assert.ok(site.images().includes('localhost/arm:2.0.0'));
});
