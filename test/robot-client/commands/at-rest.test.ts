/** The output of `status` and `explain` for a root while no agent runs. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { explainAtRest } from '../../../robot-client/commands/at-rest.ts';
import { namedRoots } from '../../../robot-client/commands/ask-agent.ts';
import { layoutOf } from '../../../robot-client/install/layout.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { isLocked } from '../../../robot-client/install/kernel-locks.ts';
import { openRuntime } from '../../../robot-client/install/path-lock.ts';
import { RootClaims } from '../../../robot-client/install/root-claims.ts';
import { writeSeal } from '../../../robot-client/install/seal-file.ts';
import { writeMachineState } from '../../../robot-client/update/state-file.ts';
import { freshState } from '../../../robot-client/update/state.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

async function told(root: string, component = 'app') {
  const { lines, ...rest } = await explainAtRest(realDisk, [{ component, root }]);
  return { ...rest, text: lines.join('\n') };
}

async function installed(t: TestContext): Promise<string> {
  const root = await tempFolder(t);
  await mkdir(join(root, 'releases/1.0.0'), { recursive: true });
  await symlink('releases/1.0.0', join(root, 'active'));
  await mkdir(join(root, 'state'));
  await writeFile(join(root, 'state/component'), 'app\n');
  await writeMachineState(realDisk, layoutOf(root), freshState());
  return root;
}

describe('a robot without an agent', () => {
  it('says which file of what boots is gone, as the next boot will see it', async (t) => {
    const root = await installed(t);
    const layout = layoutOf(root);
    const tree = join(root, 'releases/1.0.0');
    await writeFile(join(tree, 'run'), 'run');
    await writeSeal(realDisk, layout, { version: '1.0.0', tree });
    assert.equal((await told(root)).isWhole, true);
    await rm(join(tree, 'run'));
    const { text, isWhole } = await told(root);
    assert.equal(isWhole, false);
    assert.match(text, /not whole: look at release 1\.0\.0: run: got absent.*RELEASE_DAMAGED/);
  });

  it('says of the root of another component what recover and adopt say, and no version', async (t) => {
    const root = await installed(t);
    const { text, isWhole, components } = await told(root, 'nav');
    assert.match(text, /ROOT_OTHER_COMPONENT/);
    assert.equal(isWhole, false);
    assert.doesNotMatch(JSON.stringify(components), /1\.0\.0/);
    assert.match((await told(root)).text, /app: runs 1\.0\.0/);
  });

  it('is asked by a plain root for the component that the root itself names', async (t) => {
    const root = await installed(t);
    await writeFile(join(root, 'state/component'), 'system\n');
    assert.deepEqual(await namedRoots(realDisk, [root]), [{ component: 'system', root }]);
    const asNav = await namedRoots(realDisk, [`nav=${root}`]);
    assert.deepEqual(asNav, [{ component: 'nav', root }], 'a name that is given is not replaced');
    await rm(join(root, 'state/component'));
    assert.deepEqual(await namedRoots(realDisk, [root]), [{ component: 'app', root }]);
  });

  for (const slots of [['active'], ['active', 'rollback']]) {
    it(`says of a plain ${slots.join('/ and ')}/ that it is not taken over yet, and nothing is lost`, async (t) => {
      const root = await tempFolder(t);
      for (const slot of slots) await mkdir(join(root, slot));
      const { text, isWhole } = await told(root);
      assert.equal(isWhole, true);
      assert.match(text, /first start of the agent makes it release 0\.0\.0/);
      assert.match(text, /drover-robot adopt/);
      assert.doesNotMatch(text, /STATE_LOST|SLOT_FOLDER/);
    });
  }

  it('says SLOT_FOLDER of a folder that is not taken over by itself', async (t) => {
    const root = await tempFolder(t);
    await mkdir(join(root, 'active'));
    await mkdir(join(root, 'releases/1.0.0'), { recursive: true });
    assert.match((await told(root)).text, /SLOT_FOLDER/);
  });

  it('says ROOT_REPLACED while an agent runs whose root was moved away, and when another stands there', async (t) => {
    const folder = await tempFolder(t);
    const { own } = openRuntime({ runtime: join(folder, 'run'), memory: null });
    const root = join(folder, 'app');
    const claims = new RootClaims(own);
    t.after(() => claims.release());
    await claims.take(root);
    if (!isLocked(root)) return t.skip('the kernel lists no locks of this file system');
    await mkdir(join(root, 'state'));
    const look = async () => explainAtRest(realDisk, [{ component: 'app', root }], own);
    assert.doesNotMatch((await look()).lines.join('\n'), /ROOT_REPLACED/);
    await rename(root, `${root}.old`);
    for (const isThere of [false, true]) {
      if (isThere) await mkdir(join(root, 'state'), { recursive: true });
      const { agent, isWhole, lines, components } = await look();
      assert.deepEqual([agent, isWhole], ['not answering', false]);
      assert.match(lines[0] ?? '', /this root is held, and not the folder at its path now/);
      assert.match(lines.join('\n'), /ROOT_REPLACED/);
      assert.doesNotMatch(lines.join('\n'), /ROOT_ABSENT|nothing installed|first start/);
      assert.match(JSON.stringify(components), /ROOT_REPLACED/);
    }
    await rm(root, { recursive: true });
    await rename(`${root}.old`, root);
    assert.doesNotMatch((await look()).lines.join('\n'), /ROOT_REPLACED/);
  });

  it('says which process holds a root while no agent answers', async (t) => {
    const root = join(await tempFolder(t), 'app');
    await mkdir(join(root, 'state'), { recursive: true });
    const holder = spawn('flock', [root, 'sleep', '600'], { stdio: 'ignore', detached: true });
    t.after(() => holder.pid !== undefined && process.kill(-holder.pid, 'SIGKILL'));
    const told = async () => await explainAtRest(realDisk, [{ component: 'app', root }]);
    await waitUntil('the lock', () => isLocked(root)).catch(() => null);
    if (!isLocked(root)) return t.skip('the kernel lists no locks of this file system');
    const { agent, lines } = await told();
    assert.equal(agent, 'not answering');
    assert.match(lines[0] ?? '', /process \d+ holds it: flock .* sleep 600; .*a recover at boot/);
  });

  it('says of a folder in which nothing is of Drover that it is no root, and not that it is well', async (t) => {
    const folder = await tempFolder(t);
    for (const name of ['', 'hosts']) {
      if (name !== '') await writeFile(join(folder, name), 'localhost');
      const { text, isWhole } = await told(folder);
      assert.equal(isWhole, false);
      assert.match(text, /no root of a robot.*ROOT_ABSENT.*check the path of --root/);
      assert.doesNotMatch(text, /nothing installed/);
    }
  });

  it('has words for a link that is gone, when nothing says where it led', async (t) => {
    const root = await tempFolder(t);
    for (const version of ['1.0.0', '1.1.0']) {
      await mkdir(join(root, 'releases', version), { recursive: true });
      await mkdir(join(root, 'bases'), { recursive: true });
      await writeFile(join(root, 'bases', version), '');
    }
    const { text } = await told(root);
    assert.match(text, /app: has lost the link to the release that it ran/);
    assert.doesNotMatch(text, /null/);
  });
});
