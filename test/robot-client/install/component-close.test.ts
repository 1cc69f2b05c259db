/** The end of a component, and failures that stay with the component that has them. */

import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Agent } from '../../../robot-client/agent.ts';
import { layoutOf } from '../../../robot-client/install/layout.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { callLocalApi } from '../../../robot-client/local/client.ts';
import { serveLocalApi } from '../../../robot-client/local/serve.ts';
import { readSlots } from '../../../robot-client/install/read-slots.ts';
import { parseRobotId } from '../../../shared/base/ids.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import type { Scope } from '../../helpers/scope.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet } from '../bench.ts';
import { faultyDisk, isChange, type Gate } from '../faulty-disk.ts';

/** An agent of two components without a broker, not yet open; both roots hold a release 1.0.0. */
async function makeTwo(scope: Scope, gate: Gate): Promise<{ agent: Agent; folder: string }> {
  const folder = await tempFolder(scope);
  const roots = ['app', 'nav'].map((component) => ({ component, root: join(folder, component) }));
  for (const { root } of roots) {
    await mkdir(join(root, 'releases/1.0.0'), { recursive: true });
    await writeFile(join(root, 'releases/1.0.0/file'), 'old');
    await symlink('releases/1.0.0', join(root, 'active'));
  }
  const agent = new Agent({
    ...{ robot: parseRobotId('r1'), trust: fleet.trust, arch: 'x86_64', model: 'm', tags: [] },
    ...{ bytesPerSecondMax: null, bootsMax: 3, adoptVersion: '0.0.0', roots },
    disk: faultyDisk(gate),
    hooksFolder: join(folder, 'no-hooks'),
    link: { url: 'mqtt://127.0.0.1:1' },
    log: makeLog('two', 'silent'),
  });
  return { agent, folder };
}

async function openTwo(scope: Scope, gate: Gate): Promise<{ agent: Agent; folder: string }> {
  const two = await makeTwo(scope, gate);
  await two.agent.open();
  return two;
}

describe('a component that is closed', () => {
  it('waits for the write that an effect is in the middle of, and writes nothing afterwards', async (t) => {
    const bench = await Bench.open(t, { closeWaitMs: 20_000 });
    const changes: string[] = [];
    let letGo = (): void => {};
    const swap = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    let isSwapping = false;
    bench.gate = async (operation) => {
      if (isChange(operation)) changes.push(operation.name);
      if (operation.name !== 'rename' || !operation.path.endsWith('/active')) return;
      isSwapping = true;
      await swap;
    };
    bench.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
    await waitUntil('the swap', () => isSwapping, { look: () => bench.describe() });
    let isClosed = false;
    const closed = bench.component.close().then((hasEnded) => {
      isClosed = true;
      return hasEnded;
    });
    for (let turn = 0; turn < 50; turn += 1) await new Promise(setImmediate);
    assert.equal(isClosed, false, 'closed while the swap was on its way');
    letGo();
    assert.equal(await closed, true);
    const before = changes.length;
    for (let turn = 0; turn < 50; turn += 1) await new Promise(setImmediate);
    assert.equal(changes.length, before);
  });

  it('says so when a write does not end, and then leaves no mark of an end in order', async (t) => {
    const bench = await Bench.open(t);
    let isHanging = false;
    bench.gate = (operation) => {
      if (operation.name !== 'rename' || !operation.path.endsWith('/active')) return;
      isHanging = true;
      return bench.forever();
    };
    bench.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
    await waitUntil('the swap', () => isHanging, { look: () => bench.describe() });
    assert.equal(await bench.component.close(), false);
  });
});

describe('components of one robot', () => {
  it('start although the disk under one of them fails in a way that is not known', async (t) => {
    let fails = true;
    const { agent, folder } = await openTwo(t, ({ path, name }) => {
      if (fails && isChange({ name, path }) && path.includes('/nav/')) throw new TypeError('bug');
    });
    t.after(() => agent.close());
    const views = new Map(agent.components.all.map(({ view }) => [view.name, view]));
    assert.equal(views.get('app')?.version, '1.0.0');
    assert.equal(views.get('app')?.live.refusal, null);
    assert.equal(views.get('nav')?.live.refusal?.problem.code, 'INTERNAL');
    fails = false;
    await waitUntil('nav to be read again', () => agent.components.all.every((one) => one.isOpen), {
      timeoutMs: 30_000,
    });
    assert.equal(await realDisk.readlink(join(folder, 'nav/active')), 'releases/1.0.0');
  });

  it('read their slots although releases/ cannot be listed', async (t) => {
    const folder = await tempFolder(t);
    await mkdir(join(folder, 'releases'), { recursive: true });
    await mkdir(join(folder, 'elsewhere'));
    await symlink('elsewhere', join(folder, 'active'));
    const disk = faultyDisk(({ name }) => {
      if (name === 'list') throw new Error('EIO: i/o error, scandir');
    });
    const { active } = await readSlots(disk, layoutOf(folder));
    assert.equal(active.kind, 'foreign');
  });
});

describe('a local socket that is open before the roots were read', () => {
  it('waits with its answers, and says ROBOT_STARTING while a disk hangs', async (t) => {
    let letGo = (): void => undefined;
    const hanging = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const { agent, folder } = await makeTwo(t, async ({ path }) => {
      if (path.includes('/nav/')) await hanging;
    });
    const socket = join(folder, 'agent.sock');
    const door = await serveLocalApi(agent, socket, makeLog('door', 'silent'));
    t.after(() => door.close());
    const opened = agent.open();
    t.after(() => agent.close());
    await assert.rejects(callLocalApi(socket, 'GET', '/status'), { code: 'ROBOT_STARTING' });
    const unblock = callLocalApi(socket, 'POST', '/unblock', { version: '1.0.0' });
    await assert.rejects(unblock, { code: 'ROBOT_STARTING' });
    const status = callLocalApi(socket, 'GET', '/status');
    letGo();
    const { components } = (await status) as unknown as { components: { version: string }[] };
    assert.deepEqual(
      components.map(({ version }) => version),
      ['1.0.0', '1.0.0'],
    );
    await opened;
  });
});
