/**
 * A first start on disks that cannot hold the files of an adoption: the agent moves nothing there.
 */

import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import {
  attachLoop,
  detachLoop,
  requireBlockDevices,
  runTool,
  unmountFolder,
} from '../helpers/block-device.ts';
import { startDrover, type Child } from '../helpers/child.ts';
import { tempFolder } from '../helpers/temp-folder.ts';

const IMAGE_BYTES = 16 * 2 ** 20;

interface Kind {
  readonly mkfs: readonly [string, ...string[]];
  readonly mount: readonly [string, ...string[]];
}

const EXFAT: Kind = { mkfs: ['mkfs.exfat'], mount: ['mount.exfat-fuse'] };
const EXT4_FEW_INODES: Kind = { mkfs: ['mkfs.ext4', '-q', '-N', '64'], mount: ['mount'] };

/** A file system of its own, mounted; null when this machine cannot and the test was skipped. */
async function mounted(t: TestContext, kind: Kind): Promise<string | null> {
  const [make, ...options] = kind.mkfs;
  const [mount, ...flags] = kind.mount;
  if (!requireBlockDevices(t, [make, mount, 'losetup', 'umount'])) return null;
  const open: { device?: string; folder?: string } = {};
  // Before the folder above is removed.
  t.after(() => {
    if (open.folder) unmountFolder(open.folder);
    if (open.device) detachLoop(open.device);
  });
  const home = await tempFolder(t);
  const [image, folder] = [join(home, 'image'), join(home, 'disk')];
  writeFileSync(image, Buffer.alloc(IMAGE_BYTES));
  runTool(make, ...options, image);
  mkdirSync(folder);
  open.device = attachLoop(image);
  runTool(mount, ...flags, open.device, folder);
  open.folder = folder;
  return folder;
}

function plainActive(root: string): void {
  mkdirSync(join(root, 'active/bin'), { recursive: true });
  writeFileSync(join(root, 'active/bin/app'), 'echo plain\n');
}

async function drover(t: TestContext, ...args: string[]): Promise<Child> {
  const child = startDrover(t, 'robot-client', args);
  await child.exit;
  return child;
}

function assertBootsAsBefore(root: string, child: Child): void {
  assert.ok(lstatSync(join(root, 'active')).isDirectory(), child.describe());
  assert.equal(readFileSync(join(root, 'active/bin/app'), 'utf8'), 'echo plain\n');
}

/** `recover` at the boot, then a person's `adopt`: neither moves anything, both say why. */
async function assertLeft(t: TestContext, root: string, code: RegExp): Promise<void> {
  for (const verb of ['recover', 'adopt', 'recover']) {
    const child = await drover(t, verb, '--root', root);
    assert.match(child.describe(), code);
    assert.equal(child.ended?.code, 3, child.describe());
    assertBootsAsBefore(root, child);
  }
}

describe('a plain active folder', () => {
  it('on exfat, which has no links, stays what boots', async (t) => {
    const root = await mounted(t, EXFAT);
    if (root === null) return;
    plainActive(root);
    await assertLeft(t, root, /ADOPT_IMPOSSIBLE/);
  });

  it('on an ext4 that has no inodes left stays what boots', async (t) => {
    const root = await mounted(t, EXT4_FEW_INODES);
    if (root === null) return;
    plainActive(root);
    mkdirSync(join(root, 'others'));
    for (let n = 0; ; n += 1) {
      try {
        writeFileSync(join(root, `others/${n}`), '');
      } catch {
        break;
      }
    }
    assert.ok(readdirSync(join(root, 'others')).length > 10);
    await assertLeft(t, root, /DISK_FULL|DISK_SPACE_SHORT/);
  });

  for (const [name, below] of [
    ['on which something is mounted', ''],
    ['with something mounted in it', 'data'],
  ] as const) {
    it(`${name} stays what boots, also by adopt, and a dry run says so`, async (t) => {
      if (!requireBlockDevices(t, ['mount', 'umount'])) return;
      const mountedAt: string[] = [];
      t.after(() => mountedAt.forEach(unmountFolder)); // before the folder is removed
      const root = await tempFolder(t);
      const [original, point] = [`${root}-app`, join(root, 'active')];
      t.after(() => rm(original, { recursive: true }));
      mkdirSync(join(original, 'bin'), { recursive: true });
      writeFileSync(join(original, 'bin/app'), 'echo plain\n');
      if (below === '') mkdirSync(point);
      else plainActive(root);
      const at = join(point, below);
      mkdirSync(at, { recursive: true });
      runTool('mount', '--bind', original, at);
      mountedAt.push(at);
      await assertLeft(t, root, /something is mounted at .*ADOPT_IMPOSSIBLE/);
      const dry = await drover(t, 'adopt', '--dry-run', '--root', root);
      assert.match(dry.describe(), /ADOPT_IMPOSSIBLE/);
      assert.equal(dry.ended?.code, 3);
    });
  }
});
