/**
 * An install on a real file system, killed at system calls that change a file: what boots is the
 * old or the new release, `recover` says so, and the next update succeeds. The same for
 * `recover` itself: finishing a swap, finishing a rollback, adopting a plain folder.
 */

import assert from 'node:assert/strict';
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { layoutOf } from '../../robot-client/install/layout.ts';
import { ADOPTED_VERSION_DEFAULT } from '../../robot-client/recover/adoption.ts';
import { realDisk } from '../../robot-client/install/disk.ts';
import { recoverComponent } from '../../robot-client/recover/recover.ts';
import { bytesToHex } from '../../shared/crypto/bytes.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { makeFleet } from '../helpers/fleet.ts';
import { inLanes } from '../helpers/lanes.ts';
import { seedOfRun } from '../helpers/run-seed.ts';
import { Share } from '../helpers/share.ts';
import { checkBoot, readActive, type Update } from './boot-check.ts';
import { installOnce, type Offer } from './install-once.ts';
import { LoopImage } from './loop-image.ts';
import { killAt, takeCensus, type KillPoint, type Traced } from './strace.ts';
import { AppMaker, HEALTH_FILE, treeHash, type AppVersion } from './versions.ts';

const APP = { fileCount: 2, fileBytes: 12_000, chunkBytes: LIMITS.chunkBytesMin };
const LANES = 2;
/** Kills between two checks of the whole file system. */
const CHECK_EVERY = 60;
const NAME_CALL = /^(?:rename|(?:sym)?link|unlink|mkdir|rmdir)/;
const SCRIPT = fileURLToPath(new URL('install-once.js', import.meta.url));

const fleet = makeFleet();
const apps = new AppMaker(fleet, APP);
const offerOf = (app: AppVersion): Offer => {
  const id = `app-${app.version.replaceAll('.', '-')}`;
  const announcement = fleet.announce(1, [fleet.makeRollout(id, app.bundle)]);
  const chunks = [...app.bundle.chunks].map(([hash, bytes]) => [hash, bytesToHex(bytes)]);
  return {
    trust: new TextDecoder().decode(fleet.trustBytes),
    announcement: new TextDecoder().decode(announcement),
    chunks: Object.fromEntries(chunks) as Offer['chunks'],
  };
};

const copyTree = (from: string, to: string): Promise<void> =>
  cp(from, to, { recursive: true, verbatimSymlinks: true });

/** A robot's root before what is to be killed, and what may boot after it. */
interface Scenario {
  readonly name: string;
  readonly template: string;
  readonly update: Update;
  /** Absent for a run of `recover`. */
  readonly offer?: AppVersion;
  /** Only calls that change a folder: how bytes and modes come is the same in other scenarios. */
  readonly isNamesOnly?: boolean;
  /** A plain folder that is not yet a release may be on its way: only after recovery it boots. */
  readonly isAdoption?: boolean;
}

class Bench {
  readonly #t: TestContext;
  readonly #image: LoopImage;
  readonly hooks: string;
  readonly #next: AppVersion;

  constructor(t: TestContext, image: LoopImage, next: AppVersion) {
    this.#t = t;
    this.#image = image;
    this.#next = next;
    this.hooks = this.path('hooks');
  }

