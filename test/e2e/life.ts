/**
 * The life of a bundle as a contract: the same tests on every engine, with real processes of
 * publisher, engine and robots. An engine is only a URL here; differences belong to its own tests.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fixedSeed } from '../helpers/fleet.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import { startTcpProxy } from '../helpers/tcp-proxy.ts';
import { Site, type Robot } from './site.ts';
import { announcementNow } from '../helpers/sign-now.ts';

/** Starts an engine; null when its program is missing and the test was skipped. */
export type StartEngine = (t: TestContext) => Promise<{ url: string; port: number } | null>;

async function active(robot: Robot): Promise<string> {
  return await readFile(join(robot.root, 'active/VERSION'), 'utf8');
}

/** Sends bytes on the announcement topic, as a stranger with access to the carrier could. */
async function inject(url: string, payload: Uint8Array): Promise<void> {
  const wire = await connectWire(
    { url, clientId: `stranger-${randomBytes(4).toString('hex')}` },
    { onMessage: () => {} },
    makeLog('test', 'silent'),
  );
  await wire.send(UPDATES_TOPIC, payload, { retain: true, qos: 1 });
  await wire.close();
}

/** The publisher is a program where the life is of one component; beside others it is the same. */
async function openSite(t: TestContext, components: readonly string[]): Promise<Site> {
  const site = await Site.open(t, [], components);
  site.isPublisherStarted = components.length === 1;
  return site;
}

/** The robots have these components; the last one lives the life, the others stand beside it. */
export function describeLife(
  engine: string,
  start: StartEngine,
  components: readonly string[] = ['app'],
): void {
  describeUpdates(engine, start, components);
  describeRest(engine, start, components);
}

/** The part of that life in which a version waits, comes slowly, or is refused. */
export function describeRest(
  engine: string,
  start: StartEngine,
  components: readonly string[] = ['app'],
): void {
  describe(`an interlock on ${engine}`, () => describeInterlock(start, components));
  describe(`a transfer on ${engine}`, () => describeTransfer(start, components));
  describe(`a refusal on ${engine}`, () => describeRefusals(start, components));
}

/** The part of that life in which versions come and go. */
export function describeUpdates(
  engine: string,
  start: StartEngine,
  components: readonly string[] = ['app'],
): void {
  describe(`an update on ${engine}`, () => describeUpdate(start, components));
}

function describeUpdate(start: StartEngine, components: readonly string[]): void {
  it('installs a first version, updates it, and keeps the way back', async (t) => {
    const carrier = await start(t);
    if (!carrier) return;
    const site = await openSite(t, components);
    const robot = site.robot('r1', carrier.url);
    await site.publish(carrier.url, await site.bundle('1.0.0'));
    await robot.runs('1.0.0');
    await site.publish(carrier.url, await site.bundle('1.1.0'));
    const status = await robot.runs('1.1.0');
    assert.equal(await active(robot), '1.1.0');
    assert.equal(status.previous_version, '1.0.0');
    assert.equal(await readlink(join(robot.root, 'active')), 'releases/1.1.0');
    const versions = JSON.parse(
      await site.drover('fleet', 'versions', '--broker', carrier.url, '--json'),
    ) as object;
    assert.match(JSON.stringify(versions), /1\.1\.0/);
  });

  it('goes back by itself when a version is not healthy, and does not try it again', async (t) => {
    const carrier = await start(t);
    if (!carrier) return;
    const site = await openSite(t, components);
    const robot = site.robot('r1', carrier.url);
    await robot.hook('health', 'test "$DROVER_VERSION" != 1.1.0');
    await site.publish(carrier.url, await site.bundle('1.0.0'));
    await robot.runs('1.0.0');
    await site.publish(carrier.url, await site.bundle('1.1.0'), '--health-timeout', '2s');
    const status = await robot.until('is back', (s) => s.phase === 'idle' && s.last_error !== null);
    assert.equal(status.last_error?.code, 'HEALTH_DEADLINE');
    assert.equal(await active(robot), '1.0.0');
    assert.deepEqual(status.blocked, ['1.1.0']);
    await robot.killAndRestart();
    const again = await robot.until('says why', (s) => s.last_error !== null);
    assert.equal(again.version, '1.0.0');
    await site.publish(carrier.url, await site.bundle('1.1.1'));
    await robot.runs('1.1.1');
  });
}

function describeInterlock(start: StartEngine, components: readonly string[]): void {
  it('stays on its version while the robot is busy, and swaps when it is ready', async (t) => {
    const carrier = await start(t);
    if (!carrier) return;
    const site = await openSite(t, components);
    const robot = site.robot('r1', carrier.url);
    await robot.hook('ready', 'if [ -f "$DROVER_ROOT/busy" ]; then echo lifting; exit 75; fi');
    await site.publish(carrier.url, await site.bundle('1.0.0'));
    await robot.runs('1.0.0');
    await robot.call('/ready', { ready: false, reason: 'carrying glass' });
    await site.publish(carrier.url, await site.bundle('1.1.0'));
    const waiting = await robot.until(
      'waits',
      (s) => s.phase === 'waiting' && s.waiting_for !== null,
    );
    assert.match(waiting.waiting_for ?? '', /carrying glass/);
    assert.equal(await active(robot), '1.0.0');
    await robot.call('/ready', { ready: true });
    await robot.runs('1.1.0');
  });
}

