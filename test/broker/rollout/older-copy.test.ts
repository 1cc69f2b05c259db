import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMITS } from '../../../shared/base/limits.ts';
import { termAt } from '../../../shared/rules/freshness.ts';
import type { ControllerWorld } from '../controller-world.ts';
import { GATES, ORDER, play, ROBOTS } from '../twenty-robots.ts';

const refuseLast = (world: ControllerWorld, robot: string, rollout = 'x'): void =>
  world.say(
    robot,
    {},
    {
      progress_refused: [
        { rollout, code: 'ANNOUNCEMENT_REPLAYED', seq: world.progress(rollout)?.seq ?? 0 },
      ],
    },
  );

test('a controller that robots show to be an older copy pauses what rolls, and calls a person', async () => {
  await play({}, async ({ world, controller }) => {
    const other = await world.rollout('y', '1.2.0', { target: { tags: [], robots: ['r7'] } });
    const x = await world.rollout('x', '1.1.0', { gates: GATES });
    await world.announce(x, other);
    await world.pass(controller, 2);
    refuseLast(world, 'r1');
    await world.pass(controller, 2);
    refuseLast(world, 'r2');
    await world.pass(controller, 6);
    for (const id of ['x', 'y']) {
      const view = controller.view(id);
      assert.equal(view?.status, 'paused', `${id}: it may have been stopped as well`);
      assert.match(view?.reasons.join() ?? '', /older copy.*drover rollout resume/);
      assert.equal(world.progress(id)?.status, 'paused', 'told in a term that robots accept');
    }
    const seq = world.progress('x')?.seq ?? 0;
    assert.ok(seq > termAt(world.nowMs - 60_000) * LIMITS.seqsPerTerm);
    assert.ok(world.called.some(({ kind, rollout }) => kind === 'paused' && rollout === 'x'));
    const texts = (await controller.history('x', 0, 100)).map(({ text }) => text).join('\n');
    assert.match(texts, /r1 and 1 more heard later progress.*what was rolling is paused/);
    for (const robot of ROBOTS) world.installed(robot, 'x', '1.1.0', { run_s: 60 });
    await world.pass(controller, 60);
    assert.equal(controller.view('x')?.status, 'paused', 'nothing opens by itself');
    await controller.command('x', 'resume', { who: 'anna', reason: 'nobody stopped it' });
    await world.pass(controller, 90);
    assert.equal(controller.view('x')?.status, 'complete');
  });
});

test('the only robot that is on is believed; what a person stopped or called back stays so', async () => {
  await play({}, async ({ world, controller }) => {
    for (const robot of ROBOTS.slice(1)) world.online(robot, false);
    const more = { target: { tags: [], robots: ['r1'] } };
    await world.announce(
      await world.rollout('x', '1.1.0', { gates: GATES }),
      await world.rollout('y', '1.2.0', more),
      await world.rollout('z', '1.3.0', more),
    );
    await world.pass(controller, 2);
    await controller.command('y', 'abort', { who: 'anna', reason: '' });
    await controller.command('z', 'rollback', { who: 'anna', reason: '' });
    world.installed('r1', 'z', '1.3.0');
    await world.pass(controller, 2);
    refuseLast(world, 'r1', 'y');
    await world.pass(controller, 40);
    const statuses = ['x', 'y', 'z'].map((id) => controller.view(id)?.status);
    assert.deepEqual(statuses, ['paused', 'halted', 'halted']);
  });
});

test('while others may refuse as well no wave opens, and a gate halts all the same', async () => {
  const one = { waves: [{ percent: 10, soak_s: 5 }, { percent: 100 }], gates: GATES };
  await play(one, async ({ world, controller }) => {
    const [a = '', b = '', c = ''] = ORDER;
    refuseLast(world, c);
    await world.pass(controller, 1);
    for (const robot of [a, b]) world.installed(robot, 'x', '1.1.0', { run_s: 3_600 });
    await world.pass(controller, 15);
    assert.equal(controller.view('x')?.wave, 1);
    for (const robot of [a, b]) world.failed(robot, 'x', '1.1.0');
    await world.pass(controller, 2);
    assert.notEqual(controller.view('x')?.status, 'rolling');
  });
});

test('one robot among several pauses nothing, though its rollout is for it alone', async () => {
  await play({}, async ({ world, controller }) => {
    const x = await world.rollout('x', '1.1.0', { gates: GATES });
    const own = { target: { tags: [], robots: ['r1'] } };
    await world.announce(x, await world.rollout('y', '1.2.0', own));
    await world.pass(controller, 2);
    refuseLast(world, 'r1', 'y');
    await world.pass(controller, 40);
    assert.equal(controller.view('x')?.status, 'rolling');
    const texts = (await controller.history('y', 0, 100)).map(({ text }) => text).join('\n');
    assert.match(texts, /r1 alone says.*19 others do not.*nothing is paused/);
  });
});

test('a controller whose data was put back goes on in a term that robots accept, once an hour at most', async () => {
  await play({}, async ({ world, controller }) => {
    const told = world.progress('x')?.seq ?? 0;
    const refuse = (seq: number, code = 'ANNOUNCEMENT_REPLAYED') =>
      world.say('r1', {}, { progress_refused: [{ rollout: 'x', code, seq }] });
    refuse(told - 1);
    await world.pass(controller, 2);
    refuse(told, 'ANNOUNCEMENT_AHEAD');
    await world.pass(controller, 2);
    assert.ok(controller.isLeading, 'an older word, or another reason, says nothing of our data');
    refuse(told);
    await world.pass(controller, 30);
    const seq = world.progress('x')?.seq ?? 0;
    assert.ok(controller.isLeading && seq > termAt(world.nowMs - 60_000) * LIMITS.seqsPerTerm);
    const kinds = (await controller.history('x', 0, 100)).map(({ kind }) => kind);
    assert.ok(kinds.includes('took_over') && !kinds.includes('paused'));
    for (let at = 0; at < 5; at += 1) {
      refuse(world.progress('x')?.seq ?? 0);
      await world.pass(controller, 3);
      assert.ok(controller.isLeading, 'a robot that lies is not heard again at once');
    }
  });
});
