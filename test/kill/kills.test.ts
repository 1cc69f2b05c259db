/** The short version of `npm run bench -- kills 1000`: the same campaign, other kills every time. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seedOfRun } from '../helpers/run-seed.ts';
import { runCampaign } from './campaign.ts';
import { planUpdate } from './kill-plan.ts';

const KILLS = 10;

test('an agent that is killed at any instant of an update boots the old or the new release', async (t) => {
  const seed = seedOfRun();
  t.diagnostic(`seed ${seed}`);
  const result = await runCampaign(t, { kills: KILLS, seed, robots: 2 });
  assert.deepEqual(result.violations, []);
  assert.ok(result.kills >= KILLS);
  const phases = [...result.killsByPhase].map(([phase, kills]) => `${phase} ${kills}`);
  t.diagnostic(`${result.kills} kills: ${phases.join(', ')}; ${result.recoveries} recoveries`);
});

test('a seed plays the same plan again, and seeds together aim at every phase', () => {
  assert.deepEqual(planUpdate(7), planUpdate(7));
  const aims = new Set<string>();
  for (let seed = 0; seed < 200; seed += 1) {
    for (const { moment } of planUpdate(seed).kills) {
      aims.add(moment.kind === 'phase' ? moment.phase : moment.kind);
    }
  }
  const phases = ['checking', 'downloading', 'verifying', 'staging', 'waiting', 'swapping'];
  assert.deepEqual([...aims].sort(), [...phases, 'instant', 'probation', 'rolling_back'].sort());
});
