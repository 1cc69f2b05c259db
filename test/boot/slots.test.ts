/**
 * The disk of examples/ab-grub from one system to the other and back, in a machine that really
 * boots: the boot loader gets slots that are whole, panic or cannot be loaded, and power cuts.
 */

import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { encodeGrubEnv } from '../../robot-client/boot/grub-env.ts';
import { GRUB_COPIES } from '../../robot-client/boot/grub.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { makeFleet } from '../helpers/fleet.ts';
import { payloadOf } from '../helpers/tar.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { A, B } from '../robot-client/boot/boot-loaders.ts';
import { canBoot, GuestDisk, imageIn, makeImage, SLOT_AT } from './guest-disk.ts';
import { Machine } from './machine.ts';

const BOOT = '--boot grub:/grub/grub';
const SECTOR_BYTES = 512;
/** A system whose first program ends, which is a panic of the kernel. */
const PANICS = '#!/bin/sh\necho "drover: about to panic"\nexit 1\n';

interface Images {
  readonly full: string;
  readonly small: string;
  readonly panics: string;
}

async function makeImages(home: string): Promise<Images> {
  const init = join(home, 'panics');
  await writeFile(init, PANICS);
  const [full, small, panics] = await Promise.all([
    makeImage(join(home, 'full')),
    makeImage(join(home, 'small'), '--small', '--slot-only', '--version', '2.0.0'),
    makeImage(join(home, 'bad'), '--small', '--slot-only', '--init', init),
  ]);
  return { full, small, panics };
}

/** A signed bundle with that image, and the trust of the fleet, on the data partition. */
async function putBundle(disk: GuestDisk, image: string, home: string): Promise<void> {
  const bytes = await readFile(image);
  const fleet = makeFleet();
  const bundle = await fleet.makeBundle({
    version: '2.0.0',
    payload: await payloadOf([{ name: 'image', body: bytes }]),
    manifest: { image: { size: bytes.length, sha256: sha256Hex(bytes) } },
  });
  const files = {
    'manifest.json': bundle.manifestBytes,
    'signature.sig': bundle.signature,
    'payload.tar.gz': bundle.payload,
    'trust.json': fleet.trustBytes,
  };
  const folder = join(home, 'bundle');
  await mkdir(folder);
  for (const [name, part] of Object.entries(files)) await writeFile(join(folder, name), part);
  await disk.putData(
    Object.fromEntries(Object.keys(files).map((name) => [name, join(folder, name)])),
  );
}

const isUp = (slot: string, version: string): RegExp =>
  new RegExp(`drover: up in slot ${slot}, ${version}`);

async function prepare(t: TestContext) {
  const home = await tempFolder(t);
  const images = await makeImages(home);
  const disk = await GuestDisk.copy(join(images.full, 'disk.img'), join(home, 'machine.img'));
  await putBundle(disk, imageIn(images.small), home);
  return { disk, images };
}

/** The agent of slot A writes a signed image to slot B, and the power goes when it is to be tried. */
async function writeAndCut(t: TestContext, disk: GuestDisk): Promise<void> {
  const machine = await Machine.start(t, disk.path);
  await machine.waitFor(isUp('A', '1.0.0'));
  const device = '--device /run/by-partlabel/slot-b --trust /data/trust.json';
  const written = await machine.run(`drover-robot slots write /data ${BOOT} ${device}`);
  assert.match(written, /2\.0\.0 stands in slot B .* read back from the device/);
  const tried = await machine.run(`drover-robot slots try --tries 1 ${BOOT}`);
  assert.match(tried, /comes back to: A\nboots next: B \(tries left: 1\)/);
  await machine.cut();
}

/** It boots what was written, whole; nobody confirms it, and the next boot is the old one. */
async function tryAndComeBack(t: TestContext, disk: GuestDisk): Promise<void> {
  const machine = await Machine.start(t, disk.path);
  await machine.waitFor(isUp('B', '2.0.0'));
  machine.type('reboot -f');
  await machine.waitFor(isUp('A', '1.0.0'));
  await machine.cut();
}

async function panicTwice(t: TestContext, disk: GuestDisk): Promise<void> {
  const machine = await Machine.start(t, disk.path);
  for (let tries = 0; tries < 2; tries += 1) {
    await machine.waitFor(/drover: slot B/);
    await machine.waitFor(/about to panic/);
  }
  await machine.waitFor(isUp('A', '1.0.0'));
  await machine.cut();
}

async function confirmAndStay(t: TestContext, disk: GuestDisk): Promise<void> {
  const machine = await Machine.start(t, disk.path);
  await machine.waitFor(isUp('B', '1.0.0'));
  const confirmed = await machine.run(`drover-robot slots confirm ${BOOT}`);
  assert.match(confirmed, /runs: B\ncomes back to: B\nboots next: B\n/);
  await machine.cut();
  const again = await Machine.start(t, disk.path);
  await again.waitFor(isUp('B', '1.0.0'));
  await again.cut();
}

/** The first copy is torn in its middle, and the slot that the second one names has lost its head. */
async function tornAndUnloadable(t: TestContext, disk: GuestDisk): Promise<void> {
  const next = encodeGrubEnv({ confirmed: A, other: 'x' }).subarray(0, SECTOR_BYTES);
  await disk.setCopy(GRUB_COPIES[0], next);
  await disk.writeAt(new Uint8Array(64 * 1024), SLOT_AT.B);
  const machine = await Machine.start(t, disk.path);
  await machine.waitFor(/the first copy is damaged/);
  await machine.waitFor(/drover: slot B cannot be loaded/);
  await machine.waitFor(isUp('A', '1.0.0'));
  await machine.cut();
}

test('a machine with two slots boots a whole system, whatever the new one and the power do', async (t) => {
  if (!canBoot(t)) return;
  const begun = performance.now();
  const took = (what: string): void =>
    t.diagnostic(`${Math.round((performance.now() - begun) / 1000)} s: ${what}`);
  const { disk, images } = await prepare(t);
  took('images are made');
  await writeAndCut(t, disk);
  took('written');
  await tryAndComeBack(t, disk);
  took('came back');

  await disk.fillSlot('B', imageIn(images.panics));
  await disk.setMark({ confirmed: A, other: '2' });
  await panicTwice(t, disk);
  took('panicked');

  await disk.fillSlot('B', imageIn(images.full));
  await disk.setMark({ confirmed: A, other: '3' });
  await confirmAndStay(t, disk);
  took('confirmed');
  const wanted = encodeGrubEnv({ confirmed: B, other: '+' });
  for (const copy of await disk.readCopies()) assert.deepEqual(new Uint8Array(copy), wanted);
  await tornAndUnloadable(t, disk);
  took('torn');
});
