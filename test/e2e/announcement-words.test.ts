/** A command reports only what it did: nothing counts as ended before its end is announced. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBrokerChild } from './broker-child.ts';
import { Site } from './site.ts';
import { Thief, trustTwoKeys } from './thief.ts';
import { makeKey } from './site-making.ts';

test('a file that waits for signatures ends nothing, and a fresh list is not called signed again', async (t) => {
  const site = await Site.open(t);
  const { url } = await startBrokerChild(t, {});
  const trust = ['--trust', site.path('trust.json')];
  await site.publish(url, await site.bundle('1.0.0'), '--id', 'first');
  const at = ['--broker', url, ...trust];
  const by = ['--key', site.path('rollout.key'), '--waves', '100'];
  const waiting = ['--announcement-out', site.path('1.announcement')];
  const next = await site.bundle('1.1.0');
  const out = await site.drover('publish', next, ...at, ...by, ...waiting);
  assert.match(out, /^would end first when it is announced$/m);

  await makeKey(site.path('rollout-2'));
  const rotate = ['trust', 'rotate', ...trust, '--rollout', site.path('rollout-2.pub')];
  const files = ['--key', site.path('release.key'), '--out', site.path('trust-2.json')];
  await site.drover(...rotate, ...files);
  const fresh = ['trust', 'publish', site.path('trust-2.json.update'), ...at, '--fresh'];
  const by2 = ['--key', site.path('rollout-2.key')];
  const dry = await site.drover(...fresh, ...by2, '--dry-run');
  assert.match(dry, /would sign an empty list\nrollout first would end$/m);
  const file = ['--announcement-out', site.path('2.announcement')];
  const held = await site.drover(...fresh, ...by2, ...file);
  assert.match(held, /^signed, not announced yet$/m);
  assert.match(held, /^rollout first would end when the file is announced$/m);
  const done = await site.drover(...fresh, ...by2);
  assert.match(done, /^an empty list is announced\nrollout first ended$/m);
});

test('the seq of a thief ends with his key: the list of the new key begins at the clock', async (t) => {
  const site = await Site.open(t);
  await trustTwoKeys(site);
  const { url } = await startBrokerChild(t, {});
  const trust = ['--trust', site.path('trust.json')];
  const seqOf = (text: string): number => Number(/seq (\d+)/.exec(text)?.[1]);
  const thief = await Thief.enter(t, site, url);
  await thief.announce({ seq: Math.floor(Date.now() / 1000) + 86_000 });
  await makeKey(site.path('rollout-2'));
  const rotate = ['trust', 'rotate', ...trust, '--rollout', site.path('rollout-2.pub')];
  const files = ['--key', site.path('release.key'), '--out', site.path('trust-2.json')];
  await site.drover(...rotate, ...files);
  const by2 = ['--key', site.path('rollout-2.key')];
  const update = site.path('trust-2.json.update');
  await site.drover('trust', 'publish', update, '--broker', url, ...trust, ...by2, '--fresh');
  const at = ['--broker', url, '--trust', site.path('trust-2.json'), ...by2, '--waves', '100'];
  const out = await site.drover('publish', await site.bundle('1.1.0'), ...at);
  assert.ok(seqOf(out) < Date.now() / 1000 + 3_600, out);
});
