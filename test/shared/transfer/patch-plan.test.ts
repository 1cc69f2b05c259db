import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { LIMITS } from '../../../shared/base/limits.ts';
import {
  encodePatchHead,
  freshBytesOf,
  parsePatchHead,
  PATCH_LEAD_BYTES,
  patchHeadBytes,
  type PatchPlan,
  type PatchSegment,
} from '../../../shared/transfer/patch-plan.ts';
import { VarintReader, VarintWriter } from '../../../shared/base/varint.ts';
import { assertRefused, verdictOf } from '../../helpers/refusal.ts';

const GiB = 1024 ** 3;

/** A plan that holds, of any shape: sizes are made to fit as it grows. */
const plans: fc.Arbitrary<PatchPlan> = fc
  .record({
    coding: fc.constantFrom('zstd' as const, 'add' as const),
    baseBytes: fc.nat(8 * GiB),
    segments: fc.array(
      fc.record({
        ranges: fc.array(fc.tuple(fc.nat(1_000_000), fc.integer({ min: 1, max: 50_000 })), {
          maxLength: 5,
        }),
        steps: fc.array(
          fc.tuple(fc.nat(100_000), fc.nat(3_000_000), fc.double({ min: 0, max: 1, noNaN: true })),
          { maxLength: 8 },
        ),
      }),
      { maxLength: 4 },
    ),
  })
  .map(({ coding, baseBytes, segments: shapes }) => {
    let made = 0;
    const segments = shapes.map(({ ranges, steps: wanted }): PatchSegment => {
      const dictionary: { at: number; bytes: number }[] = [];
      let behind = 0;
      for (const [gap, bytes] of ranges) {
        if (behind + gap + bytes > baseBytes + made) break;
        dictionary.push({ at: behind + gap, bytes });
        behind += gap + bytes;
      }
      const steps = wanted.map(([freshBytes, wish, where]) => {
        made += freshBytes;
        const isInBase = where < 0.5 || made === 0;
        const room = isInBase ? baseBytes : made;
        const bytes = Math.min(wish, room);
        const at = (isInBase ? 0 : baseBytes) + Math.floor((room - bytes) * where);
        made += bytes;
        return { freshBytes, copy: bytes === 0 ? { at: 0, bytes } : { at, bytes } };
      });
      return { frameBytes: freshBytesOf({ steps }) === 0 ? 0 : 17, dictionary, steps };
    });
    return { coding, baseBytes, targetBytes: made, segments };
  });

const patchBytesOf = (head: Uint8Array, plan: PatchPlan): number =>
  head.byteLength + plan.segments.reduce((sum, segment) => sum + segment.frameBytes, 0);