function describeTransfer(start: StartEngine, components: readonly string[]): void {
  it('is killed in mid-transfer and goes on where it was', async (t) => {
    const carrier = await start(t);
    if (!carrier) return;
    const site = await openSite(t, components);
    const noise = randomBytes(3 * 1024 * 1024);
    await site.publish(carrier.url, await site.bundle('1.0.0', { noise }), '--chunk-size', '64k');
    const robot = site.robot('r1', carrier.url, ['--max-rate', '400k']);
    const midway = await robot.until(
      'is half way',
      (s) => s.transfer !== null && s.transfer.bytes_done > s.transfer.bytes_total / 3,
    );
    await robot.killAndRestart();
    const after = await robot.until('downloads again', (s) => s.transfer !== null);
    assert.ok(after.transfer && midway.transfer);
    const kept = after.transfer.bytes_done - after.transfer.chunks_fetched * 65_536;
    assert.ok(kept >= midway.transfer.bytes_done, `kept ${kept} of ${midway.transfer.bytes_done}`);
    await robot.runs('1.0.0');
  });

  it('fetches no verified chunk twice over a link that is cut again and again', async (t) => {
    const carrier = await start(t);
    if (!carrier) return;
    const site = await openSite(t, components);
    const noise = randomBytes(4 * 1024 * 1024);
    await site.publish(carrier.url, await site.bundle('1.0.0', { noise }), '--chunk-size', '64k');
    const proxy = await startTcpProxy(t, carrier.port);
    proxy.cutAfter(1_500_000);
    const robot = site.robot('r1', `mqtt://127.0.0.1:${proxy.port}`);
    await robot.until('has lost its link once', () => proxy.bytesDown >= 1_500_000);
    await robot.runs('1.0.0');
    // The cut loses the bytes that were on their way: at most one window.
    const excess = proxy.bytesDown - noise.byteLength;
    assert.ok(excess < 600_000, `${excess} bytes too many`);
  });
}

/** Every way of being no announcement of this fleet, with the code of its refusal. */
function forgeries(seed: Uint8Array): { good: Uint8Array; cases: [string, Uint8Array][] } {
  const fields = {
    fleet: 'test',
    seq: Math.floor(Date.now() / 1000) + 3_600,
    issued_at: new Date().toISOString(),
    expires_at: '2099-01-01T00:00:00Z',
    rollouts: [],
  };
  const good = announcementNow(fields, [seed]);
  const flipped = new TextEncoder().encode(
    new TextDecoder().decode(good).replace('"sig":"', '"sig":"AAAA'),
  );
  const cases: [string, Uint8Array][] = [
    ['ENVELOPE_KEY_UNKNOWN', announcementNow(fields, [fixedSeed(9)])],
    ['FLEET_WRONG', announcementNow({ ...fields, fleet: 'other' }, [seed])],
    [
      'ANNOUNCEMENT_EXPIRED',
      announcementNow({ ...fields, expires_at: '2026-01-02T00:00:00Z' }, [seed]),
    ],
    ['ANNOUNCEMENT_REPLAYED', announcementNow({ ...fields, seq: 5 }, [seed])],
    ['ANNOUNCEMENT_AHEAD', announcementNow({ ...fields, seq: 2 ** 53 - 1 }, [seed])],
    ['ENVELOPE_MALFORMED', flipped],
    ['JSON_INVALID', randomBytes(500)],
    ['JSON_INVALID', new TextEncoder().encode('{"payload":"","payload":""}')],
  ];
  return { good, cases };
}

function describeRefusals(start: StartEngine, components: readonly string[]): void {
  it('refuses announcements that are forged, of another fleet, expired, replayed or garbage', async (t) => {
    const carrier = await start(t);
    if (!carrier) return;
    const site = await openSite(t, components);
    const robot = site.robot('r1', carrier.url);
    await site.publish(carrier.url, await site.bundle('1.0.0'));
    await robot.runs('1.0.0');
    const seed = new Uint8Array(await readFile(site.path('rollout.key')));
    const { good, cases } = forgeries(seed);
    for (const [code, bytes] of cases) {
      await inject(carrier.url, bytes);
      const status = await robot.until(`says ${code}`, (s) => s.last_error?.code === code);
      assert.equal(status.version, '1.0.0', code);
    }
    // None of it took the agent down or kept the next true announcement from it.
    await inject(carrier.url, good);
    await site.publish(carrier.url, await site.bundle('1.1.0'));
    await robot.runs('1.1.0');
  });

  it('says with its own code why it takes a bundle not', async (t) => {
    const carrier = await start(t);
    if (!carrier) return;
    const site = await openSite(t, components);
    const robot = site.robot('r1', carrier.url, ['--arch', 'aarch64', '--tags', 'blue']);
    await site.publish(carrier.url, await site.bundle('1.5.0'), '--id', 'first');
    await robot.runs('1.5.0');
    const refuses = (code: string) =>
      robot.until(`says ${code}`, (s) => s.last_error?.code === code);

    const wrongArch = site.path('bundles/x86');
    const labels = ['--version', '1.6.0', '--arch', 'x86_64', '--name', components.at(-1) ?? 'app'];
    await site.drover('build', site.path('apps/1.5.0'), ...labels, '--out', wrongArch);
    await site.drover('sign', wrongArch, '--key', site.path('release.key'));
    await site.publish(carrier.url, wrongArch, '--anyway', '--supersede', 'first');
    await refuses('ARCH_WRONG');

    const tooNew = await site.bundle('3.0.0', {}, '--min-current', '2.0.0');
    await site.publish(carrier.url, tooNew, '--anyway');
    await refuses('TOO_OLD');
    // A full package for such robots is taken, though a higher version stands beside it.
    await site.publish(
      carrier.url,
      await site.bundle('2.0.0', {}, '--min-current', '1.0.0'),
      '--alongside',
    );
    await robot.runs('3.0.0');
  });
}
