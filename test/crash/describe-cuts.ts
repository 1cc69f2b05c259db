/** The walk through scenarios as tests: one for each, and a count of the states at the end. */

import assert from 'node:assert/strict';
import { after, before, describe, it, mock } from 'node:test';
import { explore } from './explore.ts';
import { Judge } from './judge.ts';
import { NOW, Release } from './robot.ts';
import { ANNOUNCED, type Scenario } from './scenarios.ts';
import { sickHooks } from './sick-hooks.ts';

/** @param isUpdateOnly of which scenarios no recovery is cut */
export function describeCuts(
  title: string,
  scenarios: readonly Scenario[],
  isUpdateOnly: (scenario: Scenario) => boolean,
): void {
  describe(title, async () => {
    // What is written must not depend on when: two equal states are one state.
    before(() => mock.timers.enable({ apis: ['Date'], now: NOW }));
    after(() => mock.timers.reset());
    const release = await Release.of(...ANNOUNCED);
    const judge = new Judge(release);
    for (const scenario of scenarios) {
      it(`leaves a complete old or new version: ${scenario.name}`, async (t) => {
        const hooksFolder = await sickHooks(t, scenario.sick);
        const { operations, states, wrong } = await explore({
          ...{ scenario, release, judge, hooksFolder, updateOnly: isUpdateOnly(scenario) },
        });
        t.diagnostic(`${states} states after ${operations} operations`);
        assert.deepEqual(wrong.slice(0, 5), []);
      });
    }
    it('and says how many states that were', (t) => {
      t.diagnostic(`crash states visited: ${judge.states}`);
      assert.ok(judge.states > 1000, `only ${judge.states} states`);
    });
  });
}