describe('the plan of a delta', () => {
  it('[P-12.1] reads as it was written, whatever its shape', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const head = encodePatchHead(plan);
        assert.equal(patchHeadBytes(head.subarray(0, PATCH_LEAD_BYTES)), head.byteLength);
        assert.deepEqual(parsePatchHead(head, patchBytesOf(head, plan)), plan);
      }),
      { numRuns: 200 },
    );
  });

  it('is read whole or refused with its code, whatever bytes it is made of', () => {
    const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(plans, changes, fc.nat(20), (plan, changed, cut) => {
        const bytes = encodePatchHead(plan);
        for (const [at, byte] of changed) bytes[at % bytes.byteLength] = byte;
        const head = bytes.subarray(0, bytes.byteLength - (cut > 15 ? cut : 0));
        const verdict = verdictOf(() => parsePatchHead(head, patchBytesOf(bytes, plan)));
        assert.ok(verdict === 'taken' || verdict === 'DELTA_INVALID', verdict);
      }),
      { numRuns: 500 },
    );
  });

  const fresh = (bytes: number) => ({ freshBytes: bytes, copy: { at: 0, bytes: 0 } });
  const wrong: [string, PatchPlan, RegExp][] = [
    [
      'a copy of base that is not there',
      planOf(10, { steps: [{ freshBytes: 0, copy: { at: 5, bytes: 6 } }] }),
      /not there yet/,
    ],
    [
      'a copy over the border of base and target',
      planOf(10, { steps: [fresh(5), { freshBytes: 0, copy: { at: 8, bytes: 4 } }] }),
      /not there yet/,
    ],
    [
      'a copy of what it makes itself',
      planOf(10, { steps: [fresh(5), { freshBytes: 0, copy: { at: 12, bytes: 4 } }] }),
      /not there yet/,
    ],
    [
      'a dictionary of what is not there',
      planOf(10, { dictionary: [{ at: 5, bytes: 6 }], steps: [fresh(1)] }),
      /dictionary of what/,
    ],
    [
      'a dictionary that is too large',
      planOf(8 * GiB, {
        dictionary: [{ at: 0, bytes: LIMITS.deltaDictionaryBytesMax + 1 }],
        steps: [fresh(1)],
      }),
      /dictionary of \d+ bytes/,
    ],
    [
      'a segment that is too large',
      planOf(1, { steps: [fresh(LIMITS.deltaFreshBytesMax + 1)] }),
      /segment of \d+ bytes/,
    ],
    [
      'a target that its steps do not make',
      { ...planOf(1, { steps: [fresh(5)] }), targetBytes: 6 },
      /do not make the target/,
    ],
    ['a frame for nothing', planOf(10, { steps: [], frameBytes: 3 }), /without fresh bytes/],
  ];
  for (const [what, plan, why] of wrong) {
    it(`[P-12.2] is refused with ${what}`, () => {
      const head = encodePatchHead(plan);
      const patchBytes = patchBytesOf(head, plan);
      assertRefused('DELTA_INVALID', () => parsePatchHead(head, patchBytes), why);
    });
  }

  it('is refused when its frames are not the rest of the file, or it is too long', () => {
    const plan = planOf(10, { steps: [fresh(5)] });
    const head = encodePatchHead(plan);
    const tooMany = patchBytesOf(head, plan) + 1;
    assertRefused('DELTA_INVALID', () => parsePatchHead(head, tooMany), /not the file/);
    const lead = head.slice();
    new DataView(lead.buffer).setUint32(4, LIMITS.deltaPlanBytesMax + 1, true);
    assertRefused('DELTA_INVALID', () => patchHeadBytes(lead));
    assertRefused('DELTA_INVALID', () => patchHeadBytes(head.subarray(0, 3)));
    assertRefused('DELTA_INVALID', () => patchHeadBytes(new Uint8Array(8)));
  });
});

function planOf(
  baseBytes: number,
  { steps, dictionary = [], frameBytes }: Partial<PatchSegment> & Pick<PatchSegment, 'steps'>,
): PatchPlan {
  const freshBytes = freshBytesOf({ steps });
  const targetBytes = steps.reduce((sum, one) => sum + one.freshBytes + one.copy.bytes, 0);
  const frame = frameBytes ?? (freshBytes > 0 ? 9 : 0);
  return {
    coding: 'zstd',
    baseBytes,
    targetBytes,
    segments: [{ frameBytes: frame, dictionary, steps }],
  };
}

it('numbers of any size and sign come back as they were, in as few bytes as they need', () => {
  fc.assert(
    fc.property(fc.array(fc.maxSafeInteger()), (numbers) => {
      const out = new VarintWriter();
      const halves = numbers.map((one) => Math.trunc(one / 2));
      for (const one of halves) out.putSigned(one);
      const reader = new VarintReader(out.bytes(), () => new Error('bad'));
      assert.deepEqual(
        halves.map(() => reader.takeSigned() + 0),
        halves.map((one) => one + 0),
      );
      assert.ok(reader.isAtEnd);
    }),
  );
  const small = new VarintWriter();
  for (const one of [0, 127, 128, Number.MAX_SAFE_INTEGER]) small.put(one);
  assert.equal(small.bytes().byteLength, 1 + 1 + 2 + 8);
  const cut = new VarintReader(Uint8Array.of(0x80), () => new Error('bad'));
  assert.throws(() => cut.take(), /bad/);
  const long = new VarintReader(new Uint8Array(9).fill(0xff), () => new Error('bad'));
  assert.throws(() => long.take(), /bad/);
});
