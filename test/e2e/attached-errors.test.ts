/**
 * The errors of `drover-broker --engine` when it cannot attach, or may not use a topic: each has a
 * code and a hint, and none has a password.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Child } from '../helpers/child.ts';
import { freePort } from '../helpers/free-port.ts';
import { productConfig, startMosquitto } from '../helpers/mosquitto.ts';
import { findPeer } from '../helpers/peer.ts';
import { startLameEngine } from '../helpers/lame-engine.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startDrover } from '../helpers/child.ts';
import { AttachedChild } from './attached-child.ts';
import { addUser } from './credentials.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site } from './site.ts';

const SECRET = 'correct-horse';

/** @returns the error that it ended with */
async function endOf(child: Child): Promise<{ exit: number | null; code: string; hint: string }> {
  const { code: exit } = await child.exit;
  const { error } = JSON.parse(child.stdout) as { error: { code: string; hint: string } };
  assert.doesNotMatch(child.stdout + child.stderr, new RegExp(SECRET), 'no secret in its output');
  return { exit, ...error };
}

/** mosquitto with a user `drover-broker`, whose access list has these lines. */
async function startGuarded(t: TestContext, acl: readonly string[]) {
  return await startMosquitto(t, {
    config: async (port, folder) => {
      const [passwords, list] = [join(folder, 'passwd'), join(folder, 'acl')];
      await writeFile(passwords, `drover-broker:${SECRET}\n`, { mode: 0o600 });
      const hashed = spawnSync(findPeer('mosquitto_passwd') ?? '', ['-U', passwords]);
      assert.equal(hashed.status, 0, hashed.stderr?.toString());
      await writeFile(list, `user drover-broker\n${acl.join('\n')}\n`, { mode: 0o600 });
      return (await productConfig(port))
        .replace(/^allow_anonymous true$/m, 'allow_anonymous false')
        .replace(/^#password_file .*$/m, `password_file ${passwords}`)
        .replace(/^#acl_file .*$/m, `acl_file ${list}`);
    },
  });
}

const withUser = (port: number, password: string): string =>
  `mqtt://drover-broker:${password}@127.0.0.1:${port}`;

describe('a broker that cannot attach', () => {
  it('says that no server listens there', async (t) => {
    const site = await Site.open(t);
    const engine = withUser(await freePort(), SECRET);
    const { exit, code, hint } = await endOf(
      AttachedChild.spawn(t, site, { engine, data: 'broker' }),
    );
    assert.deepEqual([exit, code], [4, 'BROKER_UNREACHABLE']);
    assert.match(hint, /--engine/);
  });

  it('says that the login was refused, whichever way the password came', async (t) => {
    const guarded = await startGuarded(t, ['topic readwrite fleet/#']);
    if (!guarded) return;
    const site = await Site.open(t);
    const wrong = `${SECRET}-but-wrong`;
    const refused = await endOf(
      AttachedChild.spawn(t, site, { engine: withUser(guarded.port, wrong), data: 'broker' }),
    );
    assert.deepEqual([refused.exit, refused.code], [3, 'BROKER_AUTH_REFUSED']);
    assert.match(refused.hint, /--engine-password-file/);

    await writeFile(site.path('password'), `${SECRET}\n`);
    const args = ['--engine-username', 'drover-broker'];
    const file = ['--engine-password-file', site.path('password')];
    const right = { engine: guarded.url, data: 'broker', args: [...args, ...file] };
    const broker = await AttachedChild.start(t, site, right);
    const { url, problem } = await broker.engine();
    assert.deepEqual([url, problem], [guarded.url, null]);
    const inUrl = { engine: withUser(guarded.port, SECRET), data: 'other' };
    const other = await AttachedChild.start(t, site, inUrl);
    assert.equal((await other.engine()).url, guarded.url, 'a password is no part of an address');
    assert.doesNotMatch(other.child.stdout + other.child.stderr, new RegExp(SECRET));
  });

  it('says that an engine where retained messages are switched off is unfit', async (t) => {
    const stingy = await startMosquitto(t, {
      config: async (port) => `${await productConfig(port)}\nretain_available false\n`,
    });
    if (!stingy) return;
    const site = await Site.open(t);
    const { exit, code } = await endOf(
      AttachedChild.spawn(t, site, { engine: stingy.url, data: 'broker' }),
    );
    assert.deepEqual([exit, code], [3, 'ENGINE_UNFIT']);
  });

  it('says which topic an access list forbids that acknowledges what it drops', async (t) => {
    const guarded = await startGuarded(t, ['topic read fleet/#']);
    if (!guarded) return;
    const site = await Site.open(t);
    const engine = withUser(guarded.port, SECRET);
    const broker = await AttachedChild.start(t, site, { engine, data: 'broker' });
    const { problem } = await waitUntil(
      'the missing echo',
      async () => {
        const view = await broker.engine();
        return view.problem?.code === 'ENGINE_TOPIC_DENIED' ? view : null;
      },
      { timeoutMs: 90_000, look: () => broker.child.describe() },
    );
    assert.match(problem?.message ?? '', /fleet\/controller/);
    const health = await fetch(`${broker.url}/healthz`);
    assert.equal(health.status, 503);
    assert.match(await health.text(), /ENGINE_TOPIC_DENIED/);
    const list = startDrover(t, 'publisher', ['rollout', 'list', '--api', broker.url]);
    await list.exit;
    assert.match(
      list.stdout,
      /no rollout is announced\nengine .*fleet\/controller.*DENIED\)\n  hint: /,
    );
    assert.match(broker.child.stderr, /did not come back[^\n]*the engine could not be tried out/);
    assert.match(broker.child.stderr, /ENGINE_TOPIC_DENIED/);
    assert.doesNotMatch(broker.child.stdout + broker.child.stderr, new RegExp(SECRET));
  });

  it('does not blame an access list when what it said is kept there and not delivered', async (t) => {
    const { url } = await startLameEngine(t, { delivers: false });
    const site = await Site.open(t);
    const broker = await AttachedChild.start(t, site, { engine: url, data: 'broker' });
    const { problem } = await waitUntil(
      'the missing echo',
      async () => {
        const view = await broker.engine();
        return view.problem?.code === 'ENGINE_NOT_DELIVERING' ? view : null;
      },
      { timeoutMs: 90_000, look: () => broker.child.describe() },
    );
    assert.doesNotMatch(broker.child.stderr, /ENGINE_TOPIC_DENIED/);
    assert.match(
      problem?.message ?? '',
      /fleet\/controller on mosquitto: it hands this out to who subs/,
    );
  });

  it('is told by another drover-broker that only a publisher may be a broker there', async (t) => {
    const site = await Site.open(t);
    const file = site.path('credentials.json');
    const password = ['--user', 'r1', '--role', 'robot', '--password-stdin'];
    const made = startDrover(t, 'broker', ['passwd', '--file', file, ...password], {
      input: SECRET,
    });
    assert.equal((await made.exit).code, 0, made.describe());
    const ci = await addUser(file, 'ci', 'publisher');
    const carrier = await startBrokerChild(t, { args: ['--credentials', file] });
    const engine = carrier.url.replace('mqtt://', `mqtt://r1:${SECRET}@`);
    const args = ['--engine-profile', 'aedes'];
    const { exit, code } = await endOf(
      AttachedChild.spawn(t, site, { engine, data: 'broker', args }),
    );
    assert.deepEqual([exit, code], [3, 'CLIENT_ID_REFUSED']);
    const own = carrier.url.replace('mqtt://', `mqtt://ci:${ci.password}@`);
    await AttachedChild.start(t, site, { engine: own, data: 'broker', args });
  });

  it('does not start beside a listener of its own, without a trust file, or with a hasty lease', async (t) => {
    const site = await Site.open(t);
    const engine = 'mqtt://127.0.0.1:1883';
    const args = ['--mqtt', '0'];
    const both = await endOf(AttachedChild.spawn(t, site, { engine, data: 'broker', args }));
    assert.deepEqual([both.exit, both.code], [2, 'USAGE']);
    const hasty = { engine, data: 'broker', args: ['--lease', '1s'] };
    const tooShort = await endOf(AttachedChild.spawn(t, site, { ...hasty, leads: false }));
    assert.deepEqual([tooShort.exit, tooShort.code], [2, 'USAGE']);
    const bare = ['--engine', engine, '--data', site.path('broker'), '--json'];
    const none = await endOf(startDrover(t, 'broker', bare));
    assert.deepEqual([none.exit, none.code], [2, 'USAGE']);
  });
});
