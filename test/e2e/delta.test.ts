/**
 * Deltas with real programs: broker, publisher, robots and zstd, and a link whose bytes are
 * counted.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { parseRobotState } from '../../shared/formats/messages.ts';
import { startDrover } from '../helpers/child.ts';
import { startTcpProxy } from '../helpers/tcp-proxy.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site, type Robot } from './site.ts';

const NOISE = randomBytes(1024 * 1024);

/** The application: much that stays, and a little that does not. */
const filesOf = (version: string): Record<string, string | Uint8Array> => ({
  'lib/model.bin': NOISE,
  'lib/words.txt': `words of ${version}\n`.repeat(500),
});

interface World {
  readonly site: Site;
  readonly url: string;
  readonly httpUrl: string;
  readonly port: number;
  /** Built with deltas from those versions, and announced to everybody. */
  release(version: string, ...from: string[]): Promise<void>;
  /** Deltas that travel with the bundle: those made by zstd, those that need none, or both. */
  kinds: 'both' | 'zst' | 'add';
  /** New in every release that is built from now on. */
  news: Uint8Array;
}

async function openWorld(t: TestContext): Promise<World> {
  const broker = await startBrokerChild(t);
  const site = await Site.open(t);
  const world: World = {
    site,
    ...broker,
    kinds: 'both',
    news: new Uint8Array(0),
    release: async (version, ...from) => {
      const deltas = from.flatMap((one) => ['--delta-from', site.path('bundles', one)]);
      const files = { ...filesOf(version), news: world.news };
      const bundle = await site.bundle(version, files, ...deltas);
      for (const one of from) {
        const left = { both: [], zst: ['add'], add: ['zst'] }[world.kinds];
        for (const kind of left) await rm(join(bundle, 'deltas', `${one}.${kind}`));
      }
      await site.publish(broker.url, bundle, '--chunk-size', '16k');
    },
  };
  return world;
}

async function explained(t: TestContext, robot: Robot): Promise<string> {
  const child = startDrover(t, 'robot-client', ['explain', '--root', robot.root]);
  await child.exit;
  return child.stdout;
}

const sameTree = (robot: Robot, site: Site, version: string): void => {
  execFileSync('diff', ['-r', join(robot.root, 'active/'), site.path('apps', version)]);
};

