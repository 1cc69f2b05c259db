/** A relay that cannot work reports the reason itself, and its upstream reports it as well. */

import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { relayClientId } from '../../shared/formats/client-ids.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { startDrover } from '../helpers/child.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';
import { addUser, type Login } from './credentials.ts';
import { canMount, mounts } from './mounted-roots.ts';
import { getJson, startRelayChild, untilRobot, type RelayChild } from './relay-child.ts';
import { Site } from './site.ts';

const LOG = makeLog('test', 'silent');

interface Relays {
  readonly relays: readonly { relay: string; problem: { code: string; message: string } | null }[];
}

async function healthOf(relay: RelayChild): Promise<Record<string, unknown>> {
  return (await getJson<{ upstream: Record<string, unknown> }>(relay, '/healthz')).upstream;
}

async function output(t: TestContext, words: readonly string[]): Promise<string> {
  const child = startDrover(t, 'publisher', words);
  assert.equal((await child.exit).code, 0, child.describe());
  return child.stdout + child.stderr;
}

/** A session that a broker without credentials kept is nobody's once there are users. */
async function startWithForgotten(
  t: TestContext,
  site: Site,
  [clientId, users]: readonly [string, string],
): Promise<BrokerChild> {
  const data = site.path('cloud');
  const open = await startBrokerChild(t, { data });
  const options = { url: open.url, clientId, keepsSession: true };
  const wire = await connectWire(options, { onMessage: () => undefined }, LOG);
  await wire.subscribe(['fleet/updates'], 1);
  await wire.close();
  open.child.kill('SIGTERM');
  await open.child.exit;
  return await startBrokerChild(t, { data, args: ['--credentials', users] });
}

async function relayOf(site: Site, t: TestContext, cloud: BrokerChild, user: Login) {
  const file = site.path('relay.token');
  await writeFile(file, user.password);
  const login = ['--upstream-username', user.username, '--upstream-password-file', file];
  return await startRelayChild(t, site, { upstream: cloud.url, name: 'north', args: login });
}

describe('a client id that is refused', () => {
  it('of the chunks of a relay alone is reported there and above, with a hint', async (t) => {
    const site = await Site.open(t);
    const users = site.path('users.json');
    const relayUser = await addUser(users, 'site', 'relay');
    const { password } = await addUser(users, 'tech', 'technician');
    const chunks = `${relayClientId('north', 'site')}-chunks`;
    const cloud = await startWithForgotten(t, site, [chunks, users]);
    const relay = await relayOf(site, t, cloud, relayUser);
    const view = await relay.until('says why', (now) => now.up && now.problem !== null);
    assert.equal(view.chunks_up, false);
    assert.equal(view.problem?.code, 'CLIENT_ID_REFUSED');
    assert.match(view.problem?.message ?? '', /north-chunks/);
    assert.match(view.problem?.hint ?? '', /remove-session/);
    const health = await healthOf(relay);
    assert.deepEqual([health['up'], health['problem']], [true, 'CLIENT_ID_REFUSED']);
    const told = await waitUntil('the broker above to know', async () => {
      const headers = { authorization: `Bearer ${password}` };
      const answer = await fetch(`${cloud.httpUrl}/relays`, { headers });
      const { relays } = (await answer.json()) as Relays;
      return relays.find(({ problem }) => problem !== null);
    });
    assert.deepEqual([told.relay, told.problem?.code], ['north', 'CLIENT_ID_REFUSED']);
  });

  it('is reported by a robot as that, not as a broker that is away', async (t) => {
    const site = await Site.open(t);
    const users = site.path('users.json');
    const { username, password } = await addUser(users, 'r1', 'robot');
    const cloud = await startWithForgotten(t, site, ['robot-r1', users]);
    const login = { DROVER_USERNAME: username, DROVER_PASSWORD: password };
    const robot = site.robot('r1', cloud.url, [], login);
    const said = await waitUntil('its words', async () => {
      const child = startDrover(t, 'robot-client', ['explain', '--root', robot.root]);
      await child.exit;
      return /no link.*CLIENT_ID_REFUSED[^]*?hint: .*/.exec(child.stdout)?.[0];
    });
    assert.match(said, /client id robot-r1/);
    assert.match(said, /remove-session/);
  });
});

describe('a relay without room', () => {
  it('says so itself, above, and to publishers that wait for its robots; with room it goes on', async (t) => {
    if (!canMount(t)) return;
    const disks = mounts(t);
    const site = await Site.open(t);
    const key = ['--rollout-key', site.path('rollout.key'), '--controller-start', '1s'];
    const trust = ['--trust', site.path('trust.json')];
    const cloud = await startBrokerChild(t, { args: [...trust, ...key] });
    const disk = site.path('small');
    await disks.tmpfs(disk, 'size=300m');
    await writeFile(join(disk, 'fill'), Buffer.alloc(60 << 20, 1));
    const data = join(disk, 'relay');
    await mkdir(data);
    const relay = await startRelayChild(t, site, { upstream: cloud.url, name: 'north', data });
    const robot = site.robot('r1', relay.url);
    await untilRobot(cloud, 'r1', (now) => now.online);
    await site.publish(cloud.url, await site.bundle('1.0.0'), '--id', 'v1');

    const view = await relay.until('has no room', (now) => now.problem?.code === 'DISK_FULL');
    assert.match(view.problem?.message ?? '', /MiB free, of which 256\.0 MiB are kept/);
    assert.equal((await healthOf(relay))['problem'], 'DISK_FULL');
    const above = await untilRobot(cloud, 'r1', (now) => now.via_problem !== null);
    assert.deepEqual([above.via, above.via_problem?.code], ['north', 'DISK_FULL']);
    const robots = await output(t, ['fleet', 'robots', '--broker', cloud.url]);
    assert.match(robots, /relay north: store chunk in .*\(DISK_FULL\)/);
    assert.match(robots, /^r1 .*relay:DISK_FULL/m);
    await waitUntil('the rollout to name it', async () => {
      const status = await output(t, ['rollout', 'status', 'v1', '--api', cloud.httpUrl]);
      return /relay +north brings its robots nothing: .*DISK_FULL/.test(status);
    });

    await rm(join(disk, 'fill'));
    await robot.runs('1.0.0', 120_000);
    await untilRobot(cloud, 'r1', (now) => now.via_problem === null);
    assert.equal((await healthOf(relay))['problem'], undefined);
  });
});
