import fc from 'fast-check';
import assert from 'node:assert/strict';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { PatchProgram } from '../../../../shared/base/ports.ts';
import { LIMITS } from '../../../../shared/base/limits.ts';
import { sha256Hex } from '../../../../shared/crypto/hash.ts';
import { unpackBrotli } from '../../../../shared/io/brotli.ts';
import { zstdProgram } from '../../../../shared/io/zstd.ts';
import { applyPatch, readPatchPlan } from '../../../../shared/transfer/patch-apply.ts';
import {
  freshBytesOf,
  rangeBytes,
  type PatchPlan,
} from '../../../../shared/transfer/patch-plan.ts';
import { inMemory, patchBetween } from '../../../helpers/delta.ts';
import { tarOf, type TarPart } from '../../../helpers/tar.ts';

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-apply-'));
});
after(() => rm(folder, { recursive: true, force: true }));

async function apply(
  base: Uint8Array,
  target: Uint8Array,
  patch: Uint8Array,
  program: PatchProgram | null = zstdProgram('zstd'),
): Promise<Uint8Array> {
  const made = new Uint8Array(target.byteLength);
  const dictionaryPath = join(folder, 'dictionary');
  await applyPatch({
    patch: inMemory(patch),
    base: inMemory(base),
    // A write beyond the tar is a RangeError.
    target: { ...inMemory(made), write: async (bytes, at) => made.set(bytes, at) },
    expected: { tarSha256: sha256Hex(target), tarBytes: target.byteLength },
    makeDictionary: async () => {
      const file = await open(dictionaryPath, 'w');
      return {
        write: async (bytes, at) => void (await file.write(bytes, 0, bytes.byteLength, at)),
        close: () => file.close(),
      };
    },
    dictionaryPath,
    program,
    unpack: unpackBrotli,
    signal: new AbortController().signal,
  });
  return made;
}

function noise(bytes: number, seed: number): Buffer {
  let state = seed | 1;
  const out = Buffer.allocUnsafe(bytes);
  for (let at = 0; at < bytes; at += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    out[at] = state >>> 23;
  }
  return out;
}

interface Change {
  readonly file: number;
  readonly kind: 'edit' | 'grow' | 'remove' | 'rename' | 'twice';
  readonly at: number;
}

/** A tree of files, and the same tree after some changes. */
function releases(files: readonly number[], changes: readonly Change[]): [TarPart[], TarPart[]] {
  const before = files.map((bytes, at) => ({ name: `dir/${at}`, body: noise(bytes, at + 1) }));
  const after = before.map((one) => ({ ...one }));
  for (const { file, kind, at } of changes) {
    const one = after[file % Math.max(1, after.length)];
    if (!one) continue;
    const place = at % (one.body.byteLength + 1);
    const [head, tail] = [one.body.subarray(0, place), one.body.subarray(place)];
    const extra = noise(at % 5_000, at);
    if (kind === 'edit') one.body = Buffer.concat([head, extra, tail.subarray(extra.byteLength)]);
    else if (kind === 'grow') one.body = Buffer.concat([head, extra, tail]);
    else if (kind === 'rename') one.name = `moved/${at}-${file}`;
    else if (kind === 'twice') after.push({ name: `copy/${at}-${file}`, body: one.body });
    else after.splice(after.indexOf(one), 1);
  }
  after.sort((a, b) => (a.name < b.name ? -1 : 1));
  return [before, after];
}

const trees = fc.array(fc.oneof(fc.nat(3_000), fc.integer({ min: 150_000, max: 400_000 })), {
  maxLength: 6,
});
const changes: fc.Arbitrary<Change[]> = fc.array(
  fc.record({
    file: fc.nat(20),
    kind: fc.constantFrom('edit', 'grow', 'remove', 'rename', 'twice'),
    at: fc.nat(500_000),
  }),
  { maxLength: 6 },
);
/** From robots' own bounds down to segments of a few blocks. */
const bounds = fc.constantFrom(
  undefined,
  { freshBytes: 100_000, dictionaryBytes: 4 * LIMITS.deltaBlockBytes },
  { freshBytes: 17_000, dictionaryBytes: LIMITS.deltaBlockBytes },
  { freshBytes: 60_000, dictionaryBytes: 0 },
);

/** Smaller segments and dictionaries than robots', for a patch of several. */
const SMALL = { freshBytes: 60_000, dictionaryBytes: 2 * LIMITS.deltaBlockBytes };

const planOf = (patch: Uint8Array): Promise<PatchPlan> => readPatchPlan(inMemory(patch));

