/** The module `firmware` of examples/modules, with a simulated controller that loses its power. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { startChild, type Child } from '../helpers/child.ts';
import { ExampleModule } from '../helpers/example-module.ts';
import { requirePeer } from '../helpers/peer.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const CONTROLLER = repositoryFile('test/helpers/controller.py');
const SETTINGS = `LOADER="python3 ${CONTROLLER} loader FOLDER/port"\nPAUSE_S=0.2\n`;
/** Some hundred pieces on the line. */
const IMAGE_BYTES = 20_000;

/** Its power comes back whenever it fails. */
class Controller {
  readonly folder: string;
  /** The number of its power failures. */
  cuts = 0;
  readonly #t: TestContext;
  #isOver = false;
  #child: Child;

  constructor(t: TestContext, folder: string) {
    this.folder = folder;
    this.#t = t;
    this.#child = this.#start();
    t.after(() => (this.#isOver = true));
  }

  #start(): Child {
    const [port, flash, plan] = ['port', 'flash', 'plan'].map((name) => join(this.folder, name));
    const args = [CONTROLLER, 'serve', port ?? '', flash ?? '', plan ?? ''];
    const child = startChild(this.#t, 'python3', args);
    child.exit.then(
      () => this.#again(),
      () => {},
    );
    return child;
  }

  #again(): void {
    if (this.#isOver) return;
    this.cuts += 1;
    this.#child = this.#start();
  }

  async isThere(): Promise<void> {
    await waitUntil('the controller', () => existsSync(join(this.folder, 'port')), {
      look: () => this.#child.describe(),
    });
  }

  /** The power fails once, after so many bytes of an image. */
  async failAfter(bytes: number): Promise<void> {
    await writeFile(join(this.folder, 'plan'), String(bytes));
  }

  async runs(): Promise<string> {
    const flash = await readFile(join(this.folder, 'flash'), 'utf8').catch(() => '');
    return flash.split('\n')[0] ?? '';
  }
}

async function releaseOf(folder: string, version: string): Promise<string> {
  const release = join(folder, `release-${version}`);
  await mkdir(release, { recursive: true });
  const body = `${version} `.repeat(IMAGE_BYTES / (version.length + 1));
  await writeFile(join(release, 'firmware.bin'), `version=${version}\n${body}`);
  return release;
}

async function opened(t: TestContext) {
  if (requirePeer(t, 'python3') === null) return null;
  const module = await ExampleModule.open(t, 'firmware', SETTINGS);
  const controller = new Controller(t, module.folder);
  await controller.isThere();
  return { module, controller };
}

test('a controller that loses its power in the middle of its flash is written again', async (t) => {
  const stage = await opened(t);
  if (stage === null) return;
  const { module, controller } = stage;
  await module.offer('2.0.0', await releaseOf(module.folder, '2.0.0'));
  await module.rests('2.0.0');
  assert.equal(await controller.runs(), 'version=2.0.0');

  await controller.failAfter(IMAGE_BYTES / 2);
  await module.offer('2.1.0', await releaseOf(module.folder, '2.1.0'));
  await module.rests('2.1.0');
  assert.equal(controller.cuts, 1);
  assert.equal(await controller.runs(), 'version=2.1.0');

  module.bench.recall('2.1.0');
  await module.rests('2.0.0');
  assert.equal(await controller.runs(), 'version=2.0.0');

  // Another image that calls itself 2.0.0 is not the release.
  const image = 'version=2.0.0\nof somebody else';
  const loader = ['loader', join(module.folder, 'port')];
  for (const verb of ['erase', 'write', 'boot']) {
    // The controller does one thing at a time, and may just be asked for its version.
    await waitUntil(`${verb} by hand`, () => {
      const run = spawnSync('python3', [CONTROLLER, ...loader, verb], { input: image });
      return run.status === 0;
    });
  }
  module.bench.codes.length = 0;
  await module.bench.cutPower();
  await waitUntil('the word', () => module.bench.codes.includes('MODULE_DIFFERS'));
  await module.rests('2.0.0');
  const flash = await readFile(join(module.folder, 'flash'), 'latin1');
  assert.ok(!flash.includes('of somebody else'));
});

test('a robot and its controller that lose their power together end on one version', async (t) => {
  const stage = await opened(t);
  if (stage === null) return;
  const { module, controller } = stage;
  const { bench } = module;
  await module.offer('2.0.0', await releaseOf(module.folder, '2.0.0'));
  await module.rests('2.0.0');
  await controller.failAfter(IMAGE_BYTES / 2);
  await module.offer('2.1.0', await releaseOf(module.folder, '2.1.0'));
  await waitUntil('the cut', () => controller.cuts === 1);
  await bench.cutPower();
  await module.rests('2.1.0');
  assert.equal(await controller.runs(), 'version=2.1.0');
});

test('an image that the controller does not start is taken back', async (t) => {
  const stage = await opened(t);
  if (stage === null) return;
  const { module, controller } = stage;
  await module.offer('2.0.0', await releaseOf(module.folder, '2.0.0'));
  await module.rests('2.0.0');
  const bad = await releaseOf(module.folder, '2.1.0');
  await writeFile(join(bad, 'firmware.bin'), 'no header');
  await module.offer('2.1.0', bad);
  assert.equal(await module.blockOf('2.1.0'), 'MODULE_FAILED');
  await module.rests('2.0.0');
  assert.equal(await controller.runs(), 'version=2.0.0');
});
