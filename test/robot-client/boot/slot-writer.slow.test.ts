/** A system image in a slot: real loop devices and real files, healthy and sick ones. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { mkdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, it, type TestContext } from 'node:test';
import type { SystemSlot } from '../../../robot-client/boot/boot-slots.ts';
import {
  imageOfPayload,
  writeImage,
  type ImageWrite,
} from '../../../robot-client/boot/slot-writer.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import type { Sha256Hex } from '../../../shared/base/ids.ts';
import {
  attachLoop,
  detachLoop,
  requireBlockDevices,
  runTool,
  unmountFolder,
} from '../../helpers/block-device.ts';
import { payloadOf, type TarPart } from '../../helpers/tar.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { exportLoop } from '../../power/fuse-export.ts';
import { B } from './boot-loaders.ts';

const MiB = 1024 * 1024;
const sha256 = (bytes: Uint8Array): Sha256Hex =>
  createHash('sha256').update(bytes).digest('hex') as Sha256Hex;

type More = Partial<ImageWrite> & { readonly payloadPath?: string };

interface Stage {
  readonly home: string;
  readonly spoiled: SystemSlot[];
  write(image: Uint8Array, devicePath: string, more?: More): Promise<unknown>;
}

async function stageOf(t: TestContext): Promise<Stage> {
  const home = await tempFolder(t);
  const spoiled: SystemSlot[] = [];
  const spoil = (slot: SystemSlot): Promise<void> => {
    spoiled.push(slot);
    return Promise.resolve();
  };
  return {
    home,
    spoiled,
    write: async (image, devicePath, more = {}) => {
      const payloadPath = join(home, 'payload.tar.gz');
      await writeFile(payloadPath, await payloadOf([{ name: 'image', body: image }]));
      const facts = { size: image.byteLength, sha256: sha256(image) };
      const wanted = more.image ?? facts;
      const from = { disk: realDisk, payloadPath: more.payloadPath ?? payloadPath, image: wanted };
      const source = imageOfPayload({ ...from, signal: more.signal });
      return await writeImage({
        slots: { other: B, spoil },
        devicePath,
        source,
        ...more,
        image: wanted,
      });
    },
  };
}

async function fileOf(home: string, bytes: Uint8Array): Promise<string> {
  const path = join(home, 'slot.img');
  await writeFile(path, bytes);
  return path;
}

function loopOf(t: TestContext, path: string): string {
  const device = attachLoop(path);
  t.after(() => detachLoop(device));
  return device;
}

/** Bytes, then zeroes, then bytes that end in the middle of a sector. */
const imageWithHole = (): Buffer =>
  Buffer.concat([randomBytes(300_000), Buffer.alloc(2 * MiB), randomBytes(100_001)]);

