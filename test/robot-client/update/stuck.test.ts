/** The ways out of `stuck`: by itself after a while, and by a person at once. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  powerEvent,
  rollbackFailure,
  step,
  type Effect,
  type MachineEvent,
} from '../../../robot-client/update/machine.ts';
import { decideOffer } from '../../../robot-client/update/decide.ts';
import { freshState, type MachineState } from '../../../robot-client/update/state.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet } from '../bench.ts';
import { announce, factsOf, makeRollout, makeWorld } from '../world.ts';

const NOW = 1_800_000_000_000;
const problem = {
  code: 'ROLLBACK_FAILED',
  message: 'start 1.0.0 again: exit 1',
  hint: 'look',
} as const;

/** A component whose rollback failed too often. */
function makeStuck(): MachineState {
  const world = makeWorld();
  const offer = announce(world, [makeRollout(world, { version: '1.1.0' })]);
  const { verdict } = decideOffer(offer, factsOf(world));
  assert.ok(verdict.kind === 'take');
  const job = { ...verdict.job, cause: problem, rollbackAttempts: LIMITS.rollbackAttemptsMax };
  return { ...freshState(), phase: 'stuck', job };
}

function waitMs(effects: readonly Effect[]): number {
  const [effect] = effects;
  assert.ok(effect?.kind === 'waitStuck');
  return effect.inMs;
}

/** Tries again and fails as often as it takes to be stuck again. */
function failAgain(state: MachineState): { state: MachineState; waitMs: number } {
  let next = step(state, { kind: 'retried' }, NOW);
  assert.equal(next.state.phase, 'rolling_back');
  while (next.state.phase !== 'stuck') {
    next = step(next.state, rollbackFailure(next.state, problem), NOW);
  }
  return { state: next.state, waitMs: waitMs(next.effects) };
}

describe('a component that is stuck', () => {
  it('tries again by itself, less and less often, and never stops trying', () => {
    let state = makeStuck();
    const waits: number[] = [];
    for (let round = 0; round < 500; round += 1) {
      const again = failAgain(state);
      state = again.state;
      waits.push(again.waitMs);
    }
    assert.ok(waits.every((wait) => wait >= LIMITS.stuckRetryMsMin));
    assert.ok(waits.every((wait) => wait <= LIMITS.stuckRetryMsMax));
    assert.deepEqual(
      waits,
      waits.toSorted((a, b) => a - b),
    );
    assert.ok((waits.at(-1) ?? 0) > 2 * (waits[0] ?? 0));
    assert.equal(state.job?.version, '1.1.0', 'what is to be undone is not forgotten');
  });

  it('tries again soon after somebody turned it off and on', () => {
    let state = makeStuck();
    for (let round = 0; round < 10; round += 1) state = failAgain(state).state;
    const event: MachineEvent = powerEvent(state, 'agent', { bootsMax: 3 });
    const { effects, state: after } = step(state, event, NOW);
    assert.equal(after.phase, 'stuck');
    assert.ok(waitMs(effects) <= 2 * LIMITS.stuckRetryMsMin);
  });

  it('goes back as soon as a person has repaired the cause and says so', async (t) => {
    const bench = await Bench.open(t);
    await bench.hook('health', 'exit 70');
    await bench.hook('start', '[ "$DROVER_VERSION" = 1.1.0 ] || { echo no disk; exit 1; }');
    bench.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
    // A phase is persisted first, and acted on then.
    const isStuck = ({ state, live } = bench.component.view): boolean =>
      state.phase === 'stuck' && live.waitingFor !== null;
    const look = { look: () => bench.describe(), timeoutMs: 40_000 };
    await waitUntil('it to be stuck', isStuck, look);
    const { waitingFor, wakeAtMs } = bench.component.view.live;
    assert.equal(waitingFor, 'another try at the rollback');
    assert.ok((wakeAtMs ?? 0) > Date.now());
    await bench.heal();
    assert.equal(await bench.component.retry(), true);
    await bench.runs('1.0.0');
    const { blocked } = bench.component.view.state;
    assert.deepEqual(
      blocked.map(({ version, code }) => [version, code]),
      [['1.1.0', 'HEALTH_FAILED']],
    );
    assert.equal(await bench.component.retry(), false, 'nothing waits any more');
  });
});
