/** Hooks that every user may write from some phase of an update on: the update reports it, and goes on after. */

import assert from 'node:assert/strict';
import { chmodSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { CATALOGUE } from '../../../shared/base/error-catalogue.ts';
import type { Phase } from '../../../shared/formats/messages.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet } from '../bench.ts';

const HOOKS = ['ready', 'stop', 'start', 'health', 'rolled-back'];

/** A robot whose folder of hooks is opened to all as soon as a phase begins. */
async function openFrom(t: TestContext, phase: Phase): Promise<Bench> {
  const bench = await Bench.open(t);
  for (const name of HOOKS) await bench.hook(name, 'exit 0');
  bench.onPhase = (now) => {
    if (now === phase) chmodSync(bench.hooks, 0o777);
  };
  bench.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
  return bench;
}

function shut(bench: Bench): void {
  bench.onPhase = () => {};
  chmodSync(bench.hooks, 0o755);
}

describe('hooks that others may write since', { concurrency: true }, () => {
  it('an update waits for the robot hold it there, with the reason, until they are shut', async (t) => {
    const bench = await openFrom(t, 'waiting');
    const reason =
      /^the ready hook \(.* may be written by others .*chmod go-w .*\(PROGRAM_UNSAFE\)/;
    const isTold = (): boolean => reason.test(bench.component.view.live.waitingFor ?? '');
    await waitUntil('the reason to be told', isTold, { look: () => bench.describe() });
    assert.equal(bench.component.view.version, '1.0.0');
    shut(bench);
    await bench.runs('1.1.0');
  });

  for (const phase of ['swapping', 'probation'] as const) {
    it(`an update is ${phase} take it back when they are shut, and block no version`, async (t) => {
      const bench = await openFrom(t, phase);
      const last = () => bench.component.view.state.lastProblem;
      const isTold = (): boolean => last()?.code === 'ROLLBACK_FAILED';
      await waitUntil('the way back to fail', isTold, { look: () => bench.describe() });
      assert.equal(bench.component.view.state.phase, 'rolling_back');
      // A version on probation runs, so it is stopped before anything else starts.
      const step =
        phase === 'probation' ? 'stop 1\\.1\\.0: hook stop' : 'start 1\\.0\\.0 again: hook start';
      assert.match(last()?.message ?? '', new RegExp(`^${step}: .*: chmod go-w \\S+$`));
      assert.equal(last()?.hint, `PROGRAM_UNSAFE: ${CATALOGUE.PROGRAM_UNSAFE.hint}`);
      assert.ok(bench.codes.includes('PROGRAM_UNSAFE'), 'the cause has its own code');
      shut(bench);
      await bench.runs('1.0.0');
      assert.deepEqual(bench.component.view.state.blocked, []);
      await bench.component.retry();
      await bench.runs('1.1.0');
    });
  }
});