describe('the writer of a slot', () => {
  it('writes an image over what stood on a device, and zeroes with it', async (t) => {
    if (!requireBlockDevices(t, ['losetup'])) return;
    const { home, spoiled, write } = await stageOf(t);
    const image = imageWithHole();
    const before = randomBytes(4 * MiB);
    const device = loopOf(t, await fileOf(home, before));
    const first = await write(image, device);
    assert.deepEqual(spoiled, [B]);
    assert.deepEqual(first, { writtenBytes: image.length, skippedBytes: 0, readBack: 'device' });
    const after = await readFile(device);
    assert.ok(after.subarray(0, image.length).equals(image));
    assert.ok(after.subarray(image.length).equals(before.subarray(image.length)), 'no byte behind');
    const again = (await write(image, device)) as { skippedBytes: number };
    assert.ok(again.skippedBytes > MiB, 'zeroes that are there are not written again');
  });

  it('leaves holes of a file, which read as zeroes, as they are', async (t) => {
    const { home, write } = await stageOf(t);
    const path = await fileOf(home, new Uint8Array(0));
    await truncate(path, 4 * MiB);
    const image = imageWithHole();
    await write(image, path);
    assert.ok((await readFile(path)).subarray(0, image.length).equals(image));
    assert.ok((await stat(path)).blocks * 512 < 1.5 * MiB);
  });

  it('needs no more memory for a large image than for a small one', async (t) => {
    const { home } = await stageOf(t);
    const peak = async (megabytes: number): Promise<number> => {
      const path = await fileOf(home, new Uint8Array(0));
      await truncate(path, megabytes * MiB);
      const image = Buffer.alloc(megabytes * MiB);
      for (let at = 0; at < megabytes; at += 1)
        image.fill(randomBytes(64), at * MiB, at * MiB + 900_000);
      const payload = join(home, 'large.tar.gz');
      await writeFile(payload, await payloadOf([{ name: 'image', body: image }]));
      const program = fileURLToPath(new URL('write-program.js', import.meta.url));
      const args = ['--max-semi-space-size=1', program, path, payload, String(image.length)];
      const printed = execFileSync(process.execPath, [...args, sha256(image)], {
        encoding: 'utf8',
      });
      assert.ok((await readFile(path)).equals(image));
      assert.match(printed, /^\d+\n$/);
      return Number(printed) / 1024;
    };
    const [small, large] = [await peak(4), await peak(256)];
    t.diagnostic(`peak ${Math.round(small)} MiB for 4 MiB, ${Math.round(large)} MiB for 256 MiB`);
    assert.ok(large < small + 32, `${large} MiB beside ${small} MiB`);
  });

  it('refuses an image that is larger than the device, and touches nothing', async (t) => {
    if (!requireBlockDevices(t, ['losetup'])) return;
    const { home, spoiled, write } = await stageOf(t);
    const device = loopOf(t, await fileOf(home, new Uint8Array(MiB)));
    await assert.rejects(write(randomBytes(MiB + 1), device), { code: 'IMAGE_TOO_LARGE' });
    assert.deepEqual(spoiled, []);
    assert.ok((await readFile(device)).equals(Buffer.alloc(MiB)));
  });

  it('refuses a device that is mounted, and a file that a device stands on', async (t) => {
    if (!requireBlockDevices(t, ['losetup', 'mkfs.ext4', 'mount', 'umount'])) return;
    const { home, spoiled, write } = await stageOf(t);
    const path = await fileOf(home, new Uint8Array(8 * MiB));
    runTool('mkfs.ext4', '-q', path);
    const device = loopOf(t, path);
    const mounted = join(home, 'mounted');
    await mkdir(mounted);
    runTool('mount', '-o', 'ro', device, mounted);
    const before = sha256(await readFile(path));
    await assert.rejects(write(randomBytes(MiB), device), { code: 'BOOT_DEVICE_BUSY' });
    unmountFolder(mounted);
    await assert.rejects(write(randomBytes(MiB), path), { code: 'BOOT_DEVICE_BUSY' });
    assert.deepEqual(spoiled, []);
    assert.equal(sha256(await readFile(path)), before);
  });

  it('refuses what is no device, and makes no file where one is missing', async (t) => {
    const { home, spoiled, write } = await stageOf(t);
    for (const path of [join(home, 'absent'), home, '/dev/null']) {
      await assert.rejects(write(randomBytes(10), path), { code: 'BOOT_DEVICE_WRONG' });
    }
    assert.equal(await realDisk.kind(join(home, 'absent')), 'absent');
    assert.deepEqual(spoiled, []);
  });

  it('says what is wrong with a payload, and leaves the slot spoiled', async (t) => {
    const { home, spoiled, write } = await stageOf(t);
    const path = await fileOf(home, new Uint8Array(4 * MiB));
    const body = randomBytes(600_000);
    const facts = { size: body.length, sha256: sha256(body) };
    const image: TarPart = { name: 'image', body };
    const wrong: readonly (readonly TarPart[])[] = [
      [],
      [{ ...image, name: 'other' }],
      [image, { name: 'more', body: 'x' }],
      [{ ...image, body: body.subarray(1) }],
      [{ ...image, body: Buffer.concat([body.subarray(1), Buffer.from([0])]) }],
      [{ name: 'image', type: 'symlink', linkname: '/dev/sda' }],
    ];
    const payloadPath = join(home, 'wrong.tar.gz');
    for (const parts of wrong) {
      await writeFile(payloadPath, await payloadOf(parts));
      const written = write(body, path, { payloadPath, image: facts });
      await assert.rejects(written, { code: 'IMAGE_INVALID' }, JSON.stringify(parts[0]?.name));
    }
    const whole = await payloadOf([image]);
    await writeFile(payloadPath, whole.subarray(0, whole.length - 100));
    const cut = write(body, path, { payloadPath, image: facts });
    await assert.rejects(cut, { code: 'ARCHIVE_CORRUPT' });
    assert.equal(spoiled.length, wrong.length + 1);
  });

  it('tells a full file system as that', async (t) => {
    if (!requireBlockDevices(t, ['mount', 'umount'])) return;
    const { home, spoiled, write } = await stageOf(t);
    const small = join(home, 'small');
    await mkdir(small);
    runTool('mount', '-t', 'tmpfs', '-o', 'size=1M', 'tmpfs', small);
    t.after(() => unmountFolder(small));
    const path = join(small, 'slot.img');
    await writeFile(path, '');
    await truncate(path, 4 * MiB);
    await assert.rejects(write(randomBytes(3 * MiB), path), { code: 'DISK_FULL' });
    assert.deepEqual(spoiled, [B]);
    unmountFolder(small);
  });

  it('tells a device that fails', async (t) => {
    if (!requireBlockDevices(t, ['losetup', 'qemu-storage-daemon'], ['/dev/fuse'])) return;
    const { home, write } = await stageOf(t);
    const raw = await fileOf(home, new Uint8Array(4 * MiB));
    const at = join(home, 'export.img');
    await writeFile(at, '');
    const rule = { event: 'none', errno: 5, once: false, immediately: false, iotype: 'write' };
    const sick = { driver: 'blkdebug', 'node-name': 'sick', image: 'well', 'inject-error': [rule] };
    const { daemon, device } = await exportLoop(t, at, [
      ...['--blockdev', `driver=file,node-name=well,filename=${raw}`],
      ...['--blockdev', JSON.stringify(sick)],
      ...['--blockdev', JSON.stringify({ driver: 'raw', 'node-name': 'top', file: 'sick' })],
    ]);
    try {
      await assert.rejects(write(randomBytes(2 * MiB), device), { code: 'DISK_WRITE_FAILED' });
    } finally {
      detachLoop(device);
      await daemon.stop();
    }
  });

  it('finds bytes that the device did not keep', async (t) => {
    const { home, write } = await stageOf(t);
    const path = await fileOf(home, new Uint8Array(4 * MiB));
    // Somebody writes to the slot between the last byte and the reading back.
    const image = Buffer.alloc(3 * MiB, 7);
    const onProgress = (bytes: number): void => {
      if (bytes < image.length) return;
      const file = openSync(path, 'r+');
      writeSync(file, 'xyz', 70_000);
      closeSync(file);
    };
    await assert.rejects(write(image, path, { onProgress }), { code: 'BOOT_READ_BACK_WRONG' });
  });

  it('stops when its caller wants it, and begins again from the first byte', async (t) => {
    const { home, write } = await stageOf(t);
    const path = await fileOf(home, new Uint8Array(4 * MiB));
    const image = randomBytes(3 * MiB);
    const stop = new AbortController();
    const onProgress = (bytes: number): void => {
      if (bytes >= MiB) stop.abort(new Error('stopped'));
    };
    await assert.rejects(write(image, path, { onProgress, signal: stop.signal }), /stopped/);
    await write(image, path);
    assert.ok((await readFile(path)).subarray(0, image.length).equals(image));
  });
});
