/** A stolen release key against robots that take only what is logged, with the real programs. */

import assert from 'node:assert/strict';
import { copyFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { callLocalApi } from '../../robot-client/local/client.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { LogStage } from './log-stage.ts';

interface SeenRobot {
  readonly components: readonly { readonly last_error: { readonly code: string } | null }[];
}

describe('a stolen release key', () => {
  it('that signs what no log holds is refused before a byte is loaded, and the fleet is told', async (t) => {
    const stage = await LogStage.open(t, 'quorum none');
    const { site } = stage;
    const broker = await startBrokerChild(t, { args: stage.trust });
    const good = await site.bundle('1.0.0');
    await stage.add(broker.url, good, '--new');
    await site.publish(broker.url, good);
    const robot = site.robot('r1', broker.url, stage.required);
    await robot.runs('1.0.0');

    const evil = await site.bundle('1.1.0');
    const args = site.publishArgs(broker.url, evil, '--id', 'evil');
    assert.equal(await stage.codeOf(...args), 'NO_ROBOT_TAKES_IT');
    await site.drover(...args, '--anyway');
    const refused = await robot.until(
      'refuses what is not logged',
      ({ last_error: error }) => error?.code === 'LOG_PROOF_MISSING',
    );
    assert.deepEqual([refused.version, refused.transfer], ['1.0.0', null]);
    await waitUntil('the fleet to know', async () => {
      const response = await fetch(`${broker.httpUrl}/robots/r1`);
      const [component] = ((await response.json()) as SeenRobot).components;
      return component?.last_error?.code === 'LOG_PROOF_MISSING';
    });
    const status = await site.drover('rollout', 'status', 'evil', '--api', broker.httpUrl);
    assert.match(status, /LOG_PROOF_MISSING/);
    const { lines } = (await callLocalApi(`${robot.root}/state/agent.sock`, 'GET', '/explain')) as {
      lines: string[];
    };
    assert.ok(lines.some((line) => line.includes('logged in example.org/fleet')));

    // A proof of another release is none, and a changed one neither.
    await copyFile(`${good}/log.tlog-proof`, `${evil}/log.tlog-proof`);
    assert.equal(await stage.codeOf(...args), 'LOG_PROOF_INVALID');
  });

  it('whose proof a rollout key changed on its way is refused, and the true one is taken', async (t) => {
    const stage = await LogStage.open(t, 'quorum none');
    const { site } = stage;
    const broker = await startBrokerChild(t, { args: stage.trust });
    const robot = site.robot('r1', broker.url, stage.required);
    for (const version of ['1.0.0', '1.1.0']) {
      const bundle = await site.bundle(version);
      await stage.add(broker.url, bundle, ...(version === '1.0.0' ? ['--new'] : []));
      if (version === '1.0.0') continue;
      await site.publish(broker.url, bundle, '--id', 'first', '--waves', '1,100');
      await stage.tamper(broker.url, (proof) => proof.replace('index 1', 'index 0'));
      await robot.child.waitForOutput(/LOG_PROOF_INVALID/);
      assert.equal((await robot.status()).version, null);
      await site.publish(broker.url, bundle, '--id', 'again', '--supersede', 'first');
      await robot.runs(version);
    }
  });
});
