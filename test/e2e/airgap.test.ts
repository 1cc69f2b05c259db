/**
 * Updates across a real air gap: cloud and site are network namespaces without a route between
 * them, and everything that goes from one to the other is a file in a folder.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { test, type TestContext } from 'node:test';
import { startChild, type Child } from '../helpers/child.ts';
import { requirePeer } from '../helpers/peer.ts';
import { programFile, type DroverProgram } from '../helpers/program-file.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { Site } from './site.ts';
import { makeKey } from './site-making.ts';

/** A namespace with nothing but its loopback. */
class Island {
  readonly #scope: TestContext;
  readonly #name: string;
  url = '';

  constructor(scope: TestContext) {
    this.#scope = scope;
    this.#name = `drover-${process.pid}-${randomBytes(3).toString('hex')}`;
    this.#ip('netns', 'add', this.#name);
    scope.after(() => this.#ip('netns', 'del', this.#name));
    this.#ip('-n', this.#name, 'link', 'set', 'lo', 'up');
  }

  #ip(...args: string[]): void {
    const done = spawnSync('ip', args);
    assert.equal(done.status, 0, done.stderr.toString());
  }

  start(program: DroverProgram, ...args: string[]): Child {
    const inside = ['netns', 'exec', this.#name, process.execPath, programFile(program)];
    return startChild(this.#scope, 'ip', [...inside, ...args]);
  }

  async broker(...args: string[]): Promise<void> {
    const ports = ['--mqtt', '0', '--http', '0', '--json'];
    const child = this.start('broker', ...ports, ...args);
    const [line] = await child.waitForOutput(/^\{"mqtt":.*\}$/m);
    this.url = `mqtt://127.0.0.1:${(JSON.parse(line) as { mqtt: number }).mqtt}`;
  }

  async drover(...args: string[]): Promise<Record<string, unknown>> {
    const child = this.start('publisher', ...args, '--json');
    await child.exit;
    if (child.ended?.code !== 0) throw new Error(child.describe());
    return JSON.parse(child.stdout) as Record<string, unknown>;
  }

  /** The code of the refusal. */
  async refused(...args: string[]): Promise<string> {
    const child = this.start('publisher', ...args, '--json');
    const { code } = await child.exit;
    assert.equal(code, 3, child.describe());
    return (JSON.parse(child.stdout) as { error: { code: string } }).error.code;
  }

  /** Waits until every robot that has reported runs this version. */
  async runs(version: string, robots: number): Promise<void> {
    await waitUntil(
      `${robots} robots to run ${version}`,
      async () => {
        const { versions } = await this.drover('fleet', 'versions', '--broker', this.url);
        const all = versions as { version: string }[];
        return all.length === robots && all.every((one) => one.version === version);
      },
      { timeoutMs: 60_000 },
    );
  }
}

interface Stage {
  readonly cloud: Island;
  readonly site: Island;
  readonly fleet: Site;
  /** Options of an import at the site. */
  readonly at: readonly string[];
  stick(name: string): string;
}

/** Cloud, site with its own controller and robots, keys of both, and a folder that is the stick. */
async function openStage(t: TestContext, robots: number): Promise<Stage | null> {
  if (requirePeer(t, 'ip') === null) return null;
  const fleet = await Site.open(t);
  await makeKey(fleet.path('site'));
  const rollout = ['--rollout', fleet.path('rollout.pub'), '--rollout', fleet.path('site.pub')];
  const trust = fleet.path('both.json');
  const release = ['--release', fleet.path('release.pub')];
  await fleet.drover('trust', 'init', ...release, ...rollout, '--fleet', 'test', '--out', trust);
  const [cloud, site] = [new Island(t), new Island(t)];
  await cloud.broker('--data', fleet.path('cloud'), '--trust', trust);
  const lead = ['--rollout-key', fleet.path('site.key'), '--controller-start', '1s'];
  await site.broker('--data', fleet.path('onsite'), '--trust', trust, ...lead);
  for (let at = 1; at <= robots; at += 1) {
    const id = `r${at}`;
    const own = ['--id', id, '--root', fleet.path(id), '--hooks', fleet.path('no-hooks')];
    site.start('robot-client', ...own, '--broker', site.url, '--trust', trust);
  }
  await mkdir(fleet.path('stick'));
  const kept = ['--into', fleet.path('kept')];
  return {
    cloud,
    site,
    fleet,
    at: ['--broker', site.url, '--trust', trust, ...kept],
    stick: (name) => fleet.path('stick', name),
  };
}

async function publishAndExport(
  stage: Stage,
  version: string,
  more: { noiseBytes?: number; publish?: readonly string[] } = {},
): Promise<string> {
  const { noiseBytes = 0, publish = [] } = more;
  const { cloud, fleet } = stage;
  const bundle = await fleet.bundle(version, { noise: randomBytes(noiseBytes) });
  const trust = ['--trust', fleet.path('both.json')];
  const key = ['--key', fleet.path('rollout.key'), '--chunk-size', '16k'];
  const broker = ['--broker', cloud.url];
  await cloud.drover(
    'publish',
    bundle,
    ...broker,
    ...trust,
    ...key,
    '--waves',
    '50,100',
    '--soak',
    '1s',
    ...publish,
  );
  const file = stage.stick(`${version}.drover-export`);
  await cloud.drover('export', ...broker, ...trust, '--out', file);
  return file;
}

test('two versions go over an air gap, and the site runs the waves by itself [P-13.5]', async (t) => {
  const stage = await openStage(t, 2);
  if (!stage) return;
  const { site, at, fleet } = stage;
  const first = await publishAndExport(stage, '1.0.0');
  assert.equal((await site.drover('import', first, ...at)).mode, 'republished');
  assert.equal((await site.drover('import', first, ...at)).announced_before, true);
  await site.runs('1.0.0', 2);

  // The second one is announced by the site itself, with waves of its own.
  const supersede = ['--supersede', await rolloutOf(first)];
  const second = await publishAndExport(stage, '1.1.0', { publish: supersede });
  const own = ['--key', fleet.path('site.key'), '--waves', '50,100', '--soak', '1s'];
  const more = [...own, ...supersede];
  const done = await site.drover('import', second, ...at, ...more);
  assert.equal(done.mode, 'announced');
  assert.equal(done.order_signed, true);
  await site.runs('1.1.0', 2);

  // Once more changes nothing; the older file is refused by name.
  assert.equal(done.announced_before, false);
  const again = await site.drover('import', second, ...at, ...own);
  assert.equal(again.announced_before, true);
  assert.deepEqual(sentOf(again), [0]);
  assert.equal(await site.refused('import', first, ...at), 'PARCEL_OLD');
  assert.equal(await site.refused('import', second, ...at), 'PARCEL_OLD');
  assert.equal(await site.refused('import', first, ...at, ...own), 'PARCEL_OLD');
});

const sentOf = (done: Record<string, unknown>): number[] =>
  (done.bundles as { sent_chunks: number }[]).map((one) => one.sent_chunks);

/** The rollout that the announcement in a file holds. */
async function rolloutOf(file: string): Promise<string> {
  const text = (await readFile(file)).toString('latin1');
  const payload = /"payload":"([A-Za-z0-9+/=]+)"/.exec(text)?.[1] ?? '';
  const announcement = JSON.parse(Buffer.from(payload, 'base64').toString()) as {
    rollouts: { id: string }[];
  };
  return announcement.rollouts[0]?.id ?? '';
}

test('a file that was changed, cut or is for others is refused, and nothing is published [P-13.2]', async (t) => {
  const stage = await openStage(t, 0);
  if (!stage) return;
  const { site, at, fleet } = stage;
  const file = await publishAndExport(stage, '1.0.0', { noiseBytes: 50_000 });
  const bytes = await readFile(file);
  const bad = stage.stick('bad.drover-export');
  const flip = async (position: number): Promise<string> => {
    const changed = Buffer.from(bytes);
    changed.writeUInt8(changed.readUInt8(position) ^ 1, position);
    await writeFile(bad, changed);
    return await site.refused('import', bad, ...at);
  };
  assert.equal(await flip(bytes.byteLength - 10_000), 'PARCEL_DAMAGED');
  assert.equal(await flip(700), 'PARCEL_INVALID'); // in the index: it is no JSON any more
  await writeFile(bad, bytes.subarray(0, -1));
  assert.equal(await site.refused('import', bad, ...at), 'PARCEL_TRUNCATED');
  await writeFile(bad, randomBytes(2000));
  assert.equal(await site.refused('import', bad, ...at), 'PARCEL_INVALID');

  // A trust file that knows another rollout key, and one that knows another release key.
  const other = ['--broker', site.url, '--into', fleet.path('kept')];
  const strangers = async (release: string, rollout: string): Promise<string> => {
    const trust = fleet.path(`${release}-${rollout}.json`);
    const keys = [
      '--release',
      fleet.path(`${release}.pub`),
      '--rollout',
      fleet.path(`${rollout}.pub`),
    ];
    await fleet.drover('trust', 'init', ...keys, '--fleet', 'test', '--out', trust);
    return await site.refused('import', file, ...other, '--trust', trust);
  };
  assert.equal(await strangers('release', 'site'), 'ENVELOPE_KEY_UNKNOWN');
  await makeKey(fleet.path('other'));
  assert.equal(await strangers('other', 'rollout'), 'BUNDLE_SIGNATURE_BAD');
  await copyFile(file, bad);
  assert.equal((await site.drover('import', bad, ...at, '--dry-run')).dry_run, true);
  const { versions } = await site.drover('fleet', 'versions', '--broker', site.url);
  assert.deepEqual(versions, []);
});

test('an import that is killed half-way uploads only the rest the next time', async (t) => {
  const stage = await openStage(t, 0);
  if (!stage) return;
  const { site, at, fleet } = stage;
  const file = await publishAndExport(stage, '1.0.0', { noiseBytes: 8 * 1024 * 1024 });
  const child = site.start('publisher', 'import', file, ...at);
  const journal = fleet.path('kept', 'app-1.0.0', '.drover-upload.json');
  await waitUntil('the import to be half-way', async () => {
    const text = await readFile(journal, 'utf8');
    return /"acknowledged":"(?:ff)+/.test(text);
  });
  child.kill('SIGKILL');
  assert.equal((await child.exit).signal, 'SIGKILL', child.describe());
  const done = await site.drover('import', file, ...at);
  const [bundle] = done.bundles as { sent_chunks: number; chunks: number }[];
  assert.ok(bundle);
  assert.ok(
    bundle.sent_chunks > 0 && bundle.sent_chunks <= bundle.chunks - 64,
    JSON.stringify(bundle),
  );
  const again = await site.drover('import', file, ...at);
  assert.deepEqual(sentOf(again), [0]);
});
