/** The library holds a real component ready over the real socket, and lets go of it. */

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Agent } from '../../../robot-client/agent.ts';
import { ComponentSet } from '../../../robot-client/component-set.ts';
import { LocalAgent } from '../../../robot-client/local/library.ts';
import { serveLocalApi } from '../../../robot-client/local/serve.ts';
import { ReadyWord } from '../../../robot-client/local/ready-word.ts';
import { layoutOf } from '../../../robot-client/install/layout.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, OLD } from '../bench.ts';

async function serve(t: TestContext) {
  const bench = await Bench.open(t);
  await bench.runs(OLD);
  const log = makeLog('hold', 'silent');
  const components = new ComponentSet([bench.component], log);
  await components.open();
  await mkdir(join(bench.root, 'state'), { recursive: true });
  const socket = join(bench.root, 'state/agent.sock');
  const api = await serveLocalApi({ components } as unknown as Agent, socket, log);
  t.after(() => api.close());
  return { bench, api, agent: new LocalAgent({ socket }) };
}

const leases = (bench: Bench): string => bench.component.view.leases ?? '';

describe('holdReady of the library', () => {
  it('renews the lease until it is released, which closes the interlock', async (t) => {
    const { bench, agent } = await serve(t);
    const says: string[] = [];
    const ready = bench.component.ready.bind(bench.component);
    bench.component.ready = async (said) => {
      says.push(said.ready ? `${said.holder} ${said.holdMs}` : said.reason);
      await ready(said);
    };
    const hold = await agent.holdReady({ holdS: 1, holder: 'arm' });
    await waitUntil('two renewals', () => says.length >= 3);
    assert.match(leases(bench), /^held ready by arm \(/);
    await hold.release('done');
    const count = says.length;
    assert.deepEqual(says.at(-1), 'done');
    assert.deepEqual(new Set(says.slice(0, -1)), new Set(['arm 1000']));
    await waitUntil('no lease', () => leases(bench) === '');
    assert.equal(says.length, count, 'nothing is renewed any more');
  });

  it('goes on after a renewal that failed, and tells its caller', async (t) => {
    const { bench, api, agent } = await serve(t);
    const failures: unknown[] = [];
    const onFailure = (error: unknown): void => void failures.push(error);
    const hold = await agent.holdReady({ holdS: 1, onFailure });
    await api.close();
    await waitUntil('two failures', () => failures.length >= 2);
    assert.equal((failures[0] as { code?: string }).code, 'ROBOT_NOT_RUNNING');
    await waitUntil('the lease to lapse', () => leases(bench) === '');
    await assert.rejects(hold.release(), { code: 'ROBOT_NOT_RUNNING' });
  });

  it('is refused for a length out of bounds', async (t) => {
    const { agent } = await serve(t);
    for (const holdS of [0, 0.5, LIMITS.readyHoldMsMax / 1000 + 1]) {
      await assert.rejects(agent.holdReady({ holdS }), { code: 'LOCAL_API_INVALID' });
    }
  });
});

describe('the answers of an application', () => {
  const LEASE = { ready: true, reason: '', holdMs: 1_000 };
  /** A word on a clock of the test. */
  async function wordAt(t: TestContext) {
    const layout = layoutOf(await tempFolder(t));
    await realDisk.mkdir(layout.state);
    const clock = { nowMs: 5 };
    const open = (): ReadyWord =>
      new ReadyWord({ disk: realDisk, layout, mono: () => clock.nowMs });
    return { clock, open };
  }

  it('lapse by the monotonic clock, and at its instant', async (t) => {
    const { clock, open } = await wordAt(t);
    const word = open();
    await word.say(LEASE, true);
    clock.nowMs += 999;
    assert.deepEqual(word.said, { ready: true, reason: '' });
    clock.nowMs += 1;
    assert.equal(word.said?.ready, false);
    await word.say(LEASE, true);
    assert.equal(word.said?.ready, true);
  });

  it('are unknown after a restart for those that hold by a lease, and for no others', async (t) => {
    const { open } = await wordAt(t);
    const before = open();
    await before.say({ ready: true, reason: '' }, true);
    const plain = open();
    await plain.load();
    assert.equal(plain.said, null);
    await before.say({ ...LEASE, holder: 'arm' }, true);
    const after = open();
    await after.load();
    assert.match(after.said?.reason ?? '', /^arm holds by a ready lease, and did not renew it/);
    await after.say({ ready: true, reason: '', holder: 'arm' }, true);
    assert.equal(after.said?.ready, true);
    const last = open();
    await last.load();
    assert.equal(last.said, null);
  });

  it('are of a bounded number of callers', async (t) => {
    const { open } = await wordAt(t);
    const word = open();
    for (let at = 0; at < LIMITS.readyHoldersMax; at += 1) {
      await word.say({ ...LEASE, holder: `h${at}` }, true);
    }
    await word.say({ ...LEASE, holder: 'h0' }, true);
    await word.say(LEASE, true); // without a name: it has a place of its own
    await assert.rejects(word.say({ ...LEASE, holder: 'more' }, true), {
      code: 'LOCAL_API_INVALID',
    });
  });

  it('of no always count, also when every place is taken', async (t) => {
    const { open } = await wordAt(t);
    const word = open();
    for (let at = 0; at < LIMITS.readyHoldersMax; at += 1) {
      await word.say({ ...LEASE, holder: `h${at}` }, true);
    }
    assert.equal(word.said?.ready, true);
    for (const holder of ['safety', 'other']) {
      await word.say({ ready: false, reason: 'a person is near', holder }, true);
      assert.match(word.said?.reason ?? '', /^one of too many callers: a person is near$/);
    }
    await word.say({ ready: true, reason: '', holder: 'safety' }, true);
    assert.equal(word.said?.ready, true);
    await word.say({ ready: false, reason: '' }, true);
    assert.equal(word.said?.ready, false);
  });

  it('of yes make room for others, since they are relied on no more', async (t) => {
    const { open } = await wordAt(t);
    const word = open();
    for (let at = 0; at < 3 * LIMITS.readyHoldersMax; at += 1) {
      await word.say({ ready: true, reason: '', holder: `p${at}` }, true);
    }
    assert.ok(word.answers.size <= LIMITS.readyHoldersMax);
    assert.equal(word.said?.ready, true);
  });

  it('of a lease go on while its socket is closed, and lapse there', async (t) => {
    const { clock, open } = await wordAt(t);
    const word = open();
    await word.say(LEASE, true);
    const problem = { code: 'STATE_GONE', message: 'gone', hint: 'wait' } as const;
    word.hold({ problem, isReachable: false }, 1);
    assert.equal(word.said?.ready, false);
    assert.equal(word.answers.size, 1);
    word.hold(null, 2);
    clock.nowMs += 1_000;
    await word.say({ ready: true, reason: '', holder: 'other' }, true);
    assert.match(word.said?.reason ?? '', /lapsed/);
  });
});
