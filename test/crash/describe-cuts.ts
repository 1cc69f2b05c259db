/** The walk through scenarios as tests: one for each, and a count of the states at the end. */

import assert from 'node:assert/strict';
import { after, before, describe, it, mock } from 'node:test';
import { seedOfRun } from '../helpers/run-seed.ts';
import { Share } from '../helpers/share.ts';
import { explore } from './explore.ts';
import { Judge } from './judge.ts';
import { NOW, Release } from './robot.ts';
import { ANNOUNCED, type Scenario } from './scenarios.ts';
import { sickHooks } from './sick-hooks.ts';

/** In CI as well. */
const STATES_MIN = 400;

interface CutsOptions {
  /** Of so many states one is judged, and one of each kind in each scenario. */
  readonly oneIn: number;
  /** Scenarios of which no recovery is cut. */
  readonly isUpdateOnly?: (scenario: Scenario) => boolean;
  /** `apply_strategy` of what is announced. */
  readonly strategy?: string;
  readonly statesMin?: number;
}

export function describeCuts(
  title: string,
  scenarios: readonly Scenario[],
  { oneIn, isUpdateOnly, strategy, statesMin = STATES_MIN }: CutsOptions,
): void {
  describe(title, async () => {
    const seed = seedOfRun();
    // The time must not change the bytes written: two equal states are one state.
    before(() => mock.timers.enable({ apis: ['Date'], now: NOW }));
    after(() => mock.timers.reset());
    const release = await new Release(strategy).with(...ANNOUNCED);
    const judge = new Judge(release);
    for (const scenario of scenarios) {
      it(`leaves a complete old or new version: ${scenario.name}`, async (t) => {
        const hooksFolder = await sickHooks(t, scenario.sick);
        const { operations, states, judged, wrong } = await explore({
          ...{ scenario, release, judge, hooksFolder, share: new Share(oneIn, seed) },
          updateOnly: isUpdateOnly?.(scenario) ?? false,
        });
        t.diagnostic(`${judged} of ${states} states after ${operations} operations`);
        assert.deepEqual(wrong.slice(0, 5), []);
      });
    }
    it('and says how many states that were', (t) => {
      t.diagnostic(`crash states visited: ${judge.states} (${new Share(oneIn, seed).said})`);
      assert.ok(judge.states > statesMin, `only ${judge.states} states`);
    });
  });
}
