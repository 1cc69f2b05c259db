/** The bridge lines of mosquitto.conf between two real mosquittos: reports up, orders down. */

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire, type MqttWire } from '../../shared/io/mqtt-wire.ts';
import { productConfig, startMosquitto } from '../helpers/mosquitto.ts';
import { waitUntil } from '../helpers/wait-until.ts';

async function listen(t: TestContext, url: string): Promise<{ wire: MqttWire; got: string[] }> {
  const got: string[] = [];
  const onMessage = (topic: string): void => void got.push(topic);
  const options = { url, clientId: 'watcher' };
  const wire = await connectWire(options, { onMessage }, makeLog('test', 'silent'));
  t.after(() => wire.close());
  await wire.subscribe(['fleet/#', 'fleet-chunks/#'], 1);
  return { wire, got };
}

/** Our file with its bridge uncommented, to an upstream without users. */
async function bridged(port: number, upstream: number): Promise<string> {
  return (await productConfig(port))
    .replace(/^#:bridge remote_.*\n/gm, '')
    .replace(/^#:bridge address .*$/m, `address 127.0.0.1:${upstream}`)
    .replace(/^#:bridge /gm, '');
}

test('control topics and reports cross the bridge, and chunks stay where they are', async (t) => {
  const above = await startMosquitto(t);
  if (!above) return;
  const config = (port: number): Promise<string> => bridged(port, above.port);
  const below = await startMosquitto(t, { config });
  assert.ok(below);
  const [cloud, site] = [await listen(t, above.url), await listen(t, below.url)];
  const [down, up] = [
    ['fleet/rollouts/x', 'fleet/trust/2', 'fleet/updates'],
    ['fleet/robots/r1/state', 'fleet/robots/r1/online', 'fleet/robots/r1/events'],
  ];
  const say = async (wire: MqttWire, topic: string): Promise<void> =>
    await wire.send(topic, new Uint8Array([1]), { retain: true, qos: 1 });
  // Messages that must not cross go first: had they crossed, they would arrive before the rest.
  for (const topic of ['fleet-chunks/a', 'fleet/robots/r9/state', ...down]) {
    await say(cloud.wire, topic);
  }
  for (const topic of ['fleet-chunks/b', 'fleet/robots/r1/want', ...up]) {
    await say(site.wire, topic);
  }
  await waitUntil('orders below', () => down.every((topic) => site.got.includes(topic)));
  await waitUntil('reports above', () => up.every((topic) => cloud.got.includes(topic)));
  const foreign = [...cloud.got, ...site.got].sort();
  const own = ['fleet-chunks/a', 'fleet-chunks/b', 'fleet/robots/r1/want', 'fleet/robots/r9/state'];
  assert.deepEqual(foreign, [...own, ...down, ...down, ...up, ...up].sort());
});
