import assert from 'node:assert/strict';
import { describe, it, mock, before, after } from 'node:test';
import { explore } from './explore.ts';
import { Judge } from './judge.ts';
import { NOW, Release } from './robot.ts';
import { ANNOUNCED, SCENARIOS } from './scenarios.ts';
import { sickHooks } from './sick-hooks.ts';

describe('a power cut after any operation', async () => {
  // What is written must not depend on when: two equal states are one state.
  before(() => mock.timers.enable({ apis: ['Date'], now: NOW }));
  after(() => mock.timers.reset());
  const release = await Release.of(...ANNOUNCED);
  const judge = new Judge(release);
  for (const scenario of SCENARIOS) {
    it(`leaves a complete old or new version: ${scenario.name}`, async (t) => {
      const hooksFolder = await sickHooks(t, scenario.sick);
      const { operations, states, wrong } = await explore({
        ...{ scenario, release, judge, hooksFolder, updateOnly: scenario.isLong === true },
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
