import fc from 'fast-check';
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { AddFinder } from '../../../../publisher/bundle/deltas/find-adds.ts';
import { LongestMatch } from '../../../../publisher/bundle/deltas/longest-match.ts';
import { suffixArray } from '../../../../publisher/bundle/deltas/suffix-array.ts';

/** Few symbols repeat themselves, which is what sorting is hard on. */
const texts = fc
  .tuple(fc.constantFrom(0, 1, 2, 4, 255), fc.array(fc.nat(255), { maxLength: 300 }))
  .map(([most, bytes]) => Uint8Array.from(bytes, (byte) => byte % (most + 1)));

it('sorts the suffixes of any text', () => {
  fc.assert(
    fc.property(texts, (text) => {
      const suffix = (at: number): Uint8Array => text.subarray(at);
      const sorted = [...text.keys()].sort((a, b) => Buffer.compare(suffix(a), suffix(b)));
      assert.deepEqual([...suffixArray(text)], sorted);
    }),
    { numRuns: 1_000 },
  );
});

it('finds a match that is as long as any', () => {
  const lengthAt = (base: Uint8Array, target: Uint8Array, from: number, at: number): number => {
    let equal = 0;
    while (from + equal < base.length && base[from + equal] === target[at + equal]) equal += 1;
    return equal;
  };
  fc.assert(
    fc.property(texts, texts, (base, target) => {
      const matches = new LongestMatch(base, target);
      for (const at of target.keys()) {
        const longest = Math.max(
          0,
          ...[...base.keys()].map((one) => lengthAt(base, target, one, at)),
        );
        const found = matches.find(at);
        assert.equal(found, longest < 2 ? 0 : longest);
        matches.settleNear(at, found, at);
        if (found > 0) assert.ok(lengthAt(base, target, matches.place, at) >= found);
      }
    }),
    { numRuns: 200 },
  );
});

it('covers each target with rows that lie in the base', () => {
  fc.assert(
    fc.property(texts, texts, fc.integer({ min: 0, max: 20 }), (base, more, gain) => {
      const target = Uint8Array.from([...more, ...base.map((byte) => byte ^ 1), ...base]);
      let made = 0;
      for (const { at, from, addBytes, newBytes } of new AddFinder(base, target).rows(gain)) {
        assert.equal(at, made);
        assert.ok(addBytes >= 0 && newBytes >= 0);
        assert.ok(addBytes === 0 || (from >= 0 && from + addBytes <= base.length));
        made += addBytes + newBytes;
      }
      assert.equal(made, target.length);
    }),
    { numRuns: 500 },
  );
});
