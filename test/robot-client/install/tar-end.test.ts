import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TarEnd } from '../../../robot-client/install/tar-end.ts';

const BLOCK = 512;
const filled = (blocks: number) => new Uint8Array(blocks * BLOCK).fill(0x61);
const zeroes = (blocks: number) => new Uint8Array(blocks * BLOCK);

/** A header, a body of `bodyBytes`, and what stands behind them. */
function streamOf(body: Uint8Array, behind: readonly Uint8Array[]): Uint8Array {
  const padding = new Uint8Array((BLOCK - (body.byteLength % BLOCK)) % BLOCK);
  return Buffer.concat([filled(1), body, padding, ...behind]);
}

test('two zero blocks behind an entry are the end, one is a mark, none is neither', () => {
  for (const [blocks, isMarked, isReached] of [
    [0, false, false],
    [1, true, false],
    [2, true, true],
    [20, true, true],
  ] as const) {
    const end = new TarEnd();
    end.feed(streamOf(filled(1), [zeroes(blocks), filled(1), zeroes(2)]));
    end.entry(BLOCK, BLOCK);
    assert.deepEqual([end.isMarked, end.isReached], [isMarked, isReached], `${blocks} blocks`);
  }
});

test('an archive without entries is its end mark alone', () => {
  const end = new TarEnd();
  assert.equal(end.isMarked, false);
  end.feed(zeroes(2));
  assert.equal(end.isReached, true);
});

test('zeroes inside a body are not an end, also when the body ends with them', () => {
  const end = new TarEnd();
  const body = zeroes(6);
  end.feed(streamOf(body, [filled(1)]));
  end.entry(BLOCK, body.byteLength);
  assert.equal(end.isMarked, false);
});

test('how the stream is cut, and whether the entry was known by then, changes nothing', () => {
  const cuts = fc.array(fc.nat(), { maxLength: 12 });
  const body = fc.array(fc.constantFrom(0, 0x61), { maxLength: 4 });
  fc.assert(
    fc.property(
      body,
      fc.nat(600),
      fc.nat(4),
      cuts,
      fc.nat(13),
      (bytes, more, blocks, at, known) => {
        const inside = Buffer.concat([...bytes.map((b) => Buffer.alloc(BLOCK, b)), zeroes(0)]);
        const whole = Buffer.concat([inside, Buffer.alloc(more, 0)]);
        const stream = streamOf(whole, [zeroes(blocks), filled(2)]);
        const places = [...new Set([0, ...at.map((cut) => cut % stream.length), stream.length])];
        places.sort((a, b) => a - b);
        const end = new TarEnd();
        let toldAt = -1;
        for (const [piece, from] of places.entries()) {
          end.feed(stream.subarray(from, places[piece + 1] ?? from));
          const headerWasRead = (places[piece + 1] ?? from) >= BLOCK;
          if (toldAt < 0 && headerWasRead && piece >= known % places.length) {
            end.entry(BLOCK, whole.byteLength);
            toldAt = piece;
          }
        }
        if (toldAt < 0) end.entry(BLOCK, whole.byteLength);
        assert.equal(end.isMarked, blocks >= 1);
        assert.equal(end.isReached, blocks >= 2);
      },
    ),
    { numRuns: 1_000 },
  );
});
