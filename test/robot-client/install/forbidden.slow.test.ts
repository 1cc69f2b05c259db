/**
 * A user without rights to a root gets that as the reason; nothing counts as lost or damaged for
 * it.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, constants, openSync } from 'node:fs';
import {
  chmod,
  chown,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { layoutOf, releaseFolder, type Layout } from '../../../robot-client/install/layout.ts';
import { lockRoot } from '../../../robot-client/install/lock.ts';
import { flock } from '../../../robot-client/install/path-lock.ts';
import { writeSeal } from '../../../robot-client/install/seal-file.ts';
import { stateAfterLoss } from '../../../robot-client/update/lost-state.ts';
import { encodeMachineState, freshState } from '../../../robot-client/update/state.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { readSlots } from '../../../robot-client/install/read-slots.ts';
import { startDrover } from '../../helpers/child.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { Bench } from '../bench.ts';
import { makeSealedRelease } from './sealed-release.ts';

const NOBODY = 65_534;
const AS_NOBODY = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'];
const VERSIONS = ['1.0.0', '1.1.0'];

/** True where this test can become another user. */
function canBecome(t: TestContext): boolean {
  if (process.getuid?.() === 0) return true;
  t.skip('wants root, to become another user');
  return false;
}

/** Two sealed releases, `active` on the newer, which is on probation. */
async function installed(t: TestContext): Promise<Layout> {
  const root = join(await tempFolder(t), 'app');
  const layout = layoutOf(root);
  for (const version of VERSIONS) await makeSealedRelease(layout, version);
  await symlink('releases/1.1.0', layout.active);
  await symlink('releases/1.0.0', layout.rollback);
  await mkdir(layout.state);
  const state = stateAfterLoss(await readSlots(realDisk, layout), null, 1);
  const text = encodeMachineState({ ...freshState(), ...state, highest: '1.1.0' });
  await writeFile(layout.machineFile, text, { mode: 0o600 });
  await chmod(dirname(root), 0o755);
  return layout;
}

/** Folders belong to the user of the program, files to root: a chown that was half done. */
async function giveFolders(layout: Layout): Promise<void> {
  const folders = await readdir(layout.root, { recursive: true, withFileTypes: true });
  await chown(layout.root, NOBODY, NOBODY);
  for (const one of folders.filter((entry) => entry.isDirectory())) {
    await chown(join(one.parentPath, one.name), NOBODY, NOBODY);
  }
}

async function asNobody(t: TestContext, ...args: string[]) {
  const child = startDrover(t, 'robot-client', args, { under: AS_NOBODY });
  await child.exit;
  return { code: child.ended?.code, said: child.stdout + child.stderr };
}

