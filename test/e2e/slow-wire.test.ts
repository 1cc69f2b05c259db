/** Pulls over a shaped wire with real TCP stacks: what crosses it is counted, not timed. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import { canShapeWires, openShapedWire, type WireSettings } from '../helpers/shaped-wire.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site } from './site.ts';
import { WiredSite } from './wired-site.ts';
import type { ShapedWire } from '../helpers/shaped-wire.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
/** Headers of TCP and IP are 3.6 %, and what was lost crosses again, up to where it was lost. */
const OVERHEAD_MAX = 1.1;

interface Stage {
  readonly wire: ShapedWire;
  readonly wired: WiredSite;
  readonly data: string;
}

/** A wire, and the data of a broker that 1.0.0 was published to. */
async function stage(t: TestContext, settings: WireSettings, bytes: number): Promise<Stage> {
  const site = await Site.open(t);
  const bundle = await site.bundle('1.0.0', { noise: randomBytes(bytes) });
  const data = await tempFolder(t);
  const broker = await startBrokerChild(t, { data });
  await site.publish(broker.url, bundle);
  await broker.child.stop();
  const wire = await openShapedWire(t, settings);
  return { wire, wired: new WiredSite(t, site, wire), data };
}

describe('a pull over a wire that is slow, long and lossy', () => {
  it('lets no chunk cross twice at 20 Mbit/s, 80 ms and 2 % loss', async (t) => {
    if (!canShapeWires(t)) return;
    const settings = { bitsPerSecond: 20e6, rttMs: 80, loss: 0.02 };
    const { wire, wired, data } = await stage(t, settings, MiB);
    await wired.broker(data);
    await wire.mark();
    const robot = wired.robot('r1');
    const status = await robot.runs('1.0.0', 60_000);
    assert.equal(status.last_error, null);
    const { down, up } = await wire.read();
    assert.ok(down.lost + up.lost > 0, 'the wire lost nothing');
    assert.ok(down.bytes >= MiB && down.bytes <= MiB * OVERHEAD_MAX, `${down.bytes} bytes`);
  });

  it('asks once for what takes longer than its first patience, pings in between, and ends well', async (t) => {
    if (!canShapeWires(t)) return;
    // A chunk takes six seconds, three times as long as the keepalive, and two are in the queue.
    const settings = { bitsPerSecond: 350e3, rttMs: 50, loss: 0, queueBytes: 600 * KiB };
    const { wire, wired, data } = await stage(t, settings, 400 * KiB);
    await wired.broker(data);
    await wire.mark();
    const robot = wired.robot('r1', ['--keepalive', '2s']);
    const status = await robot.runs('1.0.0', 60_000);
    assert.equal(status.last_error, null);
    const { down } = await wire.read();
    assert.ok(down.bytes <= 400 * KiB * OVERHEAD_MAX + 8 * KiB, `${down.bytes} bytes`);
    assert.doesNotMatch(robot.child.stderr, /Keepalive timeout|link is down/i);
  });
});
