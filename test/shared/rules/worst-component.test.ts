import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PHASES } from '../../../shared/formats/messages.ts';
import { worstFirst } from '../../../shared/rules/worst-component.ts';

const one = (phase: (typeof PHASES)[number], error: unknown = null) => ({
  phase,
  last_error: error,
});

test('stuck is worse than going back, than a problem, than work, than rest', () => {
  const ordered = [
    one('stuck'),
    one('rolling_back'),
    one('idle', {}),
    one('probation'),
    one('idle'),
  ];
  assert.deepEqual(worstFirst(ordered.toReversed()), ordered);
  assert.deepEqual(worstFirst([]), []);
});

test('every phase has its place, and equal components stay in the order of the robot', () => {
  const anyComponents = fc.array(fc.record({ phase: fc.constantFrom(...PHASES), at: fc.nat() }));
  fc.assert(
    fc.property(anyComponents, (components) => {
      const sorted = worstFirst(components);
      assert.equal(sorted.length, components.length);
      assert.deepEqual(worstFirst(sorted), sorted);
      const stuck = components.find(({ phase }) => phase === 'stuck');
      if (stuck) assert.equal(sorted[0], stuck);
    }),
  );
});
