/** The slot that runs as the base of a delta: files that are and are not what the record says. */

import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { SlotBase } from '../../../robot-client/boot/slot-base.ts';
import { writableMounts } from '../../../robot-client/install/mounted-place.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import {
  attachLoop,
  detachLoop,
  requireBlockDevices,
  runTool,
  unmountFolder,
} from '../../helpers/block-device.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { A } from './boot-loaders.ts';

const IMAGE = Buffer.from('a system image, and some more bytes of it');
const record = { version: '1.0.0', sha256: sha256Hex(IMAGE), size: IMAGE.length };
const { signal } = new AbortController();

/** A slot with bytes behind its image, as most have. */
async function slotOf(t: TestContext, bytes: Buffer = IMAGE): Promise<string> {
  const path = join(await tempFolder(t), 'slot');
  await writeFile(path, Buffer.concat([bytes, Buffer.alloc(100, 1)]));
  return path;
}

describe('the base in a slot', () => {
  it('is the bytes of its image, and none behind them', async (t) => {
    const path = await slotOf(t);
    const base = await SlotBase.open({ slot: A, path, record }, '1.0.0');
    await base.assertIs(record.sha256, signal);
    const into = new Uint8Array(500);
    assert.equal(await base.read(into, 2), IMAGE.length - 2);
    assert.ok(Buffer.from(into.subarray(0, IMAGE.length - 2)).equals(IMAGE.subarray(2)));
    assert.equal(await base.read(into, IMAGE.length), 0);
    await base.close();
    assert.ok((await readFile(path)).subarray(0, IMAGE.length).equals(IMAGE));
  });

  it('is refused when one bit of it differs', async (t) => {
    const changed = Buffer.from(IMAGE);
    changed[IMAGE.length - 1] = (changed[IMAGE.length - 1] ?? 0) ^ 1;
    const path = await slotOf(t, changed);
    const base = await SlotBase.open({ slot: A, path, record }, '1.0.0');
    await assert.rejects(base.assertIs(record.sha256, signal), { code: 'DELTA_BASE_CHANGED' });
    await base.close();
  });

  it('is as it was installed when a delta was made from another image of that version', async (t) => {
    const base = await SlotBase.open({ slot: A, path: await slotOf(t), record }, '1.0.0');
    const other = sha256Hex(Buffer.from('another image with that version'));
    await assert.rejects(base.assertIs(other, signal), { code: 'DELTA_BASE_OTHER' });
    await base.close();
  });

  it('is refused without a record, of another version, and where there is no device', async (t) => {
    const path = await slotOf(t);
    const folder = join(await tempFolder(t), 'folder');
    await mkdir(folder);
    const wrong = [
      { path, record: null },
      { path, record: { ...record, version: '0.9.0' } },
      { path: `${path}-absent`, record },
      { path: folder, record },
      { path: '/dev/null', record },
    ];
    for (const one of wrong) {
      const opened = SlotBase.open({ slot: A, ...one }, '1.0.0');
      await assert.rejects(opened, { code: 'DELTA_BASE_UNUSABLE' }, JSON.stringify(one));
    }
  });

  it('is refused when the device ends before the image does', async (t) => {
    const path = await slotOf(t);
    const longer = { ...record, size: IMAGE.length + 101 };
    const base = await SlotBase.open({ slot: A, path, record: longer }, '1.0.0');
    await assert.rejects(base.assertIs(record.sha256, signal), { code: 'DELTA_BASE_UNUSABLE' });
    await base.close();
  });
});

describe('a slot on a device', () => {
  it('is refused while it is mounted for writing, by whatever path, and not while it is read-only', async (t) => {
    if (!requireBlockDevices(t, ['losetup', 'mkfs.ext4', 'mount', 'umount'])) return;
    const home = await tempFolder(t);
    const [path, at] = [join(home, 'slot.img'), join(home, 'mounted')];
    await writeFile(path, Buffer.alloc(4 * 1024 * 1024));
    runTool('mkfs.ext4', '-q', path);
    await mkdir(at);
    const image = await readFile(path);
    const holds = { ...record, size: image.length, sha256: sha256Hex(image) };
    const device = attachLoop(path);
    t.after(() => detachLoop(device));
    runTool('mount', '-o', 'ro', device, at);
    const base = await SlotBase.open({ slot: A, path: device, record: holds }, '1.0.0');
    await base.assertIs(holds.sha256, signal);
    await base.close();
    runTool('mount', '-o', 'remount,rw', at);
    for (const way of [device, path]) {
      await assert.rejects(SlotBase.open({ slot: A, path: way, record: holds }, '1.0.0'), {
        code: 'DELTA_BASE_UNUSABLE',
        message: /is mounted for writing at /,
      });
    }
    unmountFolder(at);
    const after = await SlotBase.open({ slot: A, path: device, record: holds }, '1.0.0');
    await assert.rejects(after.assertIs(holds.sha256, signal), { code: 'DELTA_BASE_CHANGED' });
    await after.close();
  });
});

describe('a mount for writing', () => {
  it('is each file system that may be written, also below a mount point that may not', () => {
    const mounts = [
      '22 1 8:2 / / ro,relatime shared:1 - ext4 /dev/sda2 ro',
      '23 22 8:5 / /data rw,noatime shared:2 - ext4 /dev/sda5 rw,errors=remount-ro',
      '24 22 8:3 / /mnt/other\\040slot ro,relatime - ext4 /dev/disk/by-label/b rw',
      '25 22 0:5 / /dev rw,nosuid - devtmpfs udev rw,size=1024k',
      '',
    ].join('\n');
    assert.deepEqual(writableMounts(mounts), [
      { point: '/data', device: '8:5', source: '/dev/sda5' },
      { point: '/mnt/other slot', device: '8:3', source: '/dev/disk/by-label/b' },
      { point: '/dev', device: '0:5', source: 'udev' },
    ]);
  });
});
