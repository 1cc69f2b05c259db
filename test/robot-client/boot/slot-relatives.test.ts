/** Devices with the same bytes as a slot, found in a folder that looks like /sys. */

import assert from 'node:assert/strict';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { relativeOf } from '../../../robot-client/boot/slot-relatives.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

async function sysWith(t: TestContext, files: Record<string, string>) {
  const sys = await tempFolder(t);
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(`${sys}/block/${path}`), { recursive: true });
    await writeFile(`${sys}/block/${path}`, text);
  }
  return sys;
}

describe('a device that holds the bytes of a slot', () => {
  it('is a second loop device on the same file, unless it has another part of it', async (t) => {
    const [a, b] = [`${await tempFolder(t)}/a`, `${await tempFolder(t)}/b`];
    for (const path of [a, b]) await writeFile(path, '');
    const loop = (name: string, file: string, offset = '0', limit = '0') => ({
      [`${name}/loop/backing_file`]: `${file}\n`,
      [`${name}/loop/offset`]: `${offset}\n`,
      [`${name}/loop/sizelimit`]: `${limit}\n`,
    });
    const sys = await sysWith(t, {
      ...{ ...loop('loop0', a), ...loop('loop1', a), ...loop('loop2', b, '0', '4096') },
      ...loop('loop3', b, '4096'),
      'sda/size': '8',
    });
    assert.equal(await relativeOf({ device: 'loop0' }, sys), 'loop1');
    assert.equal(await relativeOf({ device: 'loop1' }, sys), 'loop0');
    assert.equal(await relativeOf({ device: 'loop2' }, sys), null);
    assert.equal(await relativeOf({ device: 'loop3' }, sys), null);
    assert.equal(await relativeOf({ device: 'sda' }, sys), null);
    const { dev, ino } = await stat(a);
    assert.equal(await relativeOf({ file: `${dev}:${ino}` }, sys), 'loop0');
  });

  it('is another device of the mapper on the same disk, unless its name tells them apart', async (t) => {
    const mapped = (name: string, uuid: string, slave: string) => ({
      [`${name}/dm/uuid`]: `${uuid}\n`,
      [`${name}/slaves/${slave}`]: '',
    });
    const sys = await sysWith(t, {
      ...{ ...mapped('dm-0', 'LVM-one', 'sda'), ...mapped('dm-1', 'LVM-two', 'sda') },
      ...{ ...mapped('dm-2', 'linear', 'sdb'), ...mapped('dm-3', '', 'sdb') },
      ...mapped('dm-4', 'CRYPT-x', 'sdc'),
    });
    assert.equal(await relativeOf({ device: 'dm-0' }, sys), null, 'two volumes of one group');
    assert.equal(await relativeOf({ device: 'dm-2' }, sys), 'dm-3');
    assert.equal(await relativeOf({ device: 'dm-4' }, sys), null);
  });
});