describe('an update by a delta', () => {
  it('takes a fraction of the bytes, from any of several versions, and is told', async (t) => {
    const { site, port, url, httpUrl, release } = await openWorld(t);
    const proxy = await startTcpProxy(t, port);
    const robot = site.robot('r1', `mqtt://127.0.0.1:${proxy.port}`);
    await release('1.0.0');
    await robot.runs('1.0.0');
    assert.ok(proxy.bytesDown > NOISE.byteLength);
    const late = site.robot('r2', url);
    await late.runs('1.0.0');
    await late.kill();

    let before = proxy.bytesDown;
    await release('1.1.0', '1.0.0');
    const status = await robot.runs('1.1.0');
    const took = proxy.bytesDown - before;
    assert.ok(took < NOISE.byteLength / 20, `${took} bytes for 1.1.0`);
    sameTree(robot, site, '1.1.0');
    assert.equal(status.last_update?.delta_from, '1.0.0');
    const answer = await fetch(`${httpUrl}/robots/r1`);
    assert.deepEqual(((await answer.json()) as { caps?: string[] }).caps, [
      'zstd-patch',
      'add-patch',
      'compatible',
      'requires',
      'sets',
      'budget',
      'start-at',
    ]);

    before = proxy.bytesDown;
    await release('1.2.0', '1.0.0', '1.1.0');
    // It has two bases by now, the one that runs and the one before: the cheaper delta is taken.
    assert.match((await robot.runs('1.2.0')).last_update?.delta_from ?? '', /^1\.[01]\.0$/);
    assert.ok(proxy.bytesDown - before < NOISE.byteLength / 20);
    late.start();
    assert.equal((await late.runs('1.2.0')).last_update?.delta_from, '1.0.0');
    sameTree(late, site, '1.2.0');
  });

  it('goes on after a kill in mid-download and one in mid-patch', async (t) => {
    const world = await openWorld(t);
    const { site, url, release } = world;
    const gate = site.path('go');
    // Unpacks when it may: until then the patch is under way.
    const slow = site.path('slow-zstd');
    const wait = `case "$*" in --version) ;; *) touch ${gate}.waits; while [ ! -f ${gate} ]; do sleep 0.1; done;; esac`;
    await writeFile(slow, `#!/bin/sh\n${wait}\nexec zstd "$@"\n`);
    await chmod(slow, 0o755);
    const robot = site.robot('r1', url, ['--zstd', slow, '--max-rate', '100k']);
    await release('1.0.0');
    await robot.runs('1.0.0');
    world.news = randomBytes(600_000);
    world.kinds = 'zst';
    await release('1.1.0', '1.0.0');
    const midway = await robot.until('is half way', ({ transfer }) => {
      return transfer !== null && transfer.bytes_done > transfer.bytes_total / 3;
    });
    assert.ok(midway.transfer && midway.transfer.bytes_total < NOISE.byteLength);
    await robot.killAndRestart();
    const after = await robot.until('downloads again', (status) => status.transfer !== null);
    assert.ok(after.transfer);
    const kept = after.transfer.bytes_done - after.transfer.chunks_fetched * 16_384;
    assert.ok(kept >= midway.transfer.bytes_done, `kept ${kept}`);
    await robot.until(
      'patches',
      (status) => status.phase === 'verifying' && existsSync(`${gate}.waits`),
    );
    assert.match(await explained(t, robot), /applying the delta from 1\.0\.0 to 1\.1\.0/);
    await robot.killAndRestart();
    await writeFile(gate, '');
    const status = await robot.runs('1.1.0');
    assert.equal(status.last_update?.delta_from, '1.0.0');
    sameTree(robot, site, '1.1.0');
  });

  it('ends with the full payload where the delta cannot be used, and says why once', async (t) => {
    const world = await openWorld(t);
    const { site, url, release } = world;
    const zstd = site.path('my-zstd');
    await writeFile(zstd, '#!/bin/sh\nexec zstd "$@"\n');
    await chmod(zstd, 0o755);
    const robot = site.robot('r1', url, ['--zstd', zstd]);
    const unable = site.robot('r2', url, ['--zstd', 'none']);
    await release('1.0.0');
    await Promise.all([robot.runs('1.0.0'), unable.runs('1.0.0')]);
    await rm(zstd);
    world.kinds = 'zst';
    await release('1.1.0', '1.0.0');
    const status = await robot.runs('1.1.0');
    assert.equal(status.last_update?.delta_from, null);
    assert.equal(status.last_update?.delta_failed, 'ZSTD_MISSING');
    assert.equal(status.last_error, null, 'the update is not a failure');
    assert.match(await explained(t, robot), /delta_failed: ZSTD_MISSING: /);
    sameTree(robot, site, '1.1.0');
    const other = await unable.runs('1.1.0');
    assert.equal(other.last_update?.delta_from, null);
    assert.equal(other.last_update?.delta_failed, null);
    assert.deepEqual(robot.child.stderr.match(/"event":"delta_failed"/g)?.length, 1);

    await writeFile(join(robot.root, 'active/VERSION'), 'changed in place');
    world.kinds = 'add';
    await release('1.2.0', '1.1.0');
    assert.equal((await unable.runs('1.2.0')).last_update?.delta_from, '1.1.0');
    sameTree(unable, site, '1.2.0');
    const changed = await robot.runs('1.2.0');
    assert.equal(changed.last_update?.delta_failed, 'DELTA_BASE_CHANGED');
    assert.equal(await readFile(join(robot.root, 'active/VERSION'), 'utf8'), '1.2.0');
  });
});

it('[P-12.5] a robot says in its state what it can do, and older robots say nothing', () => {
  const state = { robot_id: 'r1', at: '2026-01-01T00:00:00Z' };
  const components = [{ name: 'app', version: null, phase: 'idle' }];
  const parse = (more: object) =>
    parseRobotState(new TextEncoder().encode(JSON.stringify({ ...state, components, ...more })));
  assert.deepEqual(parse({ caps: ['zstd-patch', 'new'] }).caps, ['zstd-patch', 'new']);
  assert.deepEqual(parse({}).caps, []);
  assert.throws(() => parse({ caps: Array(17).fill('x') }), /caps/);
});
