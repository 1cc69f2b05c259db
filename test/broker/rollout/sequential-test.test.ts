import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  addToRatioLogs,
  eValueOf,
  startRatioLogs,
} from '../../../broker/rollout/sequential-test.ts';

test('the logs stay finite for every report, and an absurd one does not silence the test', () => {
  const events = fc.integer({ min: 0, max: 1_000 });
  const exposure = fc.double({ min: 0, max: 1e9, noNaN: true });
  fc.assert(
    fc.property(events, events, exposure, exposure, (events1, events0, exposure1, exposure0) => {
      const logs = addToRatioLogs(
        startRatioLogs(),
        { events1, exposure1, events0, exposure0 },
        1.1,
      );
      assert.ok(logs.every(Number.isFinite));
      assert.ok(Number.isFinite(eValueOf(logs)));
    }),
  );
  const absurd = { events1: 3, exposure1: 10, events0: 0, exposure0: 1e-308 };
  const crashes = { events1: 50, exposure1: 10, events0: 1, exposure0: 100 };
  const logs = addToRatioLogs(addToRatioLogs(startRatioLogs(), absurd, 1.1), crashes, 1.1);
  assert.ok(eValueOf(logs) > 1e6, String(eValueOf(logs)));
});

test('more events of the new version are never less evidence against it', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 200 }), (a, b) => {
      const eValue = (events1: number): number =>
        eValueOf(
          addToRatioLogs(
            startRatioLogs(),
            { events1, exposure1: 10, events0: b, exposure0: 90 },
            1.1,
          ),
        );
      assert.ok(eValue(a + 1) >= eValue(a));
    }),
  );
});
