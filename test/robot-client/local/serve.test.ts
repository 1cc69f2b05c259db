/** The answers of the local socket about a root that was changed by hand. */

import assert from 'node:assert/strict';
import { mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Agent } from '../../../robot-client/agent.ts';
import { ComponentSet } from '../../../robot-client/component-set.ts';
import { explainComponent } from '../../../robot-client/local/explain.ts';
import { callLocalApi } from '../../../robot-client/local/client.ts';
import { serveLocalApi } from '../../../robot-client/local/serve.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { Bench, OLD } from '../bench.ts';

/** The parts of an agent that these answers are made of, around a real component. */
async function serve(t: TestContext) {
  const bench = await Bench.open(t);
  await bench.runs(OLD);
  const log = makeLog('serve', 'silent');
  const components = new ComponentSet([bench.component], log);
  await components.open();
  const explain = () => components.views.flatMap((view) => explainComponent(view, Date.now()));
  await mkdir(join(bench.root, 'state'), { recursive: true });
  const socket = join(bench.root, 'state/agent.sock');
  const agent = { components, explain, refreshModules: () => Promise.resolve() };
  const api = await serveLocalApi(agent as unknown as Agent, socket, log);
  t.after(() => api.close());
  const retry = () => callLocalApi(socket, 'POST', '/retry');
  const explained = async () => JSON.stringify(await callLocalApi(socket, 'GET', '/explain'));
  return { bench, retry, explained };
}

describe('the local socket', () => {
  it('answers to retry what it saw when it looked again, and explain says it while it lasts', async (t) => {
    const { bench, retry, explained } = await serve(t);
    assert.deepEqual(await retry(), { retried: 0, looked: true, problems: [] });
    const active = join(bench.root, 'active');
    await rm(active);
    assert.match(await explained(), /RELEASE_LOST/);
    const answer = JSON.stringify(await retry());
    assert.match(answer, /"retried":0,"looked":true/);
    assert.match(answer, /RELEASE_LOST/);
    assert.ok(bench.codes.includes('RELEASE_LOST'), 'the fleet is told');
    await symlink(`releases/${OLD}`, active);
    assert.doesNotMatch(await explained(), /RELEASE_LOST/);
    assert.deepEqual(await retry(), { retried: 0, looked: true, problems: [] });
  });

  it('names the disk that refuses, in the answer to retry', async (t) => {
    const { bench, retry } = await serve(t);
    bench.gate = ({ name }) => {
      if (name === 'unlink') throw new DroverError('DISK_READ_ONLY', 'remove x: EROFS');
    };
    assert.match(JSON.stringify(await retry()), /DISK_READ_ONLY/);
  });
});
