/** The login of a relay at its upstream, on each engine, and the errors when it is refused. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { startDrover } from '../helpers/child.ts';
import { startMosquitto } from '../helpers/mosquitto.ts';
import { requirePeer } from '../helpers/peer.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { AttachedChild } from './attached-child.ts';
import { addUser } from './credentials.ts';
import { startRelayChild, type ApiRobot } from './relay-child.ts';
import { Site } from './site.ts';

describe('a relay below', () => {
  it('a broker with TLS and credentials comes in with its own, and says it when it may not', async (t) => {
    if (requirePeer(t, 'openssl') === null) return;
    const site = await Site.open(t);
    const make = (...what: string[]): unknown =>
      execFileSync(repositoryFile('examples/tls/make-certs.sh'), what, { stdio: 'pipe' });
    make('ca', site.path('certs'));
    make('server', site.path('certs'), '127.0.0.1');
    const users = site.path('users.json');
    const { username, password } = await addUser(users, 'site-a', 'relay');
    const cloud = startDrover(t, 'broker', [
      ...['--data', site.path('cloud'), '--mqtts', '0', '--http', '0', '--credentials', users],
      ...['--tls-cert', site.path('certs/server.crt'), '--tls-key', site.path('certs/server.key')],
      ...['--trust', site.path('trust.json'), '--json'],
    ]);
    const [line] = await cloud.waitForOutput(/^\{"mqtt":.*\}$/m);
    const { mqtts } = JSON.parse(line) as { mqtts: number };
    const args = ['--upstream-ca', site.path('certs/ca.crt'), '--upstream-username', username];
    const start = async (word: string) => {
      const file = site.path(`password-${word.length}`);
      await writeFile(file, `${word}\n`);
      const upstream = `mqtts://127.0.0.1:${mqtts}`;
      const more = [...args, '--upstream-password-file', file];
      return await startRelayChild(t, site, { upstream, name: 'site-a', args: more });
    };
    const stranger = await start('wrong');
    const refused = await stranger.until('knows why', (view) => view.problem !== null);
    assert.deepEqual([refused.up, refused.problem?.code], [false, 'BROKER_AUTH_REFUSED']);
    const relay = await start(password);
    const view = await relay.until('is in', (now) => now.up);
    assert.equal(view.url, `mqtts://127.0.0.1:${mqtts}`);
    assert.doesNotMatch(relay.child.stderr, new RegExp(password), 'the secret is in the log');
  });

  it('mosquitto carries an update to its site, and its robots are known above', async (t) => {
    const above = await startMosquitto(t);
    if (!above) return;
    const site = await Site.open(t);
    const cloud = await AttachedChild.start(t, site, { engine: above.url, data: 'cloud' });
    const relay = await startRelayChild(t, site, { upstream: above.url, name: 'site-a' });
    const robot = site.robot('r1', relay.url);
    await site.publish(above.url, await site.bundle('1.0.0'));
    await robot.runs('1.0.0', 60_000);
    const shown = async (): Promise<ApiRobot | undefined> => {
      const robots = (await cloud.get<{ robots: ApiRobot[] }>('/robots')).robots;
      return robots.find((one) => one.robot_id === 'r1');
    };
    const isThere = async () => {
      const one = await shown();
      return one?.online === true && one.version === '1.0.0' ? one : null;
    };
    assert.equal((await waitUntil('the robot above', isThere)).via, 'site-a');
    const seqs = (await cloud.events('r1')).map((one) => one.event_seq);
    assert.deepEqual(seqs, [...new Set(seqs)]);
    relay.child.kill('SIGKILL'); // mosquitto says its last will
    await waitUntil('nobody to be known there', async () => (await shown())?.online === false);
  });
});

it('a relay is not started when it could not be one, and says what is in the way', async (t) => {
  const site = await Site.open(t);
  const way = ['--trust', site.path('trust.json'), '--upstream', 'mqtt://h'];
  const cases: readonly [readonly string[], RegExp, Record<string, string>?][] = [
    [['--upstream', 'mqtt://h'], /trust/],
    [[...way, '--rollout-key', site.path('rollout.key')], /rollout-key/],
    [[...way, '--engine', 'mqtt://h'], /engine/],
    [[...way, '--upstream-name', 'a b'], /upstream-name/],
    [[...way, '--upstream-name', 'n'.repeat(49)], /upstream-name/],
    [way, /leads none/, { DROVER_ROLLOUT_KEY: 'aa'.repeat(32) }],
  ];
  const ends = cases.map(async ([args, words, env = {}]) => {
    const child = startDrover(t, 'broker', ['--data', site.path('d'), ...args], { env });
    const { code } = await child.exit;
    assert.equal(code, 2, child.describe());
    assert.match(child.stderr, words);
  });
  await Promise.all(ends);
});
