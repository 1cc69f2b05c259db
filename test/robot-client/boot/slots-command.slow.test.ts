/** `drover-robot slots` as a person types it, over a boot loader of five programs. */

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { startDrover } from '../../helpers/child.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { payloadOf } from '../../helpers/tar.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { A, makeOwn } from './boot-loaders.ts';

interface Stage {
  readonly home: string;
  readonly mark: () => Promise<string>;
  slots(...words: readonly string[]): Promise<{ code: number | null; told: string }>;
}

async function stageOf(t: TestContext): Promise<Stage> {
  const home = await tempFolder(t);
  const folder = join(home, 'boot.d');
  await mkdir(folder);
  await (await makeOwn(folder)).open(A);
  return {
    home,
    mark: async () => (await readFile(join(folder, 'mark'), 'utf8')).trim(),
    slots: async (...words) => {
      const args = ['slots', ...words, '--boot', `programs:${folder}`];
      const child = startDrover(t, 'robot-client', args);
      const { code } = await child.exit;
      return { code, told: child.stdout + child.stderr };
    },
  };
}

const IMAGE = Buffer.alloc(300_000, 'system');

/** A signed bundle in a folder, with the trust of its fleet beside it. */
async function bundleIn(home: string, isImage: boolean, more: object = {}): Promise<string> {
  const fleet = makeFleet();
  const { manifestBytes, signature, payload } = await fleet.makeBundle({
    version: '2.0.0',
    payload: await payloadOf([{ name: 'image', body: IMAGE }]),
    ...(isImage && {
      manifest: { image: { size: IMAGE.length, sha256: sha256Hex(IMAGE) }, ...more },
    }),
  });
  const folder = await mkdtemp(join(home, 'bundle-'));
  await writeFile(join(folder, 'manifest.json'), manifestBytes);
  await writeFile(join(folder, 'signature.sig'), signature);
  await writeFile(join(folder, 'payload.tar.gz'), payload);
  await writeFile(join(home, 'trust.json'), fleet.trustBytes);
  return folder;
}

describe('drover-robot slots', () => {
  it('shows the slots, and changes what boots', async (t) => {
    const { slots, mark } = await stageOf(t);
    const shown = await slots('show');
    assert.equal(shown.code, 0, shown.told);
    assert.match(shown.told, /runs: A\ncomes back to: the boot loader does not say/);
    assert.equal((await slots('try', '--tries', '2')).code, 0);
    assert.equal(await mark(), 'A,2');
    assert.equal((await slots('try', '--dry-run')).code, 0);
    assert.equal(await mark(), 'A,2');
    assert.equal((await slots('spoil')).code, 0);
    assert.equal(await mark(), 'A,x');
    const confirmed = await slots('confirm', '--slot', 'B');
    assert.equal(confirmed.code, 3);
    assert.match(confirmed.told, /BOOT_SLOT_NOT_RUNNING/);
    assert.equal((await slots('try', '--tries', '10')).code, 2);
  });

  it('writes the image of a signed bundle, and none that was changed', async (t) => {
    const { slots, mark, home } = await stageOf(t);
    const bundle = await bundleIn(home, true);
    const device = join(home, 'slot-b.img');
    await writeFile(device, Buffer.alloc(400_000));
    const where = ['--trust', join(home, 'trust.json'), '--device', device];
    await slots('try');
    const dry = await slots('write', bundle, ...where, '--dry-run');
    assert.equal(dry.code, 0, dry.told);
    assert.equal(await mark(), 'A,3');
    const written = await slots('write', bundle, ...where);
    assert.equal(written.code, 0, written.told);
    assert.match(written.told, /2\.0\.0 stands in slot B .* read back from the/);
    assert.ok((await readFile(device)).subarray(0, IMAGE.length).equals(IMAGE));
    assert.equal(await mark(), 'A,x', 'it does not boot before it is tried');

    await slots('try');
    const payload = join(bundle, 'payload.tar.gz');
    const bytes = await readFile(payload);
    bytes[40] = (bytes[40] as number) ^ 1;
    await writeFile(payload, bytes);
    const changed = await slots('write', bundle, ...where);
    assert.equal(changed.code, 3);
    assert.match(changed.told, /PAYLOAD_HASH_MISMATCH/);
    const plain = await slots('write', await bundleIn(home, false), ...where);
    assert.match(plain.told, /IMAGE_INVALID/);
    assert.equal(await mark(), 'A,3', 'nothing was touched');
  });

  it('writes to the device of the other slot only, and no image for another machine', async (t) => {
    const { slots, mark, home } = await stageOf(t);
    const bundle = await bundleIn(home, true, { compatible: ['cart-2'] });
    const [a, b] = [join(home, 'a.img'), join(home, 'b.img')];
    for (const path of [a, b]) await writeFile(path, Buffer.alloc(400_000));
    await symlink(a, join(home, 'by-label'));
    const trust = ['--trust', join(home, 'trust.json')];
    const both = [...trust, '--slot-device', `A=${a},B=${b}`];
    const here = ['--compatible', 'cart-2'];
    await slots('try');
    for (const [words, code] of [
      [[...both, ...here, '--device', join(home, 'by-label')], /slot A, which runs.*_DEVICE_BUSY/],
      [[...both, ...here, '--device', join(home, 'c.img')], /not the device of slot B.*_WRONG/],
      [[...both], /got cart-2, want no name.*COMPATIBLE_WRONG/],
      [[...both, '--compatible', 'cart-1'], /got cart-2, want cart-1/],
      [[...trust, ...here], /want --slot-device .*or --device/],
    ] as const) {
      const refused = await slots('write', bundle, ...words);
      assert.notEqual(refused.code, 0);
      assert.match(refused.told, code);
    }
    const other = await bundleIn(home, true, { target_arch: 'riscv64' });
    const wrong = await slots('write', other, '--trust', join(home, 'trust.json'), '--device', b);
    assert.match(wrong.told, /ARCH_WRONG/);
    assert.equal(await mark(), 'A,3', 'nothing was touched');
    const forced = await slots('write', other, ...both, '--any-machine', '--dry-run');
    assert.equal(forced.code, 0, forced.told);
    const good = await bundleIn(home, true, { compatible: ['cart-2'] });
    const written = await slots('write', good, ...both, ...here);
    assert.equal(written.code, 0, written.told);
    assert.ok((await readFile(b)).subarray(0, IMAGE.length).equals(IMAGE));
    assert.ok(
      (await readFile(a)).every((byte) => byte === 0),
      'slot A runs',
    );
  });
});
