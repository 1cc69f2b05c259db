import assert from 'node:assert/strict';
import { after, before, describe, it, mock } from 'node:test';
import { explore } from '../crash/explore.ts';
import { Judge } from '../crash/judge.ts';
import { NOW, Release } from '../crash/robot.ts';
import { ANNOUNCED, SCENARIOS } from '../crash/scenarios.ts';
import { sickHooks } from '../crash/sick-hooks.ts';

describe('a kill, or a power cut in mid-recovery, after any operation of a long scenario', async () => {
  before(() => mock.timers.enable({ apis: ['Date'], now: NOW }));
  after(() => mock.timers.reset());
  const release = await Release.of(...ANNOUNCED);
  const judge = new Judge(release);
  for (const scenario of SCENARIOS.filter((one) => one.isLong === true)) {
    it(`leaves a complete old or new version: ${scenario.name}`, async (t) => {
      const hooksFolder = await sickHooks(t, scenario.sick);
      const { operations, states, wrong } = await explore({
        ...{ scenario, release, judge, hooksFolder },
      });
      t.diagnostic(`${states} states after ${operations} operations`);
      assert.deepEqual(wrong.slice(0, 5), []);
    });
  }
});
