import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { RecipeMaker } from '../../../robot-client/install/recipe.ts';
import { BaseTar } from '../../../robot-client/install/base-tar.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { stageArchive } from '../../../robot-client/update/stage.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { payloadOf, realTar } from '../../helpers/tar.ts';
import { makeApp, picture, place } from '../staging.ts';

const FOREVER = new AbortController().signal;

/** A release unpacked with its recipe, and the tar that it came from. */
async function installed(payload: Uint8Array, packing: 'gzip' | 'plain' = 'gzip') {
  const at = place(packing === 'gzip' ? payload : gunzipSync(payload));
  const recipePath = join(at.folder, 'recipe');
  const staged = await stageArchive({ disk: realDisk, ...at, packing, recipePath });
  const open = () =>
    BaseTar.open(realDisk, { recipe: recipePath, release: at.intoFolder }).then((base) => {
      assert.ok(base, 'there is a recipe');
      return base;
    });
  return { ...at, recipePath, staged, open, tar: gunzipSync(payload) };
}

async function readAll(base: BaseTar): Promise<Buffer> {
  const all = Buffer.alloc(base.bytes);
  assert.equal(await base.read(all, 0), base.bytes);
  assert.equal(await base.read(Buffer.alloc(1), base.bytes), 0);
  return all;
}

describe('the recipe of a release', () => {
  for (const format of ['gnu', 'posix', 'ustar']) {
    it(`makes the tar again to the byte: one of plain tar in ${format} format`, async () => {
      const app = makeApp();
      if (format === 'ustar') {
        for (const name of fs.readdirSync(app).filter((one) => one.startsWith('long'))) {
          fs.rmSync(join(app, name), { recursive: true });
        }
      }
      const { open, tar, staged } = await installed(realTar(app, `--format=${format}`));
      assert.equal(staged.isBase, true);
      const base = await open();
      assert.deepEqual(await readAll(base), tar);
      await base.assertIs(sha256Hex(tar), FOREVER);
      await base.close();
    });
  }

  it('is the same for a tar that came without compression, and so is the tree', async () => {
    const payload = realTar(makeApp());
    const [packed, plain] = [await installed(payload), await installed(payload, 'plain')];
    assert.deepEqual(picture(plain.intoFolder), picture(packed.intoFolder));
    assert.deepEqual(fs.readFileSync(plain.recipePath), fs.readFileSync(packed.recipePath));
  });

  it('gives any part of the tar, wherever it begins and ends', async () => {
    const { open, tar } = await installed(realTar(makeApp()));
    const base = await open();
    await fc.assert(
      fc.asyncProperty(fc.nat(tar.byteLength), fc.nat(70_000), async (at, bytes) => {
        const into = Buffer.alloc(bytes);
        const got = await base.read(into, at);
        assert.deepEqual(into.subarray(0, got), tar.subarray(at, at + bytes));
      }),
      { numRuns: 100 },
    );
    await base.close();
  });

  it('is far smaller than the release, and holds what stands behind the end of the tar', async () => {
    const payload = gzipSync(Buffer.concat([gunzipSync(realTar(makeApp())), Buffer.alloc(20_000)]));
    const { open, tar, recipePath } = await installed(payload);
    const base = await open();
    assert.deepEqual(await readAll(base), tar);
    assert.ok(fs.statSync(recipePath).size < tar.byteLength / 10);
    await base.close();
  });

  it('is given up for a tar that stands too long between two entries', () => {
    const maker = new RecipeMaker();
    maker.feed(new Uint8Array(LIMITS.recipePendingBytesMax));
    assert.equal(maker.isAbandoned, false);
    maker.feed(new Uint8Array(1));
    assert.equal(maker.isAbandoned, true);
    maker.feed(new Uint8Array(LIMITS.recipePendingBytesMax)); // and holds no more of it
    maker.entry(512, { path: 'x', bytes: 5 });
  });
});

const CHANGES: Readonly<Record<string, (release: string) => void>> = {
  'has other bytes': (release) => fs.writeFileSync(join(release, 'private'), 'secreT'),
  'is shorter': (release) => fs.truncateSync(join(release, 'private'), 3),
  'is gone': (release) => fs.rmSync(join(release, 'private')),
  'is a folder': (release) => {
    fs.rmSync(join(release, 'private'));
    fs.mkdirSync(join(release, 'private'));
  },
  'is a fifo without a writer': (release) => {
    fs.rmSync(join(release, 'private'));
    execFileSync('mkfifo', [join(release, 'private')]);
  },
};

describe('a base is found out to be none, when a file of the release', () => {
  for (const [what, change] of Object.entries(CHANGES)) {
    it(what, async () => {
      const { open, tar, intoFolder } = await installed(realTar(makeApp()));
      change(intoFolder);
      const base = await open();
      await assert.rejects(
        base.assertIs(sha256Hex(tar), FOREVER),
        (error) => error instanceof DroverError && error.code === 'DELTA_BASE_CHANGED',
      );
      await base.close();
    });
  }

  it('stands where no file was: what was added does not matter', async () => {
    const { open, tar, intoFolder } = await installed(realTar(makeApp()));
    fs.mkdirSync(join(intoFolder, 'bin/__pycache__'));
    fs.writeFileSync(join(intoFolder, 'bin/__pycache__/run.pyc'), 'bytecode');
    const base = await open();
    await base.assertIs(sha256Hex(tar), FOREVER);
    await base.close();
  });
});

it('a recipe that is torn, cut or absent counts as none', async () => {
  const { recipePath, intoFolder } = await installed(await payloadOf([{ name: 'f', body: 'x' }]));
  const whole = fs.readFileSync(recipePath);
  const torn = [
    Buffer.alloc(0),
    Buffer.alloc(whole.byteLength),
    whole.subarray(0, -1),
    whole.subarray(0, whole.byteLength >> 1),
    Buffer.from(whole.map((byte, at) => (at === 30 ? byte ^ 1 : byte))),
  ];
  for (const bytes of torn) {
    fs.writeFileSync(recipePath, bytes);
    const paths = { recipe: recipePath, release: intoFolder };
    assert.equal(await BaseTar.open(realDisk, paths), null);
  }
  fs.rmSync(recipePath);
  const paths = { recipe: recipePath, release: intoFolder };
  assert.equal(await BaseTar.open(realDisk, paths), null);
});
