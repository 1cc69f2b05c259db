import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  freshState,
  type LastUpdate,
  type MachineState,
} from '../../../robot-client/update/state.ts';
import { isWatched, type Heard } from '../../../robot-client/fleet/reporter.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import type { Progress } from '../../../shared/formats/progress.ts';
import { announce, makeRollout, makeWorld, NOW } from '../world.ts';

const world = makeWorld();
const ROLLOUTS = ['1.1.0', '1.2.0'].map((version) => makeRollout(world, { version }));
const ANNOUNCEMENT = announce(world, ROLLOUTS);
const RESTING = { state: freshState() };

function heard(...statuses: (Progress['status'] | null)[]): Heard {
  const known = statuses.flatMap((status, at) => {
    const id = ANNOUNCEMENT.rollouts[at]?.id ?? '';
    return status === null ? [] : [[id, { status }] as const];
  });
  return { announcement: ANNOUNCEMENT, progress: new Map(known) };
}

function updated(endedAtMs: number, more: Partial<MachineState> = {}): { state: MachineState } {
  const lastUpdate: LastUpdate = {
    ...{ rollout: 'app-1-1-0', version: '1.1.0', outcome: 'rolled_back', code: 'UNHEALTHY' },
    ...{ startedAtMs: endedAtMs - 1_000, endedAtMs, bytes: 1 },
    ...{ deltaFrom: null, deltaFailed: null },
  };
  return { state: { ...freshState(), lastUpdate, ...more } };
}

describe('an idle robot is watched', () => {
  it('while a rollout that is announced is not known to be over', () => {
    assert.equal(isWatched({ announcement: null, progress: new Map() }, [RESTING], NOW), false);
    assert.equal(isWatched(heard('complete', 'halted'), [RESTING], NOW), false);
    for (const status of ['rolling', 'paused', 'rolling_back', null] as const) {
      assert.equal(isWatched(heard('complete', status), [RESTING], NOW), true, `${status}`);
    }
  });

  it('for a day after its last update, also when its clock was put back', () => {
    const over = heard('complete', 'complete');
    const day = LIMITS.watchedAfterUpdateMs;
    const answers = [NOW, NOW - day + 1, NOW + day - 1, NOW - day, NOW + day].map((endedAtMs) =>
      isWatched(over, [RESTING, updated(endedAtMs)], NOW),
    );
    assert.deepEqual(answers, [true, true, true, false, false]);
  });

  it('while one of its components is at work', () => {
    const at = updated(0, { phase: 'waiting' });
    assert.equal(isWatched(heard('complete', 'complete'), [RESTING, at], NOW), true);
  });
});
