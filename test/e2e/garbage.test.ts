/** Garbage of the embedded broker, with real publishers and robots and a keep time of seconds. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import { UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import { startDrover } from '../helpers/child.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';
import { announce, LATER, witness, type Witness } from './garbage.ts';
import { startRelayChild } from './relay-child.ts';
import { Site } from './site.ts';

const noise = (bytes: number) => ({ noise: randomBytes(bytes) });

interface Stage extends Witness {
  readonly site: Site;
  readonly broker: BrokerChild;
}

async function openStage(t: TestContext, ...more: string[]): Promise<Stage> {
  const site = await Site.open(t);
  const args = ['--trust', site.path('trust.json'), ...more];
  const broker = await startBrokerChild(t, { args });
  return { site, broker, ...witness(broker.httpUrl, () => broker.child.describe()) };
}

async function say(t: TestContext, url: string, payload: Uint8Array): Promise<void> {
  const options = { url, clientId: 'operator' };
  const wire = await connectWire(options, { onMessage: () => {} }, makeLog('test', 'silent'));
  t.after(() => wire.close());
  await wire.send(UPDATES_TOPIC, payload, { retain: true, qos: 1 });
}

describe('garbage of the embedded broker', () => {
  it('goes when a newer bundle is announced, over a kill, and what is announced stays', async (t) => {
    const { site, broker, storeChunks, garbage } = await openStage(t, '--keep-unannounced', '4s');
    const old = await site.bundle('1.0.0', noise(700_000));
    await site.publish(broker.url, old, '--chunk-size', '64k');
    const before = await storeChunks();
    assert.ok(before >= 11, `${before} chunks`);
    await site.publish(broker.url, await site.bundle('1.1.0', noise(300_000)));
    const needed = (await storeChunks()) - before;
    await waitUntil('the old ones to wait', async () => {
      return (await garbage('store')).pending_chunks === before;
    });
    broker.child.kill('SIGKILL');
    await broker.child.exit;
    const again = await startBrokerChild(t, {
      data: broker.data,
      args: ['--trust', site.path('trust.json'), '--keep-unannounced', '4s'],
    });
    const after = witness(again.httpUrl, () => again.child.describe());
    const view = await after.removed('store', before);
    assert.equal(view.removed_chunks, before);
    assert.ok(view.removed_bytes > 700_000);
    assert.equal(await after.storeChunks(), needed);
    await site.robot('r1', again.url).runs('1.1.0');
    assert.match(again.child.stderr, /removed unreferenced chunks/);
    const metrics = await (await fetch(`${again.httpUrl}/metrics`)).text();
    assert.match(metrics, /drover_garbage_in_doubt\{place="store"\} 0/);
    assert.match(metrics, /drover_garbage_removed_chunks_total\{place="store"\} [1-9]/);
  });

  it('makes room in a full store as the hint of STORE_FULL says', async (t) => {
    // Longer than two uploads take where several tests share a core.
    const keep = ['--keep-unannounced', '25s', '--max-store', '2M'];
    const { site, broker, storeChunks } = await openStage(t, ...keep);
    await site.publish(broker.url, await site.bundle('0.9.0'));
    const needed = await storeChunks();
    const upload = async (version: string) => {
      const bundle = site.path(`bundles/${version}`);
      const args = site.publishArgs(broker.url, bundle, '--upload-only', '--chunk-size', '64k');
      return await site.tryDrover({}, ...args);
    };
    for (const version of ['1.0.0', '1.1.0']) await site.bundle(version, noise(1_400_000));
    assert.equal((await upload('1.0.0')).ended?.code, 0);
    const refused = await upload('1.1.0');
    assert.match(refused.stderr, /STORE_FULL[^]*hint: .*--max-store.* lower --keep-unannounced/);
    const isGone = async () => (await storeChunks()) === needed;
    await waitUntil('what nothing announces to go', isGone, { timeoutMs: 60_000 });
    const taken = await upload('1.1.0');
    assert.equal(taken.ended?.code, 0, taken.describe());
  });

  it('lets an upload that was killed and goes on too late send again what is gone', async (t) => {
    const { site, broker, storeChunks, removed } = await openStage(t, '--keep-unannounced', '6s');
    await site.publish(broker.url, await site.bundle('0.9.0'));
    const needed = await storeChunks();
    const bundle = await site.bundle('1.0.0', noise(4_000_000));
    const args = site.publishArgs(broker.url, bundle, '--chunk-size', '32k');
    const upload = startDrover(t, 'publisher', args);
    await waitUntil('half of it to be there', async () => (await storeChunks()) > needed + 70);
    upload.kill('SIGKILL');
    await upload.exit;
    await removed('store', 70);
    await waitUntil('all of the half to go', async () => (await storeChunks()) === needed);
    await site.drover(...args);
    await site.robot('r1', broker.url).runs('1.0.0');
  });

  it('lets a robot that downloads what is withdrawn finish or go on with what follows', async (t) => {
    const { site, broker, removed } = await openStage(t, '--keep-unannounced', '1s');
    const bundle = await site.bundle('1.0.0', noise(2_000_000));
    await site.publish(broker.url, bundle, '--chunk-size', '64k');
    const robot = site.robot('r1', broker.url, ['--max-rate', '300k']);
    await robot.until('downloads', (s) => (s.transfer?.bytes_done ?? 0) > 200_000);
    await say(t, broker.url, await announce(site, LATER, []));
    await removed('store', 20);
    await site.publish(broker.url, await site.bundle('1.1.0'));
    await robot.runs('1.1.0');
  });

  it('goes on a site below as well, once that has what replaces it', async (t) => {
    const keep = ['--keep-unannounced', '2s'];
    const { site, broker, storeChunks, removed } = await openStage(t, ...keep);
    const relay = await startRelayChild(t, site, {
      ...{ upstream: broker.url, name: 'site-a', args: keep },
    });
    const below = witness(relay.httpUrl, () => relay.child.describe());
    const robot = site.robot('r1', relay.url);
    const old = await site.bundle('1.0.0', noise(400_000));
    await site.publish(broker.url, old, '--chunk-size', '64k');
    await robot.runs('1.0.0');
    await relay.until('has all', (now) => now.bundles.length === 1 && now.chunks_missing === 0);
    const before = await storeChunks();
    await site.publish(broker.url, await site.bundle('1.1.0', noise(200_000)));
    await robot.runs('1.1.0');
    await Promise.all([removed('store', before), below.removed('store', before)]);
    assert.equal(await below.storeChunks(), await storeChunks());
    await site.robot('r2', relay.url).runs('1.1.0');
  });
});
