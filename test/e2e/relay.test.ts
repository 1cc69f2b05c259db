/** The life of a bundle through a site relay, and through two: real processes at every place. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { startTcpProxy } from '../helpers/tcp-proxy.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { eventsOf, startRelayChild, untilRobot, upstreamOf } from './relay-child.ts';
import { Site } from './site.ts';

const MiB = 1024 * 1024;

describe('a site behind a relay', () => {
  it('is updated from above, and each chunk crosses the link once for all robots', async (t) => {
    const site = await Site.open(t);
    const cloud = await startBrokerChild(t, { args: ['--trust', site.path('trust.json')] });
    const wan = await startTcpProxy(t, cloud.port);
    const upstream = `mqtt://127.0.0.1:${wan.port}`;
    const relay = await startRelayChild(t, site, { upstream, name: 'site-a' });
    const robots = ['r1', 'r2', 'r3'].map((id) => site.robot(id, relay.url));
    const noise = randomBytes(4 * MiB);
    await site.publish(cloud.url, await site.bundle('1.0.0', { noise }), '--chunk-size', '64k');
    for (const robot of robots) await robot.runs('1.0.0');

    const view = await relay.until('has all', (now) => now.chunks_missing === 0);
    assert.equal(view.bundles.length, 1);
    assert.equal(view.bundles[0]?.missing, 0);
    assert.ok((view.bundles[0]?.chunks ?? 0) > 60, JSON.stringify(view));
    const excess = wan.bytesDown / noise.byteLength;
    assert.ok(excess < 1.05, `${excess} times the bundle came over the link`);

    for (const { id } of robots) {
      const shown = await untilRobot(cloud, id, (now) => now.version === '1.0.0' && now.online);
      assert.equal(shown.via, 'site-a');
      await assertSameEvents(cloud, relay, id);
    }
  });

  it('below another one is served through both, also while the one above is away', async (t) => {
    const site = await Site.open(t);
    const cloud = await startBrokerChild(t, { args: ['--trust', site.path('trust.json')] });
    const wan = await startTcpProxy(t, cloud.port);
    const upstream = `mqtt://127.0.0.1:${wan.port}`;
    const region = await startRelayChild(t, site, { upstream, name: 'region' });
    const hall = await startRelayChild(t, site, { upstream: region.url, name: 'hall' });
    const robot = site.robot('r1', hall.url);
    const noise = randomBytes(MiB);
    const first = await site.bundle('1.0.0', { noise });
    await site.publish(cloud.url, first);
    await robot.runs('1.0.0');
    const middle = await untilRobot(region, 'r1', (now) => now.version === '1.0.0' && now.online);
    assert.equal(middle.via, 'hall');
    const top = await untilRobot(cloud, 'r1', (now) => now.version === '1.0.0' && now.online);
    assert.equal(top.via, 'region');

    wan.refuse(true);
    wan.cut();
    await region.until('knows that the link is gone', (now) => !now.up);
    const health = (await (await fetch(`${region.httpUrl}/healthz`)).json()) as object;
    assert.match(JSON.stringify(health), /"healthy":true.*"up":false/);
    const late = site.robot('r2', hall.url); // it came when the site was alone already
    await late.runs('1.0.0');
    await region.until('keeps what is for above', (now) => now.backlog.events > 3);
    const second = await site.bundle('1.1.0', { noise }, '--delta-from', first);
    await site.publish(cloud.url, second);
    wan.refuse(false);
    for (const one of [robot, late]) {
      const { last_update: last } = await one.runs('1.1.0', 60_000);
      assert.match(JSON.stringify(last), /"delta_from":"1.0.0"/, 'deltas come down as well');
      await untilRobot(cloud, one.id, (now) => now.version === '1.1.0' && now.online);
      await assertSameEvents(cloud, hall, one.id);
    }
    assert.equal((await upstreamOf(region)).backlog.events, 0);

    // The upstreams must not show a robot as reachable when a link between them is down.
    hall.child.kill('SIGKILL');
    await untilRobot(region, 'r1', (now) => !now.online);
    await untilRobot(cloud, 'r1', (now) => !now.online);
  });
});

/** Above stands each event of the robot once, in its order, as soon as the last has come. */
async function assertSameEvents(
  above: Parameters<typeof eventsOf>[0],
  below: Parameters<typeof eventsOf>[0],
  robot: string,
): Promise<void> {
  const seqs = async (broker: typeof above) =>
    (await eventsOf(broker, robot)).map((one) => one.event_seq);
  const here = await seqs(below);
  assert.ok(here.length > 3, `${here.length} events`);
  await waitUntil(`all events of ${robot}`, async () =>
    (await seqs(above)).length >= here.length ? true : null,
  );
  assert.deepEqual(await seqs(above), here);
}
