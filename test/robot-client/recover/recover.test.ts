/**
 * `recover` leads to a release whatever it finds, on real files, with a disk that refuses where a
 * test says so.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmod,
  cp,
  mkdir,
  readdir,
  readlink,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { layoutOf, releaseFolder } from '../../../robot-client/install/layout.ts';
import { makeJob, encodeMachineState, freshState } from '../../../robot-client/update/state.ts';
import type { Disk } from '../../../robot-client/install/disk-port.ts';
import { setCleanMark } from '../../../robot-client/install/marks.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { writeSeal } from '../../../robot-client/install/seal-file.ts';
import { readMachineState } from '../../../robot-client/update/state-file.ts';
import { recoverComponent } from '../../../robot-client/recover/recover.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { verifyBundle } from '../../../shared/formats/bundle-signature.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { faultyDisk } from '../faulty-disk.ts';
import { announce, makeRollout, makeWorld, NOW } from '../world.ts';
import { makeSealedRelease } from '../install/sealed-release.ts';

const [OLD, NEW] = ['1.0.0', '1.1.0'];

/** Two sealed releases, `active` on the newer. */
async function installed(t: TestContext) {
  const root = join(await tempFolder(t), 'app');
  const layout = layoutOf(root);
  for (const version of [OLD, NEW]) {
    await makeSealedRelease(layout, version, { 'mod.pyc': 'byte code' });
  }
  await symlink(`releases/${NEW}`, layout.active);
  await symlink(`releases/${OLD}`, layout.rollback);
  await mkdir(layout.state);
  await writeFile(layout.machineFile, encodeMachineState(freshState()));
  const recover = (disk: Disk = realDisk, isBoot = true) =>
    recoverComponent({
      ...{ component: 'app', root, disk, hooksFolder: join(root, 'no-hooks') },
      ...{ bootsMax: 3, adoptVersion: '0.0.0', isBoot },
    });
  const at = (path: string): string => join(releaseFolder(layout, NEW), path);
  return { root, layout, recover, at };
}

/** On probation of the newer one. */
function onProbation() {
  const world = makeWorld();
  const rollout = announce(world, [makeRollout(world, { version: NEW })]).rollouts[0];
  if (!rollout?.artifacts[0]) throw new TypeError('no rollout');
  const bundle = verifyBundle({
    manifestBytes: rollout.manifest,
    signatures: [rollout.signature],
    trust: world.trust,
  });
  const job = makeJob({ rollout, artifact: rollout.artifacts[0], bundle, seq: 7, now: NOW });
  return { ...freshState(), phase: 'probation' as const, job: { ...job, previousVersion: OLD } };
}

