/** `--approvers 2` with real programs: a broker with users, a robot, and three persons. */

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { it } from 'node:test';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { addUser } from './credentials.ts';
import { Site } from './site.ts';

it('two users open a wave, and neither its publisher nor one of them twice', async (t) => {
  const site = await Site.open(t);
  const users = site.path('users.json');
  const login = async (name: string, role: 'publisher' | 'robot'): Promise<string> => {
    const { password } = await addUser(users, name, role);
    await writeFile(site.path(`${name}.secret`), password, { mode: 0o600 });
    return site.path(`${name}.secret`);
  };
  const pub = await login('pub', 'publisher');
  const ana = await login('ana', 'publisher');
  const ben = await login('ben', 'publisher');
  const r1 = await login('r1', 'robot');
  const keys = ['--trust', site.path('trust.json'), '--rollout-key', site.path('rollout.key')];
  const args = ['--credentials', users, ...keys, '--controller-start', '1s'];
  const broker = await startBrokerChild(t, { args });
  const robot = site.robot('r1', broker.url, ['--username', 'r1', '--password-file', r1]);
  const bundle = await site.bundle('1.0.0');
  const asPub = ['--username', 'pub', '--password-file', pub];
  const wave = [
    '--waves',
    '50,100',
    '--soak',
    '0s',
    '--gate',
    'batch_s=1',
    '--gate',
    'evidence_wait_s=1',
    '--id',
    'app-1',
  ];
  const steps = [...wave, '--approve', '1', '--approvers', '2'];
  // The lease of a broker that has just started may be a moment away.
  await waitUntil('the controller to lead', async () => {
    const words = site.publishArgs(broker.url, bundle, ...asPub, ...steps);
    const child = await site.tryDrover({}, ...words);
    return child.ended?.code === 0 ? child : null;
  });
  const api = ['--api', broker.httpUrl];
  const ask = async (file: string, ...words: string[]) =>
    await site.tryDrover({}, 'rollout', ...words, 'app-1', ...api, '--token-file', file);
  await robot.runs('1.0.0');
  const headers = { authorization: `Bearer ${await readFile(ana, 'utf8')}` };
  const status = async (words: RegExp): Promise<string> =>
    await waitUntil(`a status with ${String(words)}`, async () => {
      const text = await (await fetch(`${broker.httpUrl}/rollouts/app-1`, { headers })).text();
      return words.test(text) ? text : null;
    });
  await status(/for 2 users other than pub, who published it/);
  const own = await ask(pub, 'approve');
  assert.match(own.stderr, /APPROVER_IS_PUBLISHER/);
  const one = await ask(ana, 'approve');
  assert.match(one.stdout, /wave 1: 1 of 2: waits for another user than ana and pub/);
  const again = await ask(ana, 'approve');
  assert.match(again.stdout, /this user approved it before, nothing changed; 1 of 2/);
  await status(/for another user than ana and pub \(1 of 2\)/);
  const two = await ask(ben, 'approve');
  assert.match(two.stdout, /wave 1 is approved/);
  await status(/"status":"complete"/);
});