  path(name: string): string {
    return join(this.#image.folder, name);
  }

  async prepare(offers: readonly AppVersion[]): Promise<void> {
    for (const app of offers) await writeFile(this.#offerPath(app), JSON.stringify(offerOf(app)));
    await mkdir(this.hooks);
    const isGood = `[ "$(cat "$DROVER_ACTIVE_DIR/${HEALTH_FILE}")" = good ] || exit 70`;
    await writeFile(join(this.hooks, 'health'), `#!/bin/sh\n${isGood}\n`, { mode: 0o755 });
  }

  tracedOf({ offer }: Scenario, root: string): Traced {
    if (!offer) return { script: SCRIPT, args: ['recover', root, this.hooks] };
    return { script: SCRIPT, args: [root, this.hooks, this.#offerPath(offer)] };
  }

  #offerPath(app: AppVersion): string {
    return this.path(`offer-${app.version}.json`);
  }

  async census(scenario: Scenario): Promise<KillPoint[]> {
    const root = await this.rootFor(scenario, 0);
    const logPath = this.path('census.log');
    return await takeCensus(this.#t, this.tracedOf(scenario, root), {
      folder: root,
      logPath,
    });
  }

  /** Every lane has a root of its own, of the same length in every run: paths are compared. */
  async rootFor(scenario: Scenario, lane: number): Promise<string> {
    const root = this.path(`root-${lane}`);
    await rm(root, { recursive: true, force: true });
    await copyTree(scenario.template, root);
    return root;
  }

  async killAtCalls(scenario: Scenario, share: Share): Promise<Map<string, number>> {
    const all = await this.census(scenario);
    const points = share.of(
      all.filter(({ syscall }) => !scenario.isNamesOnly || NAME_CALL.test(syscall)),
      ({ syscall }) => syscall,
    );
    const visited = new Map<string, number>();
    for (let from = 0; from < points.length; from += CHECK_EVERY) {
      const batch = points.slice(from, from + CHECK_EVERY);
      await inLanes(LANES, batch, async (point, lane) => {
        await this.#killOnce(scenario, point, lane);
        visited.set(point.syscall, (visited.get(point.syscall) ?? 0) + 1);
      });
      this.#image.check();
    }
    return visited;
  }

  async kill(scenario: Scenario, point: KillPoint, lane: number): Promise<string> {
    const root = await this.rootFor(scenario, lane);
    const [censusRoot, path] = [this.path('root-0'), point.path];
    const moved = { ...point, path: path === null ? null : path.replace(censusRoot, root) };
    await killAt(this.#t, this.tracedOf(scenario, root), moved);
    return root;
  }

  async #killOnce(scenario: Scenario, point: KillPoint, lane: number): Promise<void> {
    const { update } = scenario;
    const where = `${scenario.name}, killed at ${point.call}`;
    const root = await this.kill(scenario, point, lane);
    if (!scenario.isAdoption) {
      assert.deepEqual((await checkBoot(root, update)).violations, [], where);
    }
    const recovery = await this.#recover(root);
    const after = await checkBoot(root, update);
    assert.deepEqual(after.violations, [], `${where}, then recovered`);
    assert.equal(recovery.version, after.version, where);
    await installOnce(root, this.hooks, offerOf(this.#next));
    assert.equal(await readActive(root), this.#next.version, `${where}: the next update`);
    assert.equal(treeHash(layoutOf(root).active), this.#next.treeHash, where);
  }

  async #recover(root: string) {
    return await recoverComponent({
      component: 'app',
      root,
      disk: realDisk,
      hooksFolder: this.hooks,
      bootsMax: LIMITS.bootAttemptsMaxDefault,
      adoptVersion: ADOPTED_VERSION_DEFAULT,
    });
  }
}

type Apps = Record<'adopted' | 'old' | 'good' | 'bad' | 'next', AppVersion>;

async function makeApps(): Promise<Apps> {
  const adopted = await apps.make(ADOPTED_VERSION_DEFAULT, true);
  const old = await apps.make('1.0.0', true);
  const good = await apps.make('1.1.0', true);
  const bad = await apps.make('1.2.0', false);
  const next = await apps.make('2.0.0', true);
  return { adopted, old, good, bad, next };
}

/** From `active.new` for a swap, from `rollback` for the way back. */
const ONTO_ACTIVE = /", (?:AT_FDCWD, )?"[^"]*\/active"/;

/** A root killed where `recover` has something to finish: as `active` is about to be renamed. */
async function rootWithOpenEnd(bench: Bench, scenario: Scenario, renames: number) {
  const swaps = (await bench.census(scenario)).filter(
    ({ syscall, call }) => syscall.startsWith('rename') && ONTO_ACTIVE.test(call),
  );
  const point = swaps[renames - 1];
  assert.ok(point, `${scenario.name} renames active ${renames} times`);
  const template = bench.path(`open-end-${renames}`);
  await copyTree(await bench.kill(scenario, point, 1), template);
  return template;
}

async function makeScenarios(bench: Bench, made: Apps): Promise<Scenario[]> {
  const { adopted, old, good, bad } = made;
  const [empty, installed, plain, source] = [
    bench.path('empty'),
    bench.path('installed'),
    bench.path('plain'),
    bench.path('source-of-plain'),
  ];
  await mkdir(empty);
  await installOnce(installed, bench.hooks, offerOf(old));
  await installOnce(source, bench.hooks, offerOf(adopted));
  await mkdir(plain);
  await copyTree(join(source, `releases/${adopted.version}`), join(plain, 'active'));
  const swap = { template: installed, update: { from: old, to: good } };
  const back = { template: installed, update: { from: old, to: bad } };
  const update: Scenario = { ...swap, name: 'update', offer: good };
  const rollback: Scenario = { ...back, name: 'rollback', offer: bad };
  const first = { name: 'first install', template: empty, offer: good, isNamesOnly: true };
  const openSwap = await rootWithOpenEnd(bench, update, 1);
  const openBack = await rootWithOpenEnd(bench, rollback, 2);
  const adoption = { name: 'recover adopts a plain folder', template: plain, isAdoption: true };
  return [
    { ...first, update: { from: null, to: good } },
    update,
    rollback,
    { ...swap, name: 'recover finishes a swap', template: openSwap },
    { ...back, name: 'recover finishes a rollback', template: openBack },
    { ...adoption, update: { from: null, to: adopted } },
  ];
}

/** @param oneIn 1: at each call; n: at one in n, and at one of each name in each scenario */
export async function killAtCalls(t: TestContext, oneIn: number): Promise<void> {
  const image = await LoopImage.open(t);
  if (!image) return;
  const made = await makeApps();
  const bench = new Bench(t, image, made.next);
  await bench.prepare([made.good, made.bad]);
  const seed = seedOfRun();
  for (const scenario of await makeScenarios(bench, made)) {
    const startedAt = performance.now();
    const share = new Share(oneIn, seed);
    const visited = await bench.killAtCalls(scenario, share);
    const counts = [...visited].map(([syscall, count]) => `${syscall} ${count}`).join(', ');
    const total = [...visited.values()].reduce((sum, count) => sum + count, 0);
    assert.ok(total > 0, `${scenario.name} changes no file`);
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    t.diagnostic(`${scenario.name}: ${total} kill points in ${seconds} s: ${counts}`);
  }
  t.diagnostic(new Share(oneIn, seed).said);
}