describe('recover', () => {
  it('stays on a release that is whole, and leaves byte code and files of the application alone', async (t) => {
    const { layout, recover, at } = await installed(t);
    await writeFile(at('mod.pyc'), 'written anew by the interpreter');
    await writeFile(at('notes'), 'of the application');
    const { version, problems, actions } = await recover();
    assert.equal(version, NEW);
    assert.deepEqual([problems, actions], [[], []]);
    assert.equal(await readlink(layout.rollback), `releases/${OLD}`);
  });

  for (const [what, harm] of [
    ['a file is gone', (path: string) => rm(path)],
    ['a file was cut short', (path: string) => truncate(path, 3)],
    ['the bytes of a file are others', (path: string) => writeFile(path, 'echo 1.1.1\n')],
  ] as const) {
    it(`goes back when ${what}, and says so with a code`, async (t) => {
      const { layout, recover, at } = await installed(t);
      await harm(at('bin/run'));
      const { version, problems } = await recover();
      assert.equal(version, OLD);
      assert.deepEqual(problems, []);
      const { lastProblem, blocked } = await readMachineState(realDisk, layout, NOW);
      assert.equal(lastProblem?.code, 'RELEASE_DAMAGED');
      assert.deepEqual(blocked, []);
    });
  }

  it('counts no boot for a person, however often it is run, and goes back all the same when it must', async (t) => {
    const { layout, recover, at } = await installed(t);
    await writeFile(layout.machineFile, encodeMachineState({ ...onProbation() }));
    for (let run = 1; run <= 5; run += 1) {
      const { version, phase, actions } = await recover(realDisk, false);
      assert.deepEqual([version, phase], [NEW, 'probation'], `run ${run}`);
      assert.match(actions.join('\n'), /1\.1\.0 is on probation: no boot was counted/);
    }
    assert.match((await recover()).actions.join('\n'), /^boot 1 of 1\.1\.0/m);
    await rm(at('bin/run'));
    assert.equal((await recover(realDisk, false)).version, OLD);
  });

  for (const phase of ['swapping', 'probation'] as const) {
    it(`decides the same in ${phase}, whatever year the clock of the boot shows`, async (t) => {
      const found = [];
      for (const year of [2026, 1970, 2099]) {
        const { layout, recover } = await installed(t);
        await writeFile(layout.machineFile, encodeMachineState({ ...onProbation(), phase }));
        t.mock.timers.enable({ apis: ['Date'], now: Date.UTC(year, 0, 1) });
        const boots = [await recover(), await recover(), await recover(), await recover()];
        t.mock.timers.reset();
        found.push(
          boots.map(({ version, phase: after, actions }) => ({ version, after, actions })),
        );
      }
      assert.deepEqual(found[1], found[0]);
      assert.deepEqual(found[2], found[0]);
    });
  }

  it('looks at sizes alone after an orderly end', async (t) => {
    const { layout, recover, at } = await installed(t);
    await writeFile(at('bin/run'), 'echo 1.1.1\n');
    await setCleanMark(realDisk, layout);
    assert.equal((await recover()).version, NEW);
    assert.equal((await recover()).version, OLD, 'the mark holds for one boot');
  });

  it('does not go back twice for a file that the application writes itself', async (t) => {
    const { layout, recover, at } = await installed(t);
    await writeFile(at('bin/run'), 'echo 1.1.1\n');
    await recover();
    await rm(layout.active);
    await symlink(`releases/${NEW}`, layout.active);
    await symlink(`releases/${OLD}`, layout.rollback);
    assert.equal((await recover()).version, NEW);
  });

  it('goes back when the release of active is gone, or active itself', async (t) => {
    const { layout, recover } = await installed(t);
    await rm(layout.active);
    assert.equal((await recover()).version, OLD);
    const other = await installed(t);
    await rm(releaseFolder(other.layout, NEW), { recursive: true });
    assert.equal((await other.recover()).version, OLD);
  });

  it('links the installed release again when both links are gone, and tells it', async (t) => {
    const { layout, recover } = await installed(t);
    await recover(); // as any boot before: it remembers what runs
    await rm(layout.active);
    await rm(layout.rollback);
    const { version, problems, actions } = await recover();
    assert.deepEqual([version, problems], [NEW, []]);
    assert.ok(actions.join().includes('RELEASE_LOST'));
    assert.equal((await readMachineState(realDisk, layout, NOW)).lastProblem?.code, 'RELEASE_LOST');
    assert.equal(await readlink(layout.rollback), `releases/${OLD}`, 'the way back as well');
    await rm(layout.active);
    await rm(layout.rollback);
    assert.equal((await recover()).version, NEW, 'it is known after that, too');
  });

  it('links the older release that is whole when the installed one is not either', async (t) => {
    const { layout, recover, at } = await installed(t);
    await recover();
    await rm(layout.active);
    await rm(layout.rollback);
    await truncate(at('bin/run'), 3);
    const { version, problems } = await recover();
    assert.deepEqual([version, problems], [OLD, []]);
    assert.equal((await readMachineState(realDisk, layout, NOW)).lastProblem?.code, 'RELEASE_LOST');
  });

  for (const phase of ['idle', 'probation', 'rolling_back'] as const) {
    it(`goes to an older whole release when both that the links lead to lost bytes (${phase})`, async (t) => {
      const { layout, recover, at } = await installed(t);
      const older = releaseFolder(layout, '0.9.0');
      await cp(releaseFolder(layout, OLD), older, { recursive: true });
      await writeSeal(realDisk, layout, { version: '0.9.0', tree: older });
      for (const version of [OLD, NEW]) await rm(join(releaseFolder(layout, version), 'bin/run'));
      const state = phase === 'idle' ? freshState() : { ...onProbation(), phase };
      await writeFile(layout.machineFile, encodeMachineState(state));
      const { version, phase: after } = await recover();
      assert.deepEqual([version, after], ['0.9.0', 'idle'], at('bin/run'));
      assert.equal((await recover()).version, '0.9.0');
      const { lastActive } = await readMachineState(realDisk, layout, NOW);
      assert.equal(lastActive, '0.9.0');
    });
  }

  it('boots nothing, with a code, when no release is whole', async (t) => {
    const { layout, recover, at } = await installed(t);
    await recover();
    await rm(layout.active);
    await rm(layout.rollback);
    await truncate(at('bin/run'), 3);
    await truncate(join(releaseFolder(layout, OLD), 'bin/run'), 3);
    const { version, problems } = await recover();
    assert.equal(version, null);
    assert.deepEqual(
      problems.map(({ code }) => code),
      ['RELEASE_LOST'],
    );
  });

  it('says nothing where nothing was ever installed', async (t) => {
    const root = join(await tempFolder(t), 'app');
    const boot = { component: 'app', root, disk: realDisk, hooksFolder: join(root, 'no-hooks') };
    const { version, problems, actions } = await recoverComponent({
      ...{ ...boot, bootsMax: 3, adoptVersion: '0.0.0' },
    });
    assert.deepEqual([version, problems, actions], [null, [], []]);
  });

  for (const mode of [0o000, 0o644, 0o700]) {
    it(`goes back when a program lost its mode (${mode.toString(8)})`, async (t) => {
      const { recover, at } = await installed(t);
      await chmod(at('bin/run'), mode);
      assert.equal((await recover()).version, OLD);
    });
  }

  it('stays when a release was made read-only', async (t) => {
    const { recover, at } = await installed(t);
    await chmod(at('bin/run'), 0o555);
    assert.equal((await recover()).version, NEW);
  });

  it('goes back to a release that lost bytes when nothing else is left, and says so', async (t) => {
    const { layout, recover } = await installed(t);
    await rm(layout.active);
    await truncate(join(releaseFolder(layout, OLD), 'bin/run'), 3);
    assert.equal((await recover()).version, OLD);
    const { lastProblem } = await readMachineState(realDisk, layout, NOW);
    assert.equal(lastProblem?.code, 'RELEASE_DAMAGED');
  });

  it('stays where it is when the release before is not whole either', async (t) => {
    const { layout, recover, at } = await installed(t);
    await truncate(at('bin/run'), 3);
    await truncate(join(releaseFolder(layout, OLD), 'bin/run'), 3);
    const { version, problems } = await recover();
    assert.equal(version, NEW);
    assert.equal(problems[0]?.code, 'RELEASE_DAMAGED');
  });

  it('goes back from a version on probation whose boot cannot be counted', async (t) => {
    const { layout, recover } = await installed(t);
    await writeFile(layout.machineFile, encodeMachineState(onProbation()));
    const full = faultyDisk(({ name, path }) => {
      if (name !== 'create' || !path.startsWith(layout.state)) return;
      throw new DroverError('DISK_FULL', `write ${path}: no space left`);
    });
    const { version, problems } = await recover(full);
    assert.equal(version, OLD);
    assert.ok(problems.some(({ code }) => code === 'BOOT_NOT_COUNTED'));
    const after = await recover();
    assert.deepEqual([after.version, after.phase], [OLD, 'idle']);
    const { blocked, retry } = await readMachineState(realDisk, layout, NOW);
    assert.deepEqual([blocked, retry?.attempts], [[], 1], 'the full disk is not its fault');
  });

  it('says what boots on a disk that refuses every change', async (t) => {
    const { layout, recover } = await installed(t);
    await writeFile(layout.machineFile, encodeMachineState(onProbation()));
    const readOnly = faultyDisk(({ name, path }) => {
      if (!['create', 'update', 'unlink', 'symlink', 'rename', 'removeTree'].includes(name)) return;
      throw new DroverError('DISK_READ_ONLY', `${name} ${path}: read-only file system`);
    });
    const { version, problems } = await recover(readOnly);
    assert.equal(version, NEW);
    assert.ok(problems.some(({ code }) => code === 'DISK_READ_ONLY'));
  });

  for (const [what, phase, boots] of [
    ['that runs on a damaged release', 'idle', NEW],
    ['with a rollback under way', 'rolling_back', NEW],
    ['whose active is gone', 'gone', OLD],
  ] as const) {
    it(`says with the code of the disk that the way back cannot be read, of a robot ${what}`, async (t) => {
      const { layout, recover, at } = await installed(t);
      const file = join(releaseFolder(layout, OLD), 'bin/run');
      if (phase === 'idle') await rm(at('bin/run'));
      if (phase === 'gone') await rm(layout.active);
      if (phase === 'rolling_back') {
        await writeFile(layout.machineFile, encodeMachineState({ ...onProbation(), phase }));
      }
      const sick = faultyDisk(({ path }) => {
        if (path === file) throw new DroverError('DISK_WRITE_FAILED', `read ${path}: EIO`);
      });
      const { version, problems } = await recover(sick);
      assert.equal(version, boots);
      const disk = problems.find(({ code }) => code === 'DISK_WRITE_FAILED');
      assert.match(disk?.message ?? '', /1\.0\.0.*EIO/);
    });
  }

  it('says that the way back cannot be read, and goes to an older release that is whole', async (t) => {
    const { layout, recover, at } = await installed(t);
    const older = releaseFolder(layout, '0.9.0');
    await cp(releaseFolder(layout, OLD), older, { recursive: true });
    await writeSeal(realDisk, layout, { version: '0.9.0', tree: older });
    await rm(at('bin/run'));
    const file = join(releaseFolder(layout, OLD), 'bin/run');
    const sick = faultyDisk(({ path }) => {
      if (path === file) throw new DroverError('DISK_WRITE_FAILED', `read ${path}: EIO`);
    });
    const { version, problems, actions } = await recover(sick);
    assert.deepEqual([version, problems], ['0.9.0', []], 'what boots is whole');
    assert.match(actions.join('\n'), /EIO \(DISK_WRITE_FAILED\)/);
  });

  it('changes nothing in the root of another component, and says it', async (t) => {
    const { layout, recover, at } = await installed(t);
    await writeFile(join(layout.state, 'component'), 'nav\n');
    await rm(at('bin/run'));
    await mkdir(join(layout.root, 'active.aside'));
    const before = await readdir(layout.root, { recursive: true });
    const { version, problems } = await recover();
    assert.equal(version, NEW, 'what boots starts');
    assert.deepEqual(
      problems.map(({ code }) => code),
      ['ROOT_OTHER_COMPONENT'],
    );
    assert.match(problems[0]?.message ?? '', /it is a root of nav/);
    assert.deepEqual(await readdir(layout.root, { recursive: true }), before);
    assert.equal(await readlink(layout.active), `releases/${NEW}`);
  });

  it('counts a state that can neither be read nor set aside as lost', async (t) => {
    const { layout, recover } = await installed(t);
    const sick = faultyDisk(({ name, path }) => {
      const isRead = name === 'readFile' && path === layout.machineFile;
      if (!isRead && !(name === 'rename' && path.includes('.corrupt'))) return;
      throw new DroverError('DISK_WRITE_FAILED', `${name} ${path}: EIO`);
    });
    const { version, phase, problems } = await recover(sick);
    assert.deepEqual([version, phase], [NEW, 'probation']);
    assert.ok(problems.some(({ code }) => code === 'DISK_WRITE_FAILED'));
    assert.equal((await readMachineState(realDisk, layout, NOW)).job?.boots, 1);
  });

  it('says each time that both releases are damaged, and stays', async (t) => {
    const { layout, recover, at } = await installed(t);
    await truncate(at('bin/run'), 0);
    await truncate(join(releaseFolder(layout, OLD), 'bin/run'), 0);
    for (let run = 1; run <= 3; run += 1) {
      const { version, problems } = await recover();
      assert.equal(version, NEW);
      assert.deepEqual(
        problems.map(({ code }) => code),
        ['RELEASE_DAMAGED'],
      );
    }
  });

  it('sets a FIFO in the place of the state aside, and does not wait for a writer', async (t) => {
    const { layout, recover } = await installed(t);
    await rm(layout.machineFile);
    execFileSync('mkfifo', [layout.machineFile, `${layout.seals}/${NEW}.fifo`]);
    await rm(`${layout.seals}/${NEW}`);
    execFileSync('mkfifo', [`${layout.seals}/${NEW}`]);
    const { version, phase } = await recover();
    assert.deepEqual([version, phase], [NEW, 'probation']);
  });

  it('does not touch an active that Drover did not make', async (t) => {
    const { layout, recover } = await installed(t);
    await rm(layout.active);
    await mkdir(join(layout.root, 'mine'));
    await symlink('mine', layout.active);
    assert.equal((await recover()).version, null);
    assert.equal(await readlink(layout.active), 'mine');
  });
});