describe('a delta made by the real zstd', () => {
  it('gives back the target to the byte, for generated trees and segments of any size', async () => {
    await fc.assert(
      fc.asyncProperty(trees, changes, bounds, async (files, edits, within) => {
        const [before, after] = releases(files, edits);
        const [base, target] = [await tarOf(before), await tarOf(after)];
        const patch = await patchBetween(base, target, within);
        assert.deepEqual(Buffer.from(await apply(base, target, patch)), target);
        const { segments } = await planOf(patch);
        for (const segment of segments) {
          assert.ok(freshBytesOf(segment) <= (within?.freshBytes ?? Infinity) + 1);
          assert.ok(rangeBytes(segment.dictionary) <= (within?.dictionaryBytes ?? Infinity));
        }
      }),
      { numRuns: 12 },
    );
  });

  it('is the same bytes each time', async () => {
    const [before, after] = releases([300_000, 20_000], [{ file: 0, kind: 'edit', at: 150_123 }]);
    const [base, target] = [await tarOf(before), await tarOf(after)];
    assert.deepEqual(await patchBetween(base, target), await patchBetween(base, target));
  });

  it('copies what moved from one end of the tree to the other', async () => {
    const big = { name: 'a-first', body: noise(900_000, 1) };
    const rest = { name: 'b-rest', body: noise(900_000, 2) };
    const [base, target] = [await tarOf([big, rest]), await tarOf([rest, { ...big, name: 'z' }])];
    const patch = await patchBetween(base, target);
    assert.ok(patch.byteLength < 2_000, `${patch.byteLength} bytes`);
  });

  it('carries what is new twice in the target only once', async () => {
    const body = noise(800_000, 9);
    const base = await tarOf([{ name: 'x', body: noise(10_000, 1) }]);
    const target = await tarOf([
      { name: 'a', body },
      { name: 'b', body: noise(700_000, 3) },
      { name: 'c', body },
    ]);
    const patch = await patchBetween(base, target, {
      freshBytes: 300_000,
      dictionaryBytes: 4 * LIMITS.deltaBlockBytes,
    });
    assert.ok(patch.byteLength < 1_600_000, `${patch.byteLength} bytes`);
    assert.deepEqual(Buffer.from(await apply(base, target, patch)), target);
  });

  it('packs a changed text against the old one, and not as if it were new', async () => {
    const lines = Array.from({ length: 8_000 }, (_, at) => `${sha256Hex(Buffer.from(`${at}`))}\n`);
    const text = (every: number) =>
      lines.map((line, at) => (at % every === 0 ? `changed ${line}` : line)).join('');
    const base = await tarOf([{ name: 'text', body: lines.join('') }]);
    const target = await tarOf([{ name: 'text', body: text(10) }]);
    const patch = await patchBetween(base, target, {
      freshBytes: 128 * 1024,
      dictionaryBytes: 8 * LIMITS.deltaBlockBytes,
    });
    assert.ok(patch.byteLength < 20_000, `${patch.byteLength} of ${target.byteLength} bytes`);
    assert.ok((await planOf(patch)).segments.length >= 4);
  });

  it('is possible from an empty tar and to an equal one', async () => {
    const [none, some] = [await tarOf([]), await tarOf([{ name: 'x', body: noise(300_000, 4) }])];
    for (const [base, target] of [
      [none, some],
      [some, none],
      [some, some],
      [none, none],
    ] as const) {
      const patch = await patchBetween(base, target);
      assert.deepEqual(Buffer.from(await apply(base, target, patch)), target);
    }
  });
});

describe('[P-12.7] a delta that adds', () => {
  it('gives back the target to the byte, for generated trees', async () => {
    await fc.assert(
      fc.asyncProperty(
        trees,
        changes,
        fc.constantFrom(undefined, SMALL),
        async (files, edits, within) => {
          const [before, after] = releases(files, edits);
          const [base, target] = [await tarOf(before), await tarOf(after)];
          const patch = await patchBetween(base, target, within, 'add');
          assert.deepEqual(Buffer.from(await apply(base, target, patch, null)), target);
        },
      ),
      { numRuns: 8 },
    );
  });

  it('is the same bytes each time', async () => {
    const [before, after] = releases([300_000, 20_000], [{ file: 0, kind: 'grow', at: 150_123 }]);
    const [base, target] = [await tarOf(before), await tarOf(after)];
    const make = (): Promise<Uint8Array> => patchBetween(base, target, undefined, 'add');
    assert.deepEqual(await make(), await make());
  });

  it('carries addresses that moved in a fraction of what zstd needs', async () => {
    // Every 16 bytes a number that counts on from another start, among bytes that stay.
    const program = (start: number): Buffer => {
      const bytes = noise(400_000, 7);
      for (let at = 0; at + 4 <= bytes.byteLength; at += 16) {
        bytes.writeUInt32LE((bytes.readUInt32LE(at) + start) >>> 0, at);
      }
      return bytes;
    };
    const [base, target] = [
      await tarOf([{ name: 'program', body: program(0) }]),
      await tarOf([{ name: 'program', body: program(0x1240) }]),
    ];
    const adds = await patchBetween(base, target, undefined, 'add');
    const zstd = await patchBetween(base, target);
    assert.ok(adds.byteLength * 5 < zstd.byteLength, `${adds.byteLength} of ${zstd.byteLength}`);
  });

  it('is refused wherever it is cut short or changed, and no byte is written beyond the tar', async () => {
    const [before, after] = releases([200_000], [{ file: 0, kind: 'edit', at: 100_123 }]);
    const [base, target] = [await tarOf(before), await tarOf(after)];
    const patch = await patchBetween(base, target, undefined, 'add');
    await fc.assert(
      fc.asyncProperty(
        fc.nat(patch.byteLength - 1),
        fc.integer({ min: 0, max: 255 }),
        async (at, byte) => {
          const changed = Uint8Array.from(patch);
          changed[at] = (changed[at] ?? 0) ^ byte;
          for (const bad of [patch.subarray(0, at), ...(byte === 0 ? [] : [changed])]) {
            const verdict = await apply(base, target, bad, null).then(
              (made) => (Buffer.from(made).equals(target) ? 'made' : 'wrong'),
              (error: unknown) => (error as { code?: string }).code,
            );
            // One bit of the plan makes it a plan for zstd, which this robot has not.
            const ends = /^(?:made|DELTA_INVALID|DELTA_RESULT_WRONG|ZSTD_MISSING)$/;
            assert.match(String(verdict), ends);
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});