describe('a user who may not read the state of a robot', () => {
  it('changes nothing by recover, which names user and path and speaks of no loss', async (t) => {
    if (!canBecome(t)) return;
    const layout = await installed(t);
    await giveFolders(layout);
    const before = await readFile(layout.machineFile);
    for (const more of [[], ['--no-boot']]) {
      const { code, said } = await asNobody(t, 'recover', '--root', layout.root, ...more);
      assert.equal(code, 3, said);
      assert.match(said, /app: boots 1\.1\.0/);
      assert.match(said, /PERMISSION_DENIED/);
      assert.match(said, /user \S+ \(65534\) may not do this: ls -ld \S+machine\.json/);
      assert.doesNotMatch(said, /STATE_LOST|STATE_CORRUPT|DISK_|dmesg|boot 1/);
    }
    assert.deepEqual(await readFile(layout.machineFile), before);
    assert.deepEqual(await readdir(layout.state), ['machine.json']);
  });

  it('learns from explain and status that it may not read, and nothing counts as lost', async (t) => {
    if (!canBecome(t)) return;
    const layout = await installed(t);
    for (const command of ['explain', 'status']) {
      const { code, said } = await asNobody(t, command, '--root', layout.root);
      assert.equal(code, 3, said);
      assert.match(said, /PERMISSION_DENIED/);
      assert.doesNotMatch(said, /STATE_LOST|STATE_CORRUPT|set aside/);
    }
  });

  it('learns the owner of a state folder that it may not enter, and gets a whole release by the links', async (t) => {
    if (!canBecome(t)) return;
    for (const mode of [0o700, 0o744]) {
      const layout = await installed(t);
      await giveFolders(layout);
      await chown(layout.state, 0, 0);
      await chmod(layout.state, mode);
      const before = await readFile(layout.machineFile);
      for (const [more, boots] of [
        [['--release', '1.1.0'], '1.1.0'],
        [[], '1.0.0'],
      ] as const) {
        await rm(layout.active);
        const explained = await asNobody(t, 'explain', '--root', layout.root);
        const recovered = await asNobody(t, 'recover', '--root', layout.root, ...more);
        for (const { code, said } of [explained, recovered]) {
          assert.equal(code, 3, said);
          assert.match(
            said,
            /PERMISSION_DENIED.*user \S+ \(65534\) may not.*ls -ld \S+\/state shows/,
          );
          assert.doesNotMatch(said, /ACCESS_DENIED|agent\.sock|STATE_LOST/);
        }
        assert.match(recovered.said, new RegExp(`led active to ${boots}, by the links alone`));
        assert.equal(await readlink(layout.active), `releases/${boots}`);
      }
      assert.deepEqual(await readFile(layout.machineFile), before);
      assert.deepEqual(await readdir(layout.state), ['machine.json']);
    }
  });

  it('notices an agent that runs behind a state folder that it may not enter', async (t) => {
    if (!canBecome(t)) return;
    const layout = await installed(t);
    await giveFolders(layout);
    await chown(layout.state, 0, 0);
    await chmod(layout.state, 0o700);
    await rm(layout.active);
    const lock = await lockRoot(layout.root);
    const refused = await asNobody(t, 'recover', '--root', layout.root);
    assert.match(refused.said, /ROBOT_ALREADY_RUNNING/);
    const { said } = await asNobody(t, 'explain', '--root', layout.root);
    assert.match(said, /ACCESS_DENIED.*\n.*run as the user of the agent/, 'of the socket');
    lock.release();
    // A container may have been given that folder alone.
    const state = openSync(layout.state, constants.O_RDONLY);
    await flock(state, layout.root);
    const other = await asNobody(t, 'recover', '--root', layout.root);
    closeSync(state);
    assert.match(other.said, /lock \S+\/state: another drover-robot works on this folder/);
    assert.equal(await readlink(layout.active).catch(() => null), null);
  });

  it('takes a socket that a power cut left for no agent, and one that is listened on for one', async (t) => {
    if (!canBecome(t)) return;
    const layout = await installed(t);
    await giveFolders(layout);
    await rm(layout.active);
    const socket = join(layout.state, 'agent.sock');
    const server = createServer().listen(socket);
    await once(server, 'listening');
    const refused = await asNobody(t, 'recover', '--root', layout.root);
    assert.match(refused.said, /ACCESS_DENIED/);
    await rename(socket, `${socket}.left`); // closing removes what stands at its path
    server.close();
    await once(server, 'close');
    await rename(`${socket}.left`, socket);
    const { said } = await asNobody(t, 'recover', '--root', layout.root);
    assert.match(said, /led active to 1\.0\.0, by the links alone/);
    assert.match(said, /PERMISSION_DENIED/);
  });

  it('learns that it may not write a root, which is not reported as a damaged disk', async (t) => {
    if (!canBecome(t)) return;
    const layout = await installed(t);
    await chmod(layout.machineFile, 0o644);
    for (const command of ['recover', 'adopt']) {
      const { code, said } = await asNobody(t, command, '--root', layout.root);
      assert.equal(code, 3, said);
      assert.match(said, /PERMISSION_DENIED/);
      assert.doesNotMatch(said, /DISK_|dmesg|went back/);
    }
    assert.equal((await readSlots(realDisk, layout)).active.kind, 'release');
  });

  it('takes no release for damaged of which it may not read a file', async (t) => {
    if (!canBecome(t)) return;
    const layout = await installed(t);
    await giveFolders(layout);
    await chown(layout.machineFile, NOBODY, NOBODY);
    await chmod(join(releaseFolder(layout, '1.1.0'), 'bin/run'), 0o700);
    await writeSeal(realDisk, layout, {
      version: '1.1.0',
      tree: releaseFolder(layout, '1.1.0'),
    });
    await chmod(join(layout.seals, '1.1.0'), 0o644);
    const { said } = await asNobody(t, 'recover', '--root', layout.root, '--no-boot');
    assert.match(said, /app: boots 1\.1\.0 \(probation\)/);
    assert.match(said, /bin\/run: EACCES.*PERMISSION_DENIED/);
    assert.doesNotMatch(said, /RELEASE_DAMAGED|went back/);
  });
});

describe('an agent that may not read the state of its root', () => {
  it('tells it, sets nothing aside, and goes on when it may', async (t) => {
    const bench = await Bench.open(t);
    const before = await readdir(join(bench.root, 'state'));
    bench.gate = ({ name, path }) => {
      if (name !== 'readFile' || !path.endsWith('machine.json')) return;
      throw new DroverError('PERMISSION_DENIED', `read ${path}: EACCES`);
    };
    await bench.cutPower();
    assert.equal(bench.component.view.live.refusal?.problem.code, 'PERMISSION_DENIED');
    assert.deepEqual(await readdir(join(bench.root, 'state')), before);
    await bench.heal();
    bench.offer();
    await bench.runs('1.0.0');
    assert.equal(bench.component.view.state.lastProblem, null);
  });
});
