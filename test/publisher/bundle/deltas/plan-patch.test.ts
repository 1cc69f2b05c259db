import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Gear, zeroBitsFor } from '../../../../publisher/bundle/deltas/rolling-hash.ts';
import { PlaceTable } from '../../../../publisher/bundle/deltas/place-table.ts';
import {
  assertDeltaBases,
  parseDeltaFrom,
} from '../../../../publisher/bundle/deltas/plan-deltas.ts';
import {
  chooseDictionary,
  planSegments,
  type FoundCopy,
} from '../../../../publisher/bundle/deltas/plan-patch.ts';
import { LIMITS } from '../../../../shared/base/limits.ts';
import {
  encodePatchHead,
  freshBytesOf,
  parsePatchHead,
  rangeBytes,
} from '../../../../shared/transfer/patch-plan.ts';
import { assertRefused } from '../../../helpers/refusal.ts';

const MiB = 1024 * 1024;

/** Copies anywhere in a target, as they can be found. */
const worlds = fc
  .record({
    baseBytes: fc.integer({ min: 1, max: 3_000 * MiB }),
    pieces: fc.array(
      fc.record({
        fresh: fc.oneof(fc.nat(1_000), fc.nat(120 * MiB)),
        copy: fc.integer({ min: 1, max: 50 * MiB }),
        where: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
      { maxLength: 20 },
    ),
    tail: fc.nat(100 * MiB),
  })
  .map(({ baseBytes, pieces, tail }) => {
    const copies: FoundCopy[] = [];
    let at = 0;
    for (const { fresh, copy, where } of pieces) {
      at += fresh;
      const isInBase = where < 0.8 || at < copy;
      const bytes = Math.min(copy, isInBase ? baseBytes : at);
      const from = isInBase
        ? Math.floor((baseBytes - bytes) * where)
        : baseBytes + Math.floor((at - bytes) * where);
      copies.push({ at, bytes, from });
      at += bytes;
    }
    return { copies, baseBytes, targetBytes: at + tail };
  });

describe('the planner of deltas', () => {
  it('makes all of the target in order, in segments within their bounds, for any copies', () => {
    fc.assert(
      fc.property(worlds, ({ copies, ...sizes }) => {
        const planned = planSegments(copies, sizes);
        let made = 0;
        for (const { steps, fresh, madeBytes } of planned) {
          assert.equal(madeBytes, made);
          assert.equal(freshBytesOf({ steps }), rangeBytes(fresh));
          assert.ok(freshBytesOf({ steps }) <= LIMITS.deltaFreshBytesMax);
          made += steps.reduce((sum, step) => sum + step.freshBytes + step.copy.bytes, 0);
        }
        assert.equal(made, sizes.targetBytes);
        // Robots accept the plan that was made.
        const segments = planned.map(({ steps, replaced, madeBytes }) => {
          const votes = new Map<number, number>();
          const dictionary = chooseDictionary({ votes, replaced }, sizes.baseBytes + madeBytes);
          return { steps, dictionary, frameBytes: freshBytesOf({ steps }) === 0 ? 0 : 1 };
        });
        const plan = { coding: 'zstd' as const, ...sizes, segments };
        const head = encodePatchHead(plan);
        const frames = segments.reduce((sum, segment) => sum + segment.frameBytes, 0);
        assert.deepEqual(parsePatchHead(head, head.byteLength + frames), plan);
      }),
      { numRuns: 200 },
    );
  });

  it('copies all that is found to be equal, and packs every other byte once', () => {
    fc.assert(
      fc.property(worlds, ({ copies, ...sizes }) => {
        const planned = planSegments(copies, sizes);
        const copied = planned.flatMap(({ steps }) => steps.filter(({ copy }) => copy.bytes > 0));
        assert.deepEqual(
          copied.map(({ copy }) => copy),
          copies.map(({ from: at, bytes }) => ({ at, bytes })),
        );
        const fresh = planned.flatMap((segment) => segment.fresh);
        const overlaps = fresh.some(({ at, bytes }) =>
          copies.some((copy) => at < copy.at + copy.bytes && copy.at < at + bytes),
        );
        assert.ok(!overlaps);
      }),
      { numRuns: 200 },
    );
  });

  it('takes the blocks with most votes into a dictionary, and never more than it may hold', () => {
    const block = LIMITS.deltaBlockBytes;
    const most = LIMITS.deltaDictionaryBytesMax / block;
    const votes = new Map(Array.from({ length: most * 2 }, (_, at) => [at, (at % 7) + 1] as const));
    const dictionary = chooseDictionary({ votes, replaced: [] }, most * 2 * block);
    assert.equal(rangeBytes(dictionary), LIMITS.deltaDictionaryBytesMax);
    const taken = dictionary.flatMap(({ at, bytes }) =>
      Array.from({ length: bytes / block }, (_, nth) => at / block + nth),
    );
    const least = Math.min(...taken.map((at) => votes.get(at) ?? 0));
    const left = [...votes.keys()].filter((at) => !taken.includes(at));
    assert.ok(left.every((at) => (votes.get(at) ?? 0) <= least));
    // The last block of a history is mostly a short one.
    assert.deepEqual(chooseDictionary({ votes: new Map([[1, 1]]), replaced: [] }, block + 5), [
      { at: block, bytes: 5 },
    ]);
    assert.deepEqual(chooseDictionary({ votes: new Map([[2, 1]]), replaced: [] }, block), []);
  });
});

describe('places picked by content', () => {
  const noise = (bytes: number, seed: number): Uint8Array => {
    let state = seed;
    return Uint8Array.from({ length: bytes }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      return state >>> 24;
    });
  };
  const placesOf = (bytes: Uint8Array, bits: number, pieceBytes: number): [number, number][] => {
    const gear = new Gear(bits);
    const places: [number, number][] = [];
    for (let at = 0; at < bytes.byteLength; at += pieceBytes) {
      gear.feed(bytes.subarray(at, at + pieceBytes), (key, place) => places.push([key, place]));
    }
    return places;
  };

  it('are the same wherever the bytes moved and however they are cut into pieces', () => {
    const bytes = noise(100_000, 7);
    const moved = new Uint8Array([...noise(1_001, 3), ...bytes]);
    const places = placesOf(bytes, 8, 100_000);
    assert.ok(places.length > 200 && places.length < 800, `${places.length} places`);
    assert.deepEqual(placesOf(bytes, 8, 33), places);
    const later = new Map(placesOf(moved, 8, 4_096).map(([key, at]) => [key, at - 1_001]));
    const found = places.filter(([key, at]) => later.get(key) === at);
    assert.ok(found.length > places.length * 0.95, `${found.length} of ${places.length}`);
  });

  it('do not crowd in a run of one byte', () => {
    for (const byte of [0, 1, 0x41, 0xff]) {
      assert.ok(placesOf(new Uint8Array(50_000).fill(byte), 7, 9_999).length <= 1);
    }
  });

  it('are picked as rarely as the bound on their number asks for', () => {
    assert.equal(zeroBitsFor(1_000, 2 ** 20, 7), 7);
    assert.equal(zeroBitsFor(2 ** 35, 2 ** 20, 7), 15);
  });

  it('are found again in a table that grows, the first of equal keys', () => {
    const table = new PlaceTable();
    const keys = Array.from({ length: 20_000 }, (_, at) => Math.imul(at, 2654435761) >>> 0);
    keys.forEach((key, at) => table.add(key, at));
    keys.forEach((key) => table.add(key, 1e9));
    assert.ok(keys.every((key, at) => table.get(key) === at));
    assert.equal(table.get(12345), null);
  });
});

describe('the bases of a bundle', () => {
  const labels = {
    name: 'app',
    version: '2.0.0',
    arch: 'x86_64',
    minCurrent: '1.0.0',
    rollback: '1.0.0',
  };
  const base = { version: '1.5.0', name: 'app', arch: 'amd64', isImage: false };

  it('are named by a bundle, or by a version and its tar', () => {
    assert.deepEqual(parseDeltaFrom('bundles/1.0.0'), { version: null, path: 'bundles/1.0.0' });
    assert.deepEqual(parseDeltaFrom('1.0.0=a=b.tar'), { version: '1.0.0', path: 'a=b.tar' });
    assert.deepEqual(parseDeltaFrom('x=y'), { version: null, path: 'x=y' });
  });

  it('are versions that some robot could patch from', () => {
    assertDeltaBases(labels, [base]);
    const wrong = [
      [base, base],
      [{ ...base, name: 'arm' }],
      [{ ...base, arch: 'aarch64' }],
      [{ ...base, version: '2.0.0' }],
      [{ ...base, isImage: true }],
      [{ ...base, version: '0.9.0' }],
      Array.from({ length: LIMITS.deltasMax + 1 }, (_, at) => ({ ...base, version: `1.0.${at}` })),
    ];
    for (const bases of wrong) assertRefused('USAGE', () => assertDeltaBases(labels, bases));
  });
});
