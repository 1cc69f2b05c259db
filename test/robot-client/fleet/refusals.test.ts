import assert from 'node:assert/strict';
import { it } from 'node:test';
import { reportComponent } from '../../../robot-client/fleet/report.ts';
import { DroverError, toProblem } from '../../../shared/base/errors.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench } from '../bench.ts';

const fleet = makeFleet();
const REPLAYED = toProblem(new DroverError('ANNOUNCEMENT_REPLAYED', 'a test'));
const EXPIRED = toProblem(new DroverError('ANNOUNCEMENT_EXPIRED', 'a test'));

it('an announcement refused beside a valid one is reported until another is accepted', async (t) => {
  const bench = await Bench.open(t);
  const told = (): string | null => reportComponent(bench.component.view).last_error?.code ?? null;
  const looked = async (): Promise<void> => {
    bench.offer();
    await bench.component.refuse(EXPIRED, { stays: false }); // after the check, so it is reported
    assert.equal(told(), 'ANNOUNCEMENT_EXPIRED');
  };
  bench.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
  await waitUntil('the update', () => bench.component.view.version === '1.1.0');
  await waitUntil('rest', () => bench.component.view.state.phase === 'idle');
  await bench.component.refuse(REPLAYED, { stays: true });
  for (let look = 0; look < 3; look += 1) bench.offer(); // a hook, a clean-up, progress of anything
  await bench.component.unblock('9.9.9'); // comes behind those looks
  assert.equal(told(), 'ANNOUNCEMENT_REPLAYED');
  bench.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
  await waitUntil('a new announcement to end it', () => told() === null);
  // A later check may take a refusal back: a clock was put right.
  await looked();
  bench.offer();
  await waitUntil('a look to end it', () => told() === null);
});

it('a rollout that is for other robots does not hide what failed here', async (t) => {
  const { view } = (await Bench.open(t)).component;
  const told = (code: 'ARCH_WRONG' | 'NOT_NEWER' | 'RELEASE_BOUNDS'): string | undefined => {
    const problem = toProblem(new DroverError(code, 'a test'));
    const refusal = { version: '1.2.0', problem, atMs: 2000 };
    const failed = toProblem(new DroverError('HEALTH_FAILED', 'a test'));
    const lastProblem = { ...failed, version: '1.1.0', atMs: 1000 };
    const state = { ...view.state, lastProblem };
    return reportComponent({ ...view, state, live: { ...view.live, refusal } }).last_error?.code;
  };
  assert.equal(told('ARCH_WRONG'), 'HEALTH_FAILED');
  assert.equal(told('NOT_NEWER'), 'HEALTH_FAILED');
  assert.equal(told('RELEASE_BOUNDS'), 'RELEASE_BOUNDS');
});
