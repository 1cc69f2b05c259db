/** A refusal of our broker reaches the user of the publisher with its code, and ends the program. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { startBrokerChild } from '../e2e/broker-child.ts';
import { startDrover } from '../helpers/child.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { makeBundleFolder, writeFleetFiles } from './bundle-maker.ts';

async function refusalBy(
  t: TestContext,
  options: { broker?: string[]; publish?: string[]; trust?: string },
): Promise<{ code: string; exit: number | null }> {
  const cwd = await tempFolder(t);
  await writeFleetFiles(cwd);
  const init = `trust init --release stranger.pub --rollout stranger.pub --fleet test --out other.json`;
  await startDrover(t, 'publisher', init.split(' '), { cwd }).exit;
  const bundle = await makeBundleFolder(cwd, '1.0.0', 2 * 1024 * 1024);
  const trust = ['--trust', join(cwd, options.trust ?? 'trust.json')];
  const { url } = await startBrokerChild(t, { args: [...trust, ...(options.broker ?? [])] });
  const line = `publish ${bundle} --broker ${url} --trust trust.json --key rollout.key --waves 100 --json`;
  const publish = startDrover(t, 'publisher', [...line.split(' '), ...(options.publish ?? [])], {
    cwd,
  });
  const { code: exit } = await publish.exit;
  const { error } = JSON.parse(publish.stdout) as { error?: { code: string } };
  assert.ok(error, publish.describe());
  return { code: error.code, exit };
}

describe('refusals of drover-broker', { concurrency: 2 }, () => {
  test('a full store', async (t) => {
    const refusal = await refusalBy(t, { broker: ['--max-store', '1M'] });
    assert.deepEqual(refusal, { code: 'STORE_FULL', exit: 3 });
  });

  test('an announcement that the trust of the broker does not cover', async (t) => {
    const refusal = await refusalBy(t, { trust: 'other.json' });
    assert.deepEqual(refusal, { code: 'ENVELOPE_KEY_UNKNOWN', exit: 3 });
  });
});
