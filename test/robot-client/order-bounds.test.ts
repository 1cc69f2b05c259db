/** A carrier that floods a robot with orders is held up; an honest burst is not. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { OrderBounds } from '../../robot-client/orders.ts';
import { LIMITS } from '../../shared/base/limits.ts';

describe('the bounds of orders', () => {
  it('let as many pass at once as an honest broker has for a robot', () => {
    const bounds = new OrderBounds();
    for (let nth = 0; nth < LIMITS.ordersBurstMax; nth += 1)
      assert.equal(bounds.waitMs(5_000), 0, `order ${nth}`);
    assert.ok(bounds.waitMs(5_000) > 0);
    assert.ok(LIMITS.ordersBurstMax > 2 * LIMITS.rolloutsMax + 1);
  });

  it('let a burst and the rate pass in any time, however orders come, and delay no order longer', () => {
    const gaps = fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 600 });
    fc.assert(
      fc.property(gaps, (all) => {
        const bounds = new OrderBounds();
        let now = 1_000;
        let passed = 0;
        for (const gap of all) {
          now += gap;
          const waitMs = bounds.waitMs(now);
          // As the agent does: it takes the next order when it is done with this one.
          now += waitMs;
          passed += 1;
          const mayPass =
            LIMITS.ordersBurstMax + ((now - 1_000) * LIMITS.ordersPerSecondMax) / 1000;
          assert.ok(passed <= mayPass + 1, `${passed} of ${mayPass}`);
          assert.ok(waitMs <= 1000 / LIMITS.ordersPerSecondMax + 1e-6);
        }
      }),
    );
  });

  it('tell one kind of refusal once in a while, and each other kind at once', () => {
    const bounds = new OrderBounds();
    assert.equal(bounds.mayTell('JSON_INVALID', 0), true);
    assert.equal(bounds.mayTell('JSON_INVALID', LIMITS.refusalToldAgainMs - 1), false);
    assert.equal(bounds.mayTell('SIGNATURE_INVALID', 1), true);
    assert.equal(bounds.mayTell('JSON_INVALID', LIMITS.refusalToldAgainMs), true);
  });
});
