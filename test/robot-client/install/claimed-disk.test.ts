/**
 * A root or a state folder that is taken away from a running agent is reported, and not written to.
 */

import assert from 'node:assert/strict';
import { mkdir, readdir, readlink, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { claimedDisk } from '../../../robot-client/install/claimed-disk.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { lockRoot } from '../../../robot-client/install/lock.ts';
import { RootClaims } from '../../../robot-client/install/root-claims.ts';
import type { Scope } from '../../helpers/scope.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet } from '../bench.ts';

/** A root that is claimed, `state/` with it, as a running agent has it. */
async function claimed(scope: Scope) {
  const folder = await tempFolder(scope);
  const root = join(folder, 'root');
  const claims = new RootClaims();
  scope.after(() => claims.release());
  await claims.take(root);
  await claims.takeState(root);
  return { folder, root, claims, disk: claimedDisk(realDisk, claims) };
}

/** A component with such a root, which it checks when the test asks for it. */
async function bench(scope: Scope) {
  const on = await claimed(scope);
  const opened = await Bench.open(scope, { claims: on.claims, disk: on.disk }, on.root);
  const look = async (code: string | null): Promise<void> => {
    await waitUntil(`the look to end in ${code}`, async () => {
      await opened.component.refresh();
      return (opened.component.view.live.refusal?.problem.code ?? null) === code;
    });
  };
  return { ...on, bench: opened, look };
}

describe('a root that is claimed', () => {
  for (const [what, isMade] of [
    ['is gone', false],
    ['is another folder now', true],
  ] as const) {
    it(`takes no change when it ${what}, and takes them again when it is back`, async (t) => {
      const { folder, root, claims, disk } = await claimed(t);
      await rename(root, join(folder, 'away'));
      if (isMade) await mkdir(root);
      await assert.rejects(disk.mkdir(join(root, 'releases')), { code: 'ROOT_REPLACED' });
      await assert.rejects(disk.symlink('x', join(root, 'active')), { code: 'ROOT_REPLACED' });
      await assert.rejects(claims.takeState(root), { code: 'ROOT_REPLACED' });
      assert.deepEqual(await realDisk.list(root), []);
      if (isMade) await rm(root, { recursive: true });
      await rename(join(folder, 'away'), root);
      await disk.mkdir(join(root, 'releases', 'deep'));
    });
  }

  it('takes no change while state/ is gone or replaced, until that is claimed', async (t) => {
    const { root, claims, disk } = await claimed(t);
    for (const isMade of [false, true]) {
      await rename(join(root, 'state'), join(root, `old-${isMade}`));
      if (isMade) await mkdir(join(root, 'state'));
      await assert.rejects(disk.mkdir(join(root, 'staging')), { code: 'STATE_GONE' });
      await claims.takeState(root);
      await disk.mkdir(join(root, 'staging'));
      await assert.rejects(lockRoot(join(root, 'state')), { code: 'ROBOT_ALREADY_RUNNING' });
    }
  });

  it('leaves paths beside it, and roots that are not claimed, as they are', async (t) => {
    const { folder, root, disk } = await claimed(t);
    await rename(root, join(folder, 'away'));
    await disk.mkdir(join(folder, 'root-of-another'));
    await disk.mkdir(join(folder, 'away', 'below'));
  });
});

describe('the component of a root that was taken away', () => {
  it('tells it with the version that it knew, writes nothing, and goes on when it is back', async (t) => {
    const { folder, root, bench: on, look } = await bench(t);
    await rename(root, join(folder, 'away'));
    await mkdir(root);
    await look('ROOT_REPLACED');
    assert.ok(on.codes.includes('ROOT_REPLACED'), on.codes.join(' '));
    assert.equal(on.component.view.version, '1.0.0');
    on.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
    await look('ROOT_REPLACED');
    assert.deepEqual(await readdir(root), []);
    assert.equal(on.component.view.state.phase, 'idle');
    await rm(root, { recursive: true });
    await rename(join(folder, 'away'), root);
    await look(null);
    on.offer();
    await on.runs('1.1.0');
  });

  it('does not swap what was staged before its root was taken away', async (t) => {
    const { folder, root, bench: on, look } = await bench(t);
    await on.component.ready({ ready: false, reason: 'busy' });
    on.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
    await waitUntil('the update to wait', () => on.phases.includes('waiting'));
    await rename(root, join(folder, 'away'));
    await mkdir(root);
    await look('ROOT_REPLACED');
    await on.component.ready({ ready: true, reason: '' });
    await waitUntil('the update to be given up', () => on.phases.at(-1) === 'idle');
    assert.deepEqual(await readdir(root), []);
    assert.equal(await readlink(join(folder, 'away', 'active')), 'releases/1.0.0');
    assert.ok(!on.phases.includes('swapping'), on.phases.join(' '));
  });

  it('notices that state/ is gone before anything makes it again, and writes it again', async (t) => {
    const { root, claims, bench: on, look } = await bench(t);
    claims.beforeStateIsMadeAgain(() => on.component.refresh());
    await rm(join(root, 'state'), { recursive: true });
    await claims.takeState(root); // as the door of the socket does, between two looks
    assert.ok(on.codes.includes('STATE_GONE'), on.codes.join(' '));
    await look(null);
    assert.ok((await readdir(join(root, 'state'))).includes('machine.json'));
  });

  it('keeps what it remembers when state/ was removed, and swaps once that is claimed', async (t) => {
    const { root, claims, bench: on, look } = await bench(t);
    await rm(join(root, 'state'), { recursive: true });
    await look('STATE_GONE');
    on.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
    await look('STATE_GONE');
    assert.equal(await readlink(join(root, 'active')), 'releases/1.0.0');
    await claims.takeState(root);
    await look(null);
    assert.ok((await readdir(join(root, 'state'))).includes('machine.json'));
    on.offer();
    await on.runs('1.1.0');
  });
});
