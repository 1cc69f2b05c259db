/** The components of a set with a system image, of which the first waits for a place of a budget. */

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { decideOffer } from '../../../robot-client/update/decide.ts';
import { SetBoard, type SetSeat } from '../../../robot-client/update/set-board.ts';
import { memberViewOf } from '../../../robot-client/update/set-verdict.ts';
import { freshState, type Job, type MachineState } from '../../../robot-client/update/state.ts';
import type { RolloutSet } from '../../../shared/formats/announcement.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { announce, factsOf, makeRollout, makeWorld } from '../world.ts';

const NAMES = ['app', 'system'] as const;
type Name = (typeof NAMES)[number];

function jobsOf(): Record<Name, Job> {
  const world = makeWorld();
  const taken = NAMES.map((name) => {
    const rollout = makeRollout(world, { version: '1.1.0', name }, { id: `r-${name}` });
    const { verdict } = decideOffer(
      announce(world, [rollout]),
      factsOf(world, { component: name }),
    );
    if (verdict.kind !== 'take') throw new Error('the world is broken');
    return verdict.job;
  });
  const members = taken.map(({ rollout, version, payloadSha256 }, at) => ({
    ...{ rollout, component: NAMES[at], version, payload_sha256: payloadSha256 },
  })) as unknown as RolloutSet['members'];
  const set = { id: 's1' as RolloutSet['id'], members, image: 'system' as never };
  const [app, system] = taken.map((job) => ({ ...job, set }));
  if (!app || !system) throw new Error('the world is broken');
  return { app, system };
}

/** Both are staged. `ask` counts how often each was asked whether it is ready. */
class Machine {
  readonly asked = { app: 0, system: 0 };
  readonly #board = new SetBoard();
  readonly #states: Record<Name, MachineState>;
  readonly #seats: Record<Name, SetSeat>;
  readonly #signal: AbortSignal;

  constructor(t: TestContext) {
    const ended = new AbortController();
    t.after(() => ended.abort());
    this.#signal = ended.signal;
    const jobs = jobsOf();
    const staged = (name: Name): MachineState => ({
      ...{ ...freshState(), phase: 'waiting', job: jobs[name] },
    });
    this.#states = { app: staged('app'), system: staged('system') };
    const view = (name: Name) =>
      memberViewOf(this.#states[name], { active: '1.0.0', rollback: null });
    const join = (name: Name): SetSeat =>
      this.#board.join(name, { view: () => view(name), goBack: async () => {} });
    this.#seats = { app: join('app'), system: join('system') };
  }

  untilAllReady(name: Name): Promise<unknown> {
    const ask = async () => {
      this.asked[name] += 1;
      return null;
    };
    const on = { signal: this.#signal, onWaiting: () => {} };
    return this.#seats[name].untilAllReady(on, { ask, everyMs: 1 });
  }

  swap(name: Name): void {
    this.#states[name] = { ...this.#states[name], phase: 'swapping' };
    this.#board.changed();
  }
}

test('the others are asked again and again until the first component stops', async (t) => {
  const machine = new Machine(t);
  let isThrough = false;
  const system = machine.untilAllReady('system').then(() => (isThrough = true));
  await machine.untilAllReady('app');
  // The application may wait for its place now, longer than an answer of the system counts.
  const { system: before } = machine.asked;
  await waitUntil('the system is asked again', () => machine.asked.system > before + 3);
  assert.equal(isThrough, false);
  await machine.untilAllReady('app');
  assert.equal(isThrough, false);
  machine.swap('app');
  await system;
});
