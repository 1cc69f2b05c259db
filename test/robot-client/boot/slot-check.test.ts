/** The check of two slots (they may be one device), and of the content of a slot. */

import assert from 'node:assert/strict';
import { link, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { assertApart, holdsImage } from '../../../robot-client/boot/slot-check.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { attachLoop, detachLoop } from '../../helpers/block-device.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const IMAGE = Buffer.from('an image');

async function slotFile(t: TestContext, name: string): Promise<string> {
  const path = join(await tempFolder(t), name);
  await writeFile(path, Buffer.concat([IMAGE, Buffer.alloc(1024 * 1024)]));
  return path;
}

const isOne = { code: 'BOOT_DEVICE_WRONG' };

test('two files are two slots, and links to one file are one', async (t) => {
  const [a, b] = [await slotFile(t, 'a'), await slotFile(t, 'b')];
  await assertApart(a, b);
  await symlink(a, `${b}-symbolic`);
  await link(a, `${a}-hard`);
  await assert.rejects(assertApart(a, `${b}-symbolic`), isOne);
  await assert.rejects(assertApart(a, `${a}-hard`), isOne);
  await assert.rejects(assertApart(a, a), isOne);
  await assertApart(a, `${a}-missing`);
});

const mayLoop = process.getuid?.() === 0 ? {} : { skip: 'only root makes loop devices' };

test('a loop device is the file that it stands on', mayLoop, async (t) => {
  const [a, b] = [await slotFile(t, 'a'), await slotFile(t, 'b')];
  const devices = [attachLoop(a), attachLoop(a), attachLoop(b)] as const;
  t.after(() => devices.forEach(detachLoop));
  await assert.rejects(assertApart(devices[0], devices[1]), isOne);
  await assert.rejects(assertApart(devices[0], a), isOne);
  await assertApart(devices[0], devices[2]);
});

test('a slot holds an image as long as no byte of it has changed', async (t) => {
  const path = await slotFile(t, 'a');
  const facts = { size: IMAGE.byteLength, sha256: sha256Hex(IMAGE) };
  assert.equal(await holdsImage(path, facts), true);
  assert.equal(await holdsImage(path, { ...facts, size: facts.size + 1 }), false);
  assert.equal(await holdsImage(path, { ...facts, size: 4 * 1024 * 1024 }), false);
  await assert.rejects(holdsImage(`${path}-missing`, facts));
});
