/**
 * `recover` on a real ext4 whose last inode is taken again before each boot, while there is room
 * for bytes: boots of the version on probation are counted, and it leads back.
 */

import assert from 'node:assert/strict';
import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { layoutOf, type Layout } from '../../../robot-client/install/layout.ts';
import { prepareLayout } from '../../../robot-client/install/make-root.ts';
import { recoverComponent } from '../../../robot-client/recover/recover.ts';
import { assertSwappable } from '../../../robot-client/update/assert-swappable.ts';
import { freshState } from '../../../robot-client/update/state.ts';
import { writeMachineState } from '../../../robot-client/update/state-file.ts';
import { swapTo } from '../../../robot-client/update/swap.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import {
  attachLoop,
  detachLoop,
  requireBlockDevices,
  runTool,
  unmountFolder,
} from '../../helpers/block-device.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet } from '../bench.ts';
import { jobTo, NEW, OLD } from '../install/root-worlds.ts';
import { makeSealedRelease } from '../install/sealed-release.ts';

const MIB = 2 ** 20;
const BOOTS_MAX = 3;

/** An ext4 with few inodes; null when this machine cannot mount one and the test was skipped. */
async function smallDisk(
  t: TestContext,
  { bytes, inodes }: { readonly bytes: number; readonly inodes: number },
): Promise<string | null> {
  if (!requireBlockDevices(t, ['mkfs.ext4', 'mount', 'losetup', 'umount'])) return null;
  const open: { device?: string; folder?: string } = {};
  // Before the folder above is removed.
  t.after(() => {
    if (open.folder) unmountFolder(open.folder);
    if (open.device) detachLoop(open.device);
  });
  const home = await tempFolder(t);
  const [image, folder] = [join(home, 'image'), join(home, 'disk')];
  writeFileSync(image, '');
  truncateSync(image, bytes);
  runTool('mkfs.ext4', '-q', '-m', '0', '-N', String(inodes), image);
  mkdirSync(folder);
  open.device = attachLoop(image);
  runTool('mount', open.device, folder);
  open.folder = folder;
  return folder;
}

/** As a program would that makes files until there is none left to make. */
function takeAllInodes(folder: string): void {
  mkdirSync(join(folder, 'others'), { recursive: true });
  for (;;) {
    try {
      writeFileSync(join(folder, 'others', `${process.hrtime.bigint()}`), '');
    } catch {
      return;
    }
  }
}

/** NEW is on probation; the swap was made by the parts of the agent. */
async function onTrial(layout: Layout): Promise<void> {
  await prepareLayout(realDisk, layout);
  for (const version of [OLD, NEW]) await makeSealedRelease(layout, version, {});
  await symlink(`releases/${OLD}`, layout.active);
  await writeMachineState(realDisk, layout, freshState());
  // As if the power had gone before its room was set aside.
  const bare = `${layout.state}/spare-1`;
  await writeFile(bare, '');
  await assertSwappable(realDisk, layout);
  assert.ok((await realDisk.allocated(bare)) >= LIMITS.stateSpareBytes, 'it has room now');
  await swapTo(realDisk, layout, { version: NEW });
  await writeMachineState(realDisk, layout, {
    ...{ ...freshState(), phase: 'probation' as const, job: jobTo() },
  });
}

describe('an agent on an ext4 without inodes', () => {
  it('stays, says DISK_FULL or DISK_SPACE_SHORT, and updates when inodes are there again', async (t) => {
    const folder = await smallDisk(t, { bytes: 64 * MIB, inodes: 512 });
    if (folder === null) return;
    const bench = await Bench.open(t, {}, join(folder, 'app'));
    takeAllInodes(folder);
    bench.announce(await fleet.makeBundle({ version: NEW }), NEW);
    await waitUntil('a code of the disk', () => bench.codes.length > 0);
    assert.match(bench.codes.join(), /^DISK_(?:FULL|SPACE_SHORT)$/);
    assert.equal(bench.component.view.version, OLD);
    rmSync(join(folder, 'others'), { recursive: true });
    await bench.component.retry();
    await bench.runs(NEW);
    await bench.component.close(); // before its disk is unmounted
  });
});

describe('a version on probation on an ext4 without inodes', () => {
  it('has its boots counted, and is left when they are used up', async (t) => {
    const folder = await smallDisk(t, { bytes: 16 * MIB, inodes: 96 });
    if (folder === null) return;
    const layout = layoutOf(join(folder, 'app'));
    await onTrial(layout);
    const boot = () => {
      takeAllInodes(folder);
      return recoverComponent({
        ...{ component: 'app', root: layout.root, disk: realDisk, hooksFolder: '/no-hooks' },
        ...{ bootsMax: BOOTS_MAX, adoptVersion: '0.0.0' },
      });
    };
    for (let nth = 1; nth <= BOOTS_MAX; nth += 1) {
      const { version, actions, problems } = await boot();
      assert.deepEqual([version, problems], [NEW, []], `${nth}: ${actions.join()}`);
    }
    const { version, phase } = await boot();
    assert.deepEqual([version, phase], [OLD, 'idle']);
    assert.equal(await readlink(layout.active), `releases/${OLD}`);
    assert.equal((await boot()).version, OLD);
  });
});
