/** `--approvers 2` with real programs: a broker with users, a robot, and three persons, one with a key. */

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { it, type TestContext } from 'node:test';
import { keyIdOf, publicKeyOf } from '../../shared/crypto/ed25519.ts';
import { fixedSeed } from '../helpers/fleet.ts';
import { startDrover } from '../helpers/child.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { addUser } from './credentials.ts';
import { Site } from './site.ts';

const STEPS =
  '--waves 50,100 --soak 0s --gate batch_s=1 --gate evidence_wait_s=1 --id app-1 --approve 1 --approvers 2';

/** A user of the file, and a file with its token. */
async function login(site: Site, name: string, role: 'publisher' | 'robot'): Promise<string> {
  const { password } = await addUser(site.path('users.json'), name, role);
  await writeFile(site.path(`${name}.secret`), password, { mode: 0o600 });
  return site.path(`${name}.secret`);
}

/** `app-1` on one robot, for three persons; the last one has a key. */
async function publishForTwo(t: TestContext) {
  const site = await Site.open(t);
  const users = site.path('users.json');
  const [pub, ana, ben, r1] = [
    await login(site, 'pub', 'publisher'),
    await login(site, 'ana', 'publisher'),
    await login(site, 'ben', 'publisher'),
    await login(site, 'r1', 'robot'),
  ];
  const [seed, key, open] = [fixedSeed(41), site.path('ben.key'), site.path('ben.pub')];
  await writeFile(key, seed, { mode: 0o600 });
  await writeFile(open, `${publicKeyOf(seed)}\n`);
  const ofBen = ['--file', users, '--user', 'ben', '--public-key', open];
  const set = startDrover(t, 'broker', ['approval-key', 'set', ...ofBen]);
  await set.exit;
  assert.equal(set.ended?.code, 0, set.describe());
  const keys = ['--trust', site.path('trust.json'), '--rollout-key', site.path('rollout.key')];
  const args = ['--credentials', users, ...keys, '--controller-start', '1s'];
  const broker = await startBrokerChild(t, { args });
  const robot = site.robot('r1', broker.url, ['--username', 'r1', '--password-file', r1]);
  const bundle = await site.bundle('1.0.0');
  const asPub = ['--username', 'pub', '--password-file', pub];
  // The lease of a broker that has just started may be a moment away.
  await waitUntil('the controller to lead', async () => {
    const words = site.publishArgs(broker.url, bundle, ...asPub, ...STEPS.split(' '));
    const child = await site.tryDrover({}, ...words);
    return child.ended?.code === 0 ? child : null;
  });
  await robot.runs('1.0.0');
  return { site, url: broker.httpUrl, pub, ana, ben, key, open, keyId: keyIdOf(publicKeyOf(seed)) };
}

it('two users open a wave, neither its publisher nor one twice, and who has a key signs', async (t) => {
  const { site, url, pub, ana, ben, key, open, keyId } = await publishForTwo(t);
  const api = ['--api', url];
  const ask = async (file: string, ...words: string[]) =>
    await site.tryDrover({}, 'rollout', ...words, 'app-1', ...api, '--token-file', file);
  const headers = { authorization: `Bearer ${await readFile(ana, 'utf8')}` };
  const status = async (words: RegExp): Promise<string> =>
    await waitUntil(`a status with ${String(words)}`, async () => {
      const text = await (await fetch(`${url}/rollouts/app-1`, { headers })).text();
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
  const thief = await ask(ben, 'approve');
  assert.match(
    thief.stderr,
    /type: drover rollout approve app-1 --wave 1 --key FILE \(APPROVAL_UNSIGNED\)/,
  );
  const two = await ask(ben, 'approve', '--key', key);
  assert.match(two.stdout, new RegExp(`wave 1 is approved.*; signed by key ${keyId}`));
  await status(/"status":"complete"/);
  const chain = site.path('chain.jsonl');
  await site.drover('audit', 'export', ...api, '--token-file', ben, '--out', chain);
  const verified = await site.drover('audit', 'verify', chain, '--public-key', open);
  assert.match(verified, /signed: 1 entry by ben \(key /);
});
