/** Pulls over a shaped wire with real TCP stacks: what crosses it is counted, not timed. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it, type TestContext } from 'node:test';
import type { Scope } from '../helpers/scope.ts';
import {
  canShapeWires,
  openShapedWire,
  type WireCounters,
  type WireSettings,
} from '../helpers/shaped-wire.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site } from './site.ts';
import { WiredSite } from './wired-site.ts';

const KiB = 1024;
/** Two chunks, a large one and a small one. */
const PAYLOAD = 300 * KiB;
/** Headers of TCP and IP are 3.6 %; what was lost crosses again; the rest is talk, not chunks. */
const BYTES_MAX = PAYLOAD * 1.1 + 16 * KiB;

/** A published site for both tests: each start of a program costs more than the pull. */
interface Published {
  readonly site: Site;
  /** Folder of a broker that 1.0.0 was published to. */
  readonly data: string;
}

async function publish(scope: Scope): Promise<Published> {
  const site = await Site.open(scope);
  const bundle = await site.bundle('1.0.0', { noise: randomBytes(PAYLOAD) });
  const data = await tempFolder(scope);
  const broker = await startBrokerChild(scope, { data });
  await site.publish(broker.url, bundle);
  await broker.child.stop();
  return { site, data };
}

/** A robot that runs 1.0.0, and what crossed the wire until then. */
async function pull(
  t: TestContext,
  { site, data }: Published,
  pulled: { over: WireSettings; args?: readonly string[]; says?: RegExp },
): Promise<WireCounters & { log: string }> {
  const wire = await openShapedWire(t, pulled.over);
  const wired = new WiredSite(t, site, wire);
  await wired.broker(data);
  await wire.mark();
  const robot = wired.robot(`r${pulled.over.bitsPerSecond}`, pulled.args);
  if (pulled.says) await robot.waitsFor(pulled.says, 60_000);
  const status = await robot.runs('1.0.0', 60_000);
  assert.deepEqual([status.last_error, status.waiting_for], [null, null]);
  return { ...(await wire.read()), log: robot.child.stderr };
}

describe('a pull over a wire that is slow, long and lossy', () => {
  let published: Published | null = null;
  const ends: (() => void | Promise<void>)[] = [];
  before(async () => {
    published = await publish({ after: (run) => void ends.push(run) });
  });
  after(async () => {
    for (const run of ends) await run();
  });

  it('lets no chunk cross twice at 20 Mbit/s, 80 ms and 2 % loss', async (t) => {
    if (!canShapeWires(t) || !published) return;
    const over = { bitsPerSecond: 20e6, rttMs: 80, loss: 0.02 };
    const { down, up } = await pull(t, published, { over });
    assert.ok(down.lost + up.lost > 0, 'the wire lost nothing');
    assert.ok(down.bytes >= PAYLOAD && down.bytes <= BYTES_MAX, `${down.bytes} bytes`);
  });

  it('asks once for what comes after its patience, says that it is slow, and keeps the link', async (t) => {
    if (!canShapeWires(t) || !published) return;
    // A chunk takes 8.7 s: more than the first patience of 5 s, and than a keepalive of 1 s waits.
    const over = { bitsPerSecond: 250e3, rttMs: 50, loss: 0, queueBytes: PAYLOAD };
    const args = ['--keepalive', '1s'];
    const { down, log } = await pull(t, published, { over, args, says: /way \(LINK_SLOW\)$/ });
    assert.ok(down.bytes >= PAYLOAD && down.bytes <= BYTES_MAX, `${down.bytes} bytes`);
    assert.doesNotMatch(log, /link to the broker is down/);
  });
});
