/**
 * The seal of an adopted release: `recover` finds a lost program by it, and ignores files that the
 * application itself wrote or removed.
 */

import assert from 'node:assert/strict';
import { access, mkdir, readlink, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { adoptRoots } from '../../../robot-client/commands/adopt-roots.ts';
import { explainAtRest } from '../../../robot-client/commands/at-rest.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import type { Disk } from '../../../robot-client/install/disk-port.ts';
import {
  adoptedSealFile,
  layoutOf,
  releaseFolder,
  type Layout,
} from '../../../robot-client/install/layout.ts';
import { pruneReleases } from '../../../robot-client/install/prune.ts';
import { recoverComponent } from '../../../robot-client/recover/recover.ts';
import { wholeReleases } from '../../../robot-client/install/whole-releases.ts';
import { readMachineState } from '../../../robot-client/update/state-file.ts';
import { returnFrom } from '../../../robot-client/update/way-back.ts';
import { jobTo } from '../install/root-worlds.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { cuttingDisk, PowerCut } from '../cutting-disk.ts';
import { faultyDisk } from '../faulty-disk.ts';
import { NOW } from '../world.ts';

const [ACTIVE, ROLLBACK] = ['0.0.0', '0.0.0-rollback'];
const FILES = ['lib/app.py', 'log/app.log', 'run/app.pid', 'config.ini'];

const back = (layout: Layout, { from, to }: { from: string; to: string }) =>
  returnFrom(realDisk, layout, {
    ...{ job: { ...jobTo(), version: from, previousVersion: to }, active: from, failed: [] },
  });

async function plainRoot(t: TestContext) {
  const root = join(await tempFolder(t), 'app');
  const layout = layoutOf(root);
  for (const slot of ['active', 'rollback']) {
    for (const path of [...FILES, 'bin/run']) {
      await mkdir(join(root, slot, path, '..'), { recursive: true });
      const mode = path === 'bin/run' ? 0o755 : 0o644;
      await writeFile(join(root, slot, path), `${path} of ${slot}\n`, { mode });
    }
  }
  const recover = (disk: Disk = realDisk) =>
    recoverComponent({
      ...{ component: 'app', root, disk, hooksFolder: join(root, 'no-hooks') },
      ...{ bootsMax: 3, adoptVersion: ACTIVE },
    });
  const at = (version: string, path: string): string => join(releaseFolder(layout, version), path);
  return { root, layout, recover, at };
}

async function adopted(t: TestContext) {
  const made = await plainRoot(t);
  assert.equal((await made.recover()).version, ACTIVE);
  return made;
}

/** As a disk says it that cannot read a block. */
function unreadable(path: string): Disk {
  const cause = Object.assign(new Error('EIO'), { code: 'EIO' });
  return faultyDisk((operation) => {
    if (operation.name !== 'read' || operation.path !== path) return;
    throw new DroverError('DISK_WRITE_FAILED', `read ${path}: EIO`, { cause });
  });
}

describe('an adopted release', () => {
  for (const [what, harm] of [
    ['is gone', (path: string) => rm(path)],
    ['is empty', (path: string) => truncate(path, 0)],
  ] as const) {
    it(`of which a program ${what} is left for the rollback that was adopted with it`, async (t) => {
      const { layout, recover, at } = await adopted(t);
      await harm(at(ACTIVE, 'bin/run'));
      const { version, problems } = await recover();
      assert.deepEqual([version, problems], [ROLLBACK, []]);
      const { lastProblem } = await readMachineState(realDisk, layout, NOW);
      assert.equal(lastProblem?.code, 'RELEASE_DAMAGED');
    });
  }

  it('of which the disk cannot read a file is left for the rollback', async (t) => {
    const { recover, at } = await adopted(t);
    assert.equal((await recover(unreadable(at(ACTIVE, 'lib/app.py')))).version, ROLLBACK);
  });

  it('stays whatever the application writes, empties, adds or removes of its own', async (t) => {
    const { layout, recover, at } = await adopted(t);
    await writeFile(at(ACTIVE, 'config.ini'), 'other settings');
    await writeFile(at(ACTIVE, 'bin/run'), 'a newer one, copied by hand');
    await truncate(at(ACTIVE, 'log/app.log'), 0);
    await rm(at(ACTIVE, 'run/app.pid'));
    await writeFile(at(ACTIVE, 'log/app.log.1'), 'rotated');
    for (let boot = 0; boot < 2; boot += 1) {
      const { version, problems, actions } = await recover();
      assert.deepEqual([version, problems], [ACTIVE, []]);
      assert.match(actions.join(), /2 of its files are gone or empty/);
    }
    assert.equal(await readlink(layout.rollback), `releases/${ROLLBACK}`);
    assert.equal(await back(layout, { from: ROLLBACK, to: ACTIVE }), ACTIVE);
  });

  it('is no way back when its program is gone, or all of its files are', async (t) => {
    const { layout, at } = await adopted(t);
    await rm(at(ROLLBACK, 'bin/run'));
    const going = () => back(layout, { from: ACTIVE, to: ROLLBACK });
    await assert.rejects(going, { code: 'RELEASE_DAMAGED' });
    for (const path of FILES) await rm(at(ROLLBACK, path));
    await assert.rejects(going, /all 5 files are gone/);
  });

  it('from before there were seals stays as it is', async (t) => {
    const { layout, recover, at } = await adopted(t);
    await rm(adoptedSealFile(layout, ACTIVE));
    await rm(at(ACTIVE, 'bin/run'));
    assert.deepEqual((await recover()).version, ACTIVE);
  });

  it('does not count as made by Drover, and its seal goes when it is gone', async (t) => {
    const { root, layout } = await adopted(t);
    const extra = releaseFolder(layout, '0.5.0');
    await mkdir(extra);
    await writeFile(adoptedSealFile(layout, '0.5.0'), 'of an adoption before');
    await pruneReleases(realDisk, layout, null);
    await access(extra);
    await access(adoptedSealFile(layout, '0.5.0'));
    await rm(extra, { recursive: true });
    await pruneReleases(realDisk, layout, null);
    const seals = await realDisk.list(join(root, 'seals'));
    assert.deepEqual(seals.sort(), [`.adopted-${ACTIVE}`, `.adopted-${ROLLBACK}`]);
  });

  it('has its seal wherever the power is cut during the adoption', async (t) => {
    for (let cutAt = 1; ; cutAt += 1) {
      const { layout, recover } = await plainRoot(t);
      const isCut = await recover(cuttingDisk(cutAt)).then(
        () => false,
        (thrown: unknown) => {
          if (thrown instanceof PowerCut) return true;
          throw thrown;
        },
      );
      await recover();
      for (const version of [ACTIVE, ROLLBACK]) await access(adoptedSealFile(layout, version));
      if (!isCut) break;
    }
  });

  it('is said to be adopted where it stays without a link, as recover takes it for whole', async (t) => {
    const { root, layout } = await adopted(t);
    await mkdir(releaseFolder(layout, '1.0.0'), { recursive: true });
    await rm(layout.active);
    await realDisk.symlink('releases/1.0.0', layout.active);
    const { lines } = await explainAtRest(realDisk, [{ component: 'app', root }]);
    assert.match(lines.join('\n'), /stays in releases\/: 0\.0\.0: it was adopted/);
    assert.deepEqual(await wholeReleases(realDisk, layout), [ACTIVE, ROLLBACK]);
  });

  it('is adopted without a seal on a disk that refuses it', async (t) => {
    const { recover, layout } = await plainRoot(t);
    const full = faultyDisk(({ name, path }) => {
      if (name !== 'create' || !path.startsWith(layout.seals)) return;
      throw new DroverError('DISK_FULL', `write ${path}: no space left`);
    });
    const { version, problems } = await recover(full);
    assert.deepEqual([version, problems], [ACTIVE, []]);
  });

  it('that a person took over by a link has a seal too', async (t) => {
    const { root, layout, recover } = await adopted(t);
    const elsewhere = join(root, '../elsewhere');
    await mkdir(join(elsewhere, 'bin'), { recursive: true });
    await writeFile(join(elsewhere, 'bin/run'), 'by hand', { mode: 0o755 });
    await rm(layout.active);
    await realDisk.symlink(elsewhere, layout.active);
    const roots = [{ component: 'app', root }];
    await adoptRoots({ disk: realDisk, roots, version: '0.9.0', isDryRun: false });
    assert.equal((await recover()).version, '0.9.0');
    await rm(join(layout.releases, '0.9.0/bin/run'));
    assert.equal((await recover()).version, ROLLBACK);
  });
});
