/** Kept classes of robots: in slices, for a bounded number of rollouts, and only of those asked for. */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Fleet } from '../../../broker/control/fleet.ts';
import { RolloutClasses } from '../../../broker/rollout/rollout-classes.ts';
import type { Classified } from '../../../broker/rollout/views.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { AT_MS, makeState } from '../reports.ts';

const ROBOTS = LIMITS.indexSliceRobots * 3;

function bigFleet(): Fleet {
  const fleet = new Fleet();
  for (let at = 0; at < ROBOTS; at += 1) fleet.applyState(makeState(`r${at}`), AT_MS);
  return fleet;
}

/** Counts how often robots are classified. */
function counting(id: string): Classified & { asked(): number } {
  let asked = 0;
  return {
    ...{ id, rules: '1', asked: () => asked },
    classOf: ({ state }) => {
      asked += 1;
      const isNew = state?.components[0]?.version === '2.0.0';
      return { kind: isNew ? 'installed' : 'candidate', why: null };
    },
  };
}

it('classifies a fleet in slices between which the event loop runs, then only robots that changed', async () => {
  const fleet = bigFleet();
  const classes = new RolloutClasses(fleet);
  const rollout = counting('x-1');
  let turns = 0;
  let isOver = false;
  const turn = (): void => {
    turns += 1;
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  await classes.catchUp([rollout]).finally(() => (isOver = true));
  assert.ok(turns >= 2, `${turns} turns`);
  assert.equal(rollout.asked(), ROBOTS);
  assert.deepEqual(classes.of(rollout), [[{ kind: 'candidate', why: null }, ROBOTS]]);
  fleet.applyState(makeState('r7', { version: '2.0.0' }), AT_MS);
  fleet.applyState(makeState('r7', { version: '2.0.0' }), AT_MS);
  assert.deepEqual(classes.of(rollout), [
    [{ kind: 'candidate', why: null }, ROBOTS - 1],
    [{ kind: 'installed', why: null }, 1],
  ]);
  assert.equal(rollout.asked(), ROBOTS + 1);
});

it('begins again for other rules, and forgets the rollout that was asked for longest ago', async () => {
  const fleet = new Fleet();
  fleet.applyState(makeState('r1'), AT_MS);
  const classes = new RolloutClasses(fleet);
  const rollout = counting('x-1');
  assert.equal(classes.of(rollout).length, 1);
  assert.equal(classes.of({ ...rollout, rules: '2', classOf: () => null }).length, 0);
  const others = Array.from({ length: LIMITS.countedRolloutsMax }, (_, at) => counting(`y-${at}`));
  await classes.catchUp(others);
  fleet.applyState(makeState('r2'), AT_MS);
  assert.equal(classes.of(others[0] ?? rollout)[0]?.[1], 2);
  classes.close();
  fleet.applyState(makeState('r3'), AT_MS);
});
