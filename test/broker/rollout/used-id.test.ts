/**
 * A rollout id is used again for another release: no state of the first opens a wave of the second.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decideOffer } from '../../../robot-client/update/decide.ts';
import { openAnnouncement } from '../../../shared/formats/announcement.ts';
import { releaseOf } from '../../../shared/rules/release-identity.ts';
import { parseRobotId } from '../../../shared/base/ids.ts';
import type { ControllerWorld } from '../controller-world.ts';
import { GATES, play, ROBOTS } from '../twenty-robots.ts';

const IN_WAVES = {
  waves: [
    { percent: 10, soak_s: 3_600 },
    { percent: 100, soak_s: 3_600 },
  ],
  gates: GATES,
};

/** The answer of a robot on 1.1.0 to the announcement and the progress that it gets. */
function wouldTake(world: ControllerWorld, id: string): string {
  const bytes = world.carrier.retained.get('fleet/updates');
  const progress = world.progress(id);
  assert.ok(bytes && progress);
  const { trust } = world.fleet;
  const { verdict } = decideOffer(openAnnouncement(bytes, trust), {
    ...{ robot: parseRobotId('r1'), component: 'app', arch: 'x86_64', tags: [] },
    ...{ version: '1.1.0', blocked: [], trust, joined: null, now: world.nowMs },
    progress: new Map([[progress.rollout, progress]]),
    completeSince: new Map([[progress.rollout, 0]]),
  });
  return verdict.kind;
}

test('a completed rollout hands its waves to no other release under its id [P-6.9]', async () => {
  await play({ waves: [{ percent: 100, soak_s: 1 }] }, async ({ world, controller }) => {
    for (const robot of ROBOTS) world.installed(robot, 'x', '1.1.0', { run_s: 3_600 });
    await world.pass(controller, 120);
    assert.equal(world.progress('x')?.status, 'complete');
    const before = world.progress('x')?.seq ?? 0;

    const next = await world.rollout('x', '1.2.0', IN_WAVES);
    await world.announce(next);
    assert.equal(wouldTake(world, 'x'), 'wait', 'also before the controller has reconciled');
    await world.pass(controller, 30);
    const progress = world.progress('x');
    assert.deepEqual([progress?.status, progress?.wave], ['rolling', 1]);
    assert.ok((progress?.threshold ?? 1) <= 0.2);
    assert.ok((progress?.seq ?? 0) > before);
    assert.equal(progress?.release, releaseOf(Buffer.from(next.manifest, 'base64')));
    const texts = (await controller.history('x', 0, 100)).map(({ text }) => text);
    assert.ok(
      texts.includes('1.2.0 was announced under the id of a rollout of 1.1.0: it begins anew'),
    );
  });
});

test('a rollout that was taken back does not take back or stop another release under its id', async () => {
  await play({ waves: [{ percent: 100, soak_s: 1 }] }, async ({ world, controller }) => {
    for (const robot of ROBOTS) world.installed(robot, 'x', '1.1.0');
    await controller.command('x', 'rollback', { who: 'kim', reason: '' });
    await world.pass(controller, 2);
    await world.announce();
    await world.pass(controller, 2);
    await world.announce(await world.rollout('x', '1.2.0', IN_WAVES));
    await world.pass(controller, 2);
    const view = controller.view('x');
    assert.deepEqual([view?.status, view?.recall, view?.version], ['rolling', false, '1.2.0']);
  });
});
