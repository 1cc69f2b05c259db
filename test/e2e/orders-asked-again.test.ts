/**
 * An engine that silently lost the subscriptions of its clients: it acknowledges, answers pings and
 * hands out retained messages, but delivers nothing. A robot and a relay subscribe again.
 */

import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { startBroker } from '../../broker/compose.ts';
import { Agent } from '../../robot-client/agent.ts';
import { realDisk } from '../../robot-client/install/disk.ts';
import { parseRobotId, parseRolloutId } from '../../shared/base/ids.ts';
import type { Wire } from '../../shared/base/ports.ts';
import { chunkTopic, progressTopic, UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import { startDeafProxy, type DeafProxy } from '../helpers/deaf-proxy.ts';
import { makeFleet } from '../helpers/fleet.ts';
import { startMosquitto } from '../helpers/mosquitto.ts';
import { startNats } from '../helpers/nats.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';

const fleet = makeFleet();
const LOG = makeLog('test', 'silent');
const RETAINED = { retain: true, qos: 1 } as const;
const LOOK_MS = 100;

type Start = (t: TestContext, trust: string) => Promise<{ url: string; port: number } | null>;
const ENGINES: Readonly<Record<string, Start>> = {
  'our broker': (t, trust) => startBrokerChild(t, { args: ['--trust', trust] }),
  mosquitto: (t) => startMosquitto(t),
  NATS: (t) => startNats(t),
};

interface Robot {
  readonly agent: Agent;
  readonly root: string;
  /** Each announcement that was taken as news. */
  readonly accepted: number[];
}

async function openRobot(t: TestContext, folder: string, port: number): Promise<Robot> {
  const root = join(folder, 'root');
  const accepted: number[] = [];
  const info = (facts: object, message: string): void => {
    if (message === 'announcement accepted') accepted.push((facts as { seq: number }).seq);
  };
  const quiet = (): void => undefined;
  const agent = new Agent({
    ...{ robot: parseRobotId('r1'), trust: fleet.trust, arch: 'x86_64', model: '', tags: [] },
    ...{ bytesPerSecondMax: null, bootsMax: 3, adoptVersion: '0.0.0', disk: realDisk },
    log: { info, debug: quiet, warn: quiet, error: quiet },
    roots: [{ component: 'app', root }],
    hooksFolder: join(folder, 'no-hooks'),
    healthWatchMs: 0,
    ordersLookMs: LOOK_MS,
    link: { url: `mqtt://127.0.0.1:${port}` },
  });
  await agent.open();
  t.after(() => agent.close());
  return { agent, root, accepted };
}

async function publish(wire: Wire, seq: number, version: string): Promise<void> {
  const bundle = await fleet.makeBundle({ version });
  for (const [hash, bytes] of bundle.chunks) await wire.send(chunkTopic(hash), bytes, RETAINED);
  const rollout = fleet.makeRollout(`app-${seq}`, bundle);
  await wire.send(UPDATES_TOPIC, fleet.announce(seq, [rollout]), RETAINED);
}

const deliversNothing = (proxy: DeafProxy): void => proxy.withhold(({ retain }) => !retain);

for (const [name, start] of Object.entries(ENGINES)) {
  describe(`a robot whose subscriptions were lost by ${name}`, () => {
    it('takes its orders when it asks again, and what comes twice does nothing twice', async (t) => {
      const folder = await tempFolder(t);
      await writeFile(join(folder, 'trust.json'), fleet.trustBytes);
      const engine = await start(t, join(folder, 'trust.json'));
      if (!engine) return;
      const proxy = await startDeafProxy(t, engine.port);
      const { agent, root, accepted } = await openRobot(t, folder, proxy.port);
      const { url } = engine;
      const wire = await connectWire({ url, clientId: 'p' }, { onMessage: () => undefined }, LOG);
      t.after(() => wire.close());
      const runs = async (version: string): Promise<void> => {
        const isThere = async (): Promise<boolean> =>
          (await readFile(join(root, 'active/VERSION.txt'), 'utf8')).trim() === version;
        await waitUntil(`${version} to run`, isThere, {
          look: () => JSON.stringify(agent.status()),
          timeoutMs: 40_000,
        });
      };
      await publish(wire, 1, '1.0.0');
      await runs('1.0.0');
      deliversNothing(proxy);
      await publish(wire, 2, '1.1.0');
      await runs('1.1.0');
      assert.ok(proxy.withheld > 0, 'the announcement was said, and not heard');

      const seen = join(root, 'state/seen.json');
      const [before, handed] = [await stat(seen), proxy.handedOut];
      await waitUntil('more of the same', () => proxy.handedOut >= handed + 20);
      assert.equal((await stat(seen)).ino, before.ino, 'the same floors are not written again');
      assert.deepEqual(accepted, [1, 2]);
    });
  });
}

it('a relay whose subscriptions were lost by its upstream hands on a recall when it asks again', async (t) => {
  const folder = await tempFolder(t);
  const cloud = await startMosquitto(t);
  if (!cloud) return;
  const proxy = await startDeafProxy(t, cloud.port);
  const address = { url: `mqtt://127.0.0.1:${proxy.port}` };
  const relay = await startBroker({
    ...{
      dataFolder: folder,
      host: '127.0.0.1',
      httpPort: 0,
      publicMqtt: null,
      certificateFiles: null,
    },
    ...{
      credentialsFile: null,
      authorityFiles: null,
      trust: fleet.trust,
      storeBytesMax: 1e9,
      keepUnannouncedMs: null,
    },
    ...{ lead: null, webhooks: [], log: LOG, logPolicy: null },
    engine: {
      ...{ kind: 'embedded', connectionsMax: 10, wsOrigins: [], bytesPerSecondMax: null },
      doors: { mqttPort: 0, mqttsPort: null, wsPort: 0 },
      upstream: { address, name: 'hall', bytesPerSecondMax: null, ordersLookMs: LOOK_MS },
    },
  });
  t.after(() => relay.close());
  const wire = await connectWire({ url: cloud.url, clientId: 'p' }, { onMessage: () => {} }, LOG);
  t.after(() => wire.close());
  let recalls = 0;
  const below = await connectWire(
    { url: `mqtt://127.0.0.1:${relay.mqttPort}`, clientId: 'r1' },
    { onMessage: () => void (recalls += 1) },
    LOG,
  );
  t.after(() => below.close());
  const topic = progressTopic(parseRolloutId('app-1'));
  await below.subscribe([topic], 1);
  await publish(wire, 1, '1.0.0');
  deliversNothing(proxy);
  const fields = { rollout: 'app-1', seq: 2, threshold: 1, recall: true } as const;
  await wire.send(topic, fleet.progress({ ...fields, status: 'halted' }), RETAINED);
  await waitUntil('the recall to come down', () => recalls > 0);
  assert.ok(proxy.withheld > 0, 'it was said, and not heard');
  const handed = proxy.handedOut;
  await waitUntil('more of the same', () => proxy.handedOut >= handed + 20);
  assert.equal(recalls, 1, 'robots hear it once');
});
