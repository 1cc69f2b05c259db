/** The instant at which a wave stops waiting at the latest, as operators see it. */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { addIncrements, emptyEvidence, emptyGroup } from '../../../broker/rollout/evidence.ts';
import { judge } from '../../../broker/rollout/gate.ts';
import { evidenceEndMs } from '../../../broker/rollout/gate-times.ts';
import type { Increment } from '../../../broker/rollout/gate-types.ts';
import { gatesSchema } from '../../../shared/formats/gates.ts';

const ATTEMPTS = { cohort: 10, reachable: 10, installed: 10, failed: 0, vanished: 0 };
const NOW = 1_800_000_000_000;

function increment(group: Increment['group'], fields: Partial<Increment>): Increment {
  const nothing = { hours: 0, crashes: 0, tasksCompleted: 0, tasksFailed: 0 };
  const firsts = { firstReport: group === 'treated', firstCrash: false, firstFailure: false };
  return { group, ...nothing, ...firsts, ...fields };
}

it('a wave never waits longer than was told, whatever is reported until then', () => {
  const gates = gatesSchema.parse({ batch_s: 120, evidence_wait_s: 600 });
  const said = fc.record({
    atS: fc.integer({ min: 1, max: 1_500 }),
    group: fc.constantFrom('treated' as const, 'control' as const),
    hours: fc.constantFrom(0, 0.01),
    tasksCompleted: fc.constantFrom(0, 3),
  });
  // Tasks of the old version alone are a sign of harm: the wave waits for a person then.
  const isNoHarm = (one: { group: string }) => one.group === 'treated';
  fc.assert(
    fc.property(fc.array(said, { maxLength: 12 }), (all) => {
      const reports = all
        .map((one) => (isNoHarm(one) ? one : { ...one, tasksCompleted: 0 }))
        .sort((a, b) => a.atS - b.atS);
      const soak = { soakSinceMs: NOW, soakS: 60 };
      let evidence = emptyEvidence();
      let told = Number.POSITIVE_INFINITY;
      for (let atS = 0; atS <= 2_000; atS += 1) {
        const now = NOW + atS * 1000;
        const came = reports.filter((one) => one.atS === atS);
        const increments = came.map(({ group, ...more }) => increment(group, more));
        evidence = addIncrements(evidence, increments, { gates, now });
        const { kind } = judge({
          ...{ gates, now, evidence, history: emptyGroup(), stages: 2 },
          attempts: {
            ...ATTEMPTS,
            newcomers: { reachable: 0, installed: 0 },
            examples: [],
            unable: [],
          },
          soak: { elapsedS: atS, soakS: soak.soakS },
        });
        if (kind === 'pass') return;
        assert.ok(now < told, `still ${kind} at ${atS} s, told ${(told - NOW) / 1000} s`);
        told = Math.min(told, evidenceEndMs({ gates, evidence, ...soak }) ?? told);
      }
      assert.fail('it never passed');
    }),
    { numRuns: 60 },
  );
});

it('the moment until which a wave waits at most is the one at which the gate passes', () => {
  const gates = gatesSchema.parse({ batch_s: 120, evidence_wait_s: 600 });
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1_200 }),
      fc.integer({ min: 1, max: 40 }),
      fc.boolean(),
      (reportedS, crashes, isControlSilent) => {
        const firstAt = NOW + reportedS * 1000;
        const both = [
          increment('treated', { hours: 0.5, crashes: 0 }),
          ...(isControlSilent ? [] : [increment('control', { hours: 0.5, crashes })]),
        ];
        const evidence = addIncrements(emptyEvidence(), both, { gates, now: firstAt });
        const soak = { soakSinceMs: NOW, soakS: 60 };
        const until = evidenceEndMs({ gates, evidence, ...soak });
        assert.ok(until !== null);
        const at = (now: number) =>
          judge({
            ...{ gates, now, history: emptyGroup(), stages: 2 },
            // The look that hands the batch over comes before the verdict.
            evidence: addIncrements(evidence, [], { gates, now }),
            attempts: {
              ...ATTEMPTS,
              newcomers: { reachable: 0, installed: 0 },
              examples: [],
              unable: [],
            },
            soak: { elapsedS: (now - NOW) / 1000, soakS: soak.soakS },
          }).kind;
        assert.notEqual(at(Math.max(until, firstAt)), 'hold');
      },
    ),
  );
});
