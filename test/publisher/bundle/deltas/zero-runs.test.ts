/**
 * Deltas of system images: pairs of images that are mostly zeroes, with blocks that changed, moved,
 * came or went. Each delta makes the new image again in a slot that held something else.
 */

import fc from 'fast-check';
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { findCopies } from '../../../../publisher/bundle/deltas/find-copies.ts';
import { History } from '../../../../publisher/bundle/deltas/history.ts';
import { ImageTarget } from '../../../../robot-client/boot/image-target.ts';
import type { SlotDevice } from '../../../../robot-client/boot/slot-device.ts';
import { LIMITS } from '../../../../shared/base/limits.ts';
import { sha256Hex } from '../../../../shared/crypto/hash.ts';
import { unpackBrotli } from '../../../../shared/io/brotli.ts';
import { applyPatch } from '../../../../shared/transfer/patch-apply.ts';
import { inMemory, patchBetween } from '../../../helpers/delta.ts';
import { tempFolder } from '../../../helpers/temp-folder.ts';

const KiB = 1024;

/** A part of an image: zeroes, or noise of that seed. */
interface Part {
  readonly seed: number;
  readonly bytes: number;
}

function bytesOf({ seed, bytes }: Part): Buffer {
  const out = Buffer.alloc(bytes);
  let state = seed;
  for (let at = 0; at < bytes && seed > 0; at += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    out[at] = state >>> 23;
  }
  return out;
}

const imageOf = (parts: readonly Part[]): Buffer => Buffer.concat(parts.map(bytesOf));

const part = fc.record({
  seed: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 4 })),
  bytes: fc.oneof(fc.nat(3_000), fc.integer({ min: 100 * KiB, max: 500 * KiB })),
});
/** Parts of the old image in another order and length, with new ones among them. */
const pairs = fc
  .array(part, { minLength: 1, maxLength: 6 })
  .chain((old) =>
    fc.tuple(
      fc.constant(old),
      fc.array(fc.oneof(part, fc.constantFrom(...old)), { minLength: 1, maxLength: 8 }),
      fc.nat(200_000),
    ),
  )
  .map(([old, next, cut]) => {
    const target = imageOf(next);
    return { base: imageOf(old), target: target.subarray(0, Math.max(1, target.length - cut)) };
  });

async function copiesOf(t: TestContext, base: Uint8Array, target: Uint8Array) {
  const folder = await tempFolder(t);
  const paths = { base: join(folder, 'base'), target: join(folder, 'target') };
  await writeFile(paths.base, base);
  await writeFile(paths.target, target);
  const history = await History.open(paths);
  const { copies } = await findCopies(history, () => {});
  await history.close();
  return copies;
}

const freshBytes = (copies: readonly { bytes: number }[], target: Uint8Array): number =>
  target.byteLength - copies.reduce((sum, { bytes }) => sum + bytes, 0);

async function assertCopies(t: TestContext, base: Buffer, target: Buffer): Promise<void> {
  const history = Buffer.concat([base, target]);
  let doneTo = 0;
  for (const { at, bytes, from } of await copiesOf(t, base, target)) {
    assert.ok(at >= doneTo && bytes >= LIMITS.deltaCopyBytesMin, 'in order, and worth it');
    const isInBase = from + bytes <= base.length;
    const isMade = from >= base.length && from + bytes <= base.length + at;
    assert.ok(from >= 0 && (isInBase || isMade), 'there already');
    const source = history.subarray(from, from + bytes);
    assert.ok(source.equals(target.subarray(at, at + bytes)), 'equal');
    doneTo = at + bytes;
  }
  assert.ok(doneTo <= target.length);
}

describe('the copies of an image', () => {
  it('are equal runs of what is there before them, in order and apart, whatever changed', async (t) => {
    await fc.assert(
      fc.asyncProperty(pairs, ({ base, target }) => assertCopies(t, base, target)),
      { numRuns: 15 },
    );
  });

  it('are no copies of themselves where the image repeats a part again and again', async (t) => {
    const part = { seed: 1, bytes: 115_338 };
    const target = imageOf([part, part, part, part, { seed: 2, bytes: 27_550 }]);
    await assertCopies(t, bytesOf(part), target);
  });

  it('cover zeroes that no base has: they double themselves', async (t) => {
    const target = imageOf([
      { seed: 1, bytes: 200 * KiB },
      { seed: 0, bytes: 24 * 1024 * KiB },
      { seed: 2, bytes: 200 * KiB },
    ]);
    const copies = await copiesOf(t, bytesOf({ seed: 3, bytes: 1_000 }), target);
    assert.ok(freshBytes(copies, target) < 800 * KiB, `${freshBytes(copies, target)} bytes fresh`);
    assert.ok(copies.length <= 8, `${copies.length} copies`);
  });

  it('cover zeroes of another place of the base, and more of them than it has', async (t) => {
    const base = imageOf([
      { seed: 1, bytes: 300 * KiB },
      { seed: 0, bytes: 400 * KiB },
    ]);
    const target = imageOf([
      { seed: 0, bytes: 2_000 * KiB },
      { seed: 1, bytes: 300 * KiB },
      { seed: 2, bytes: 70 * KiB },
      { seed: 0, bytes: 900 * KiB },
    ]);
    const copies = await copiesOf(t, base, target);
    assert.ok(freshBytes(copies, target) < 500 * KiB, `${freshBytes(copies, target)} bytes fresh`);
  });
});

/** A slot in memory that held another system. A write beyond it is a RangeError. */
function slotOf(held: Buffer): SlotDevice {
  return {
    path: 'memory',
    bytes: held.length,
    write: async (bytes, at) => held.set(bytes, at),
    read: async (into, at) => into.set(held.subarray(at, at + into.byteLength)),
    sync: () => Promise.resolve(),
    readBack: () => Promise.resolve('cache'),
    close: () => Promise.resolve(),
  };
}

describe('a delta of an image', () => {
  it('makes the image in a slot, over what was there and not a byte further', async () => {
    await fc.assert(
      fc.asyncProperty(pairs, async ({ base, target }) => {
        const patch = await patchBetween(base, target, undefined, 'add');
        const held = Buffer.alloc(target.length + 1_000, 9);
        const facts = { size: target.length, sha256: sha256Hex(target) };
        const image = new ImageTarget(slotOf(held), { image: facts });
        await applyPatch({
          patch: inMemory(patch),
          base: inMemory(base),
          target: {
            write: (bytes) => image.take(bytes),
            read: (into, at) => image.read(into, at),
          },
          expected: { tarSha256: facts.sha256, tarBytes: facts.size },
          makeDictionary: () => Promise.reject(new Error('none is needed')),
          dictionaryPath: '',
          program: null,
          unpack: unpackBrotli,
          signal: new AbortController().signal,
        });
        await image.finish();
        assert.ok(held.subarray(0, target.length).equals(target));
        assert.ok(held.subarray(target.length).equals(Buffer.alloc(1_000, 9)));
      }),
      { numRuns: 3 },
    );
  });
});
