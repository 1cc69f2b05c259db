import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  chunkCount,
  chunkLength,
  encodeChunkIndex,
  parseChunkIndex,
} from '../../../shared/transfer/chunk-index.ts';
import type { Sha256Hex } from '../../../shared/base/ids.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { assertRefused, verdictOf } from '../../helpers/refusal.ts';

const artifact = fc.record({
  size: fc.integer({ min: 1, max: LIMITS.chunkBytesMax * 40 }),
  chunk_size: fc.integer({ min: LIMITS.chunkBytesMin, max: LIMITS.chunkBytesMax }),
});

test('the chunks of an artifact cover it exactly once', () => {
  fc.assert(
    fc.property(
      artifact,
      fc.infiniteStream(fc.uint8Array({ minLength: 32, maxLength: 32 })),
      (of, raw) => {
        const count = chunkCount(of.size, of.chunk_size);
        const bytes = Buffer.concat(Array.from({ length: count }, () => raw.next().value ?? []));
        const index = parseChunkIndex(bytes, of);
        assert.deepEqual(Buffer.from(encodeChunkIndex(index.chunks)), bytes);
        const lengths = index.chunks.map((_, at) => chunkLength(index, at));
        assert.equal(
          lengths.reduce((sum, length) => sum + length, 0),
          of.size,
        );
        assert.ok(lengths.every((length) => length > 0 && length <= of.chunk_size));
        assert.ok(lengths.slice(0, -1).every((length) => length === of.chunk_size));
      },
    ),
  );
});

test('an index of any other length than the artifact asks for is refused', () => {
  fc.assert(
    fc.property(artifact, fc.nat(200), (of, entries) => {
      const verdict = verdictOf(() => parseChunkIndex(new Uint8Array(entries * 32), of));
      const fits = entries === chunkCount(of.size, of.chunk_size);
      assert.equal(verdict, fits ? 'taken' : 'CHUNK_INDEX_INVALID');
    }),
  );
  const of = { size: 100, chunk_size: LIMITS.chunkBytesMin };
  for (const length of [0, 31, 33]) {
    const parse = () => parseChunkIndex(new Uint8Array(length), of);
    assertRefused('CHUNK_INDEX_INVALID', parse, /want 32/);
  }
});

test('an artifact of more chunks than an index may hold is refused before any is read', () => {
  const of = { size: LIMITS.payloadBytesMax, chunk_size: LIMITS.chunkBytesMin };
  const bytes = new Uint8Array(chunkCount(of.size, of.chunk_size) * 32);
  assertRefused('CHUNK_INDEX_INVALID', () => parseChunkIndex(bytes, of));
  const largest = { size: LIMITS.payloadBytesMax, chunk_size: LIMITS.chunkBytesMax };
  const whole = parseChunkIndex(new Uint8Array(LIMITS.chunksMax * 32), largest);
  assert.equal(whole.chunks.length, LIMITS.chunksMax);
  for (const chunk_size of [0, -1, Number.NaN]) {
    assertRefused('CHUNK_INDEX_INVALID', () => parseChunkIndex(bytes, { size: 1, chunk_size }));
  }
});

test('only hashes become an index', () => {
  assert.throws(() => encodeChunkIndex(['xyz' as Sha256Hex]), TypeError);
});
