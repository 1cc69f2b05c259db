/**
 * An operator's mistakes with a transparency log are named as such, and a monitor gets exit code 3.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBrokerChild } from './broker-child.ts';
import { LogStage } from './log-stage.ts';

test('a wrong key or name at the log has an error of its own, and too few witnesses end log verify with 3', async (t) => {
  const stage = await LogStage.open(t, 'group both all w1 w2', 'quorum both');
  const { site } = stage;
  const { url } = await startBrokerChild(t, {});
  const bundle = await site.bundle('1.0.0');
  await stage.add(url, bundle, '--new');
  const told = async (words: readonly string[], exit: number, message: RegExp): Promise<void> => {
    const child = await site.tryDrover({}, ...words);
    assert.equal(child.ended?.code, exit, child.describe());
    assert.match(child.stdout + child.stderr, message);
  };
  const add = ['log', 'add', bundle, '--broker', url];
  const key = (name: string): string[] => ['--key', site.path(`${name}.key`)];
  await told([...add, ...key('w1'), '--origin', 'example.org/fleet'], 2, /another key than this/);
  await told([...add, ...key('log'), '--origin', 'example.org/other'], 2, /another --origin/);

  const slip = stage.witnessArgs(url, 'w1').map((word) => (word === 'w1' ? 'plant' : word));
  await told(slip, 2, /the policy has no witness plant with this key \(it names w1, w2\)/);
  await told(stage.verifyArgs(url), 3, /too few witnesses/);
  await site.drover(...stage.witnessArgs(url, 'w1'));
  await told(stage.verifyArgs(url, '--json'), 3, /"ok":false/);
  await site.drover(...stage.witnessArgs(url, 'w2'));
  await told(stage.verifyArgs(url), 0, /^ok: /);
});
