import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Controller } from '../../../broker/rollout/controller.ts';
import type { RolloutStore } from '../../../broker/rollout/store.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { withTempFolder } from '../../helpers/temp-folder.ts';
import { ControllerWorld, openStore } from '../controller-world.ts';
import { fraction, GATES, ORDER, play, ROBOTS } from '../twenty-robots.ts';

const kindsOf = async (controller: Controller): Promise<string[]> =>
  (await controller.history('x', 0, 100)).map((one) => one.kind);

const refusedWith = (code: string) => (error: unknown) =>
  error instanceof DroverError && error.code === code;

test('a good version goes through its waves, each after its soak, and ends complete', async () => {
  await play({}, async ({ world, controller }) => {
    const first = world.progress('x');
    assert.deepEqual([first?.status, first?.wave], ['rolling', 1]);
    const canaries = ORDER.filter((one) => fraction(one) < (first?.threshold ?? 0));
    assert.ok(canaries.length >= 1 && canaries.length < ROBOTS.length / 2);
    for (const robot of canaries) world.installed(robot, 'x', '1.1.0');
    await world.pass(controller, 9);
    assert.equal(world.progress('x')?.wave, 1, 'the soak is not over');
    await world.pass(controller, 8);
    assert.deepEqual([world.progress('x')?.wave, world.progress('x')?.threshold], [2, 1]);
    for (const robot of ROBOTS) world.installed(robot, 'x', '1.1.0');
    await world.pass(controller, 20);
    assert.equal(world.progress('x')?.status, 'complete');
    const kinds = (await kindsOf(controller)).filter((one) => one !== 'held');
    assert.deepEqual(kinds, ['announced', 'opened', 'passed', 'opened', 'passed', 'completed']);
    assert.deepEqual(
      world.called.map((one) => one.kind),
      ['completed'],
    );
  });
});

test('a canary that fails halts the rollout, and a robot that took it is called back', async () => {
  await play({ min_canaries: 3 }, async ({ world, controller }) => {
    const [a = '', b = '', c = ''] = ORDER;
    world.installed(a, 'x', '1.1.0');
    world.failed(b, 'x', '1.1.0');
    world.failed(c, 'x', '1.1.0');
    await world.pass(controller, 2);
    const told = world.progress('x');
    assert.deepEqual([told?.status, told?.recall, told?.wave], ['rolling_back', true, 1]);
    assert.match(told?.reasons[0] ?? '', /1 of 3 updates succeeded/);
    world.say(a, { version: '1.0.0', blocked: ['1.1.0'] });
    await world.pass(controller, 2);
    assert.equal(world.progress('x')?.status, 'halted');
    assert.equal(world.progress('x')?.recall, true, 'for robots that come back later');
    await assert.rejects(
      controller.command('x', 'resume', { who: 'kim', reason: '' }),
      refusedWith('ROLLOUT_FINAL'),
    );
  });
});

test('a crash rate far above the control group halts while the wave still soaks', async () => {
  await play({ min_canaries: 2 }, async ({ world, controller }) => {
    const [a = '', b = '', ...others] = ORDER;
    for (let turn = 1; turn <= 6; turn += 1) {
      const tasks = { tasks_completed: turn * 5, run_s: turn * 60 };
      for (const one of [a, b]) {
        world.installed(one, 'x', '1.1.0', { ...tasks, crashes: turn * 3, tasks_failed: turn * 3 });
      }
      for (const one of others) {
        world.say(one, {
          usage: [{ stint: 1, version: '1.0.0', ...tasks, run_s: 600 + turn * 60 }],
        });
      }
      await world.pass(controller, 1);
    }
    assert.equal(world.progress('x')?.status, 'rolling_back');
    assert.match(world.progress('x')?.reasons[0] ?? '', /crashes in .* robot-hours/);
  });
});

test('a report that comes twice or late counts once', async () => {
  await play({ min_canaries: 2 }, async ({ world, controller }) => {
    const [a = '', b = ''] = ORDER;
    for (const one of [a, b]) world.installed(one, 'x', '1.1.0', { crashes: 1, run_s: 60 });
    await world.pass(controller, 1);
    world.installed(a, 'x', '1.1.0', { crashes: 0, run_s: 30 });
    await world.pass(controller, 1);
    world.installed(a, 'x', '1.1.0', { crashes: 1, run_s: 60 });
    await world.pass(controller, 1);
    const text = controller.view('x')?.gate?.evidence.find((one) => one.metric === 'crash')?.text;
    assert.match(text ?? '', /^2 crashes in 0\.03 robot-hours on the new version/);
  });
});

test('the command of a person is kept with the name, and survives the process', async () => {
  await play({}, async ({ world, controller, reopen }) => {
    await controller.command('x', 'pause', { who: 'kim', reason: 'line 2 is down' });
    assert.equal(world.progress('x')?.status, 'paused');
    assert.deepEqual(world.progress('x')?.reasons, ['pause by kim: line 2 is down']);
    await assert.rejects(
      controller.command('x', 'approve', { who: 'kim', reason: '' }),
      refusedWith('ROLLOUT_COMMAND_INVALID'),
    );
    world.carrier.leave(controller);
    const next = await reopen();
    await world.pass(next, 5);
    assert.equal(world.progress('x')?.status, 'paused', 'a new process does not resume it');
    const seq = world.progress('x')?.seq ?? 0;
    await next.command('x', 'resume', { who: 'lee', reason: '' });
    assert.equal(world.progress('x')?.status, 'rolling');
    assert.ok((world.progress('x')?.seq ?? 0) > seq);
    const by = (await next.history('x', 0, 100)).map((one) => [one.kind, one.by]);
    assert.ok(by.some(([kind, who]) => kind === 'paused' && who === 'kim'));
    assert.ok(by.some(([kind, who]) => kind === 'resumed' && who === 'lee'));
  });
});

test('a wave that wants a person waits, calls, and goes on when one approves', async () => {
  await play({ approve_after: [1] }, async ({ world, controller }) => {
    for (const robot of ORDER.slice(0, 12)) world.installed(robot, 'x', '1.1.0');
    await world.pass(controller, 20);
    assert.equal(controller.view('x')?.waits_for, 'approval');
    assert.deepEqual(
      world.called.map((one) => one.kind),
      ['awaiting_approval'],
    );
    await world.pass(controller, 100);
    assert.equal(world.progress('x')?.wave, 1, 'patience opens nothing');
    await controller.command('x', 'approve', { who: 'kim', reason: 'looks fine' });
    await world.pass(controller, 2);
    assert.equal(world.progress('x')?.wave, 2);
    assert.deepEqual(world.progress('x')?.approved, [1]);
  });
});

test('an abort leaves what is installed, a rollback after it still takes it back', async () => {
  await play({}, async ({ world, controller }) => {
    world.installed(ORDER[0] ?? '', 'x', '1.1.0');
    await world.pass(controller, 2);
    await controller.command('x', 'abort', { who: 'kim', reason: '' });
    assert.deepEqual([world.progress('x')?.status, world.progress('x')?.recall], ['halted', false]);
    await controller.command('x', 'rollback', { who: 'kim', reason: '' });
    assert.equal(world.progress('x')?.status, 'rolling_back');
    await world.pass(controller, 2);
    assert.equal(world.progress('x')?.status, 'rolling_back', 'one robot still runs it');
  });
});

test('a second controller follows, and leads when the first has been silent for a lease', async () => {
  await play({}, async ({ world, controller }) => {
    await withTempFolder(async (folder) => {
      const store = await openStore(folder);
      const second = await world.start(store, { isAlone: false });
      await world.pass([controller, second], 60);
      assert.equal(controller.view('x')?.leading, true);
      const [led, followed] = [controller.view('x'), second.view('x')];
      assert.equal(followed?.leading, false);
      assert.deepEqual(
        [followed?.wave, followed?.status, followed?.threshold, followed?.approval],
        [led?.wave, led?.status, led?.threshold, null],
        'who follows shows what the leader tells',
      );
      await assert.rejects(
        second.command('x', 'pause', { who: 'kim', reason: '' }),
        (error: unknown) =>
          refusedWith('NOT_LEADING')(error) &&
          /: controller-\w+ leads, not this one/.test(`${error}`),
      );
      await assert.rejects(
        second.command('never-announced', 'pause', { who: 'kim', reason: '' }),
        refusedWith('NOT_FOUND'),
      );
      const before = world.progress('x');
      world.carrier.leave(controller); // it is gone without a word
      await world.pass(second, 30);
      const after = world.progress('x');
      assert.equal(second.view('x')?.leading, true);
      assert.deepEqual(
        [after?.wave, after?.threshold, after?.status],
        [before?.wave, before?.threshold, before?.status],
      );
      assert.ok((after?.seq ?? 0) > (before?.seq ?? 0) + 1_000_000, 'a term lies between them');
      // The first wakes up: it receives the other's lease and says nothing more.
      world.carrier.join(controller);
      await world.pass([controller, second], 40);
      assert.equal(controller.view('x')?.leading, false);
      assert.equal(second.view('x')?.leading, true);
      await store.close();
    });
  });
});

test('robots that come after the last wave are watched: if they fail, it halts', async () => {
  await play({ waves: [{ percent: 100, soak_s: 1 }], min_canaries: 1 }, async (stage) => {
    const { world, controller } = stage;
    for (const robot of ROBOTS) world.installed(robot, 'x', '1.1.0');
    await world.pass(controller, 20);
    assert.equal(world.progress('x')?.status, 'complete');
    for (const robot of ['late-1', 'late-2', 'late-3']) {
      world.online(robot);
      world.failed(robot, 'x', '1.1.0');
    }
    await world.pass(controller, 2);
    assert.equal(world.progress('x')?.status, 'rolling_back');
  });
});

test('explicit canaries come in a wave of their own, before any percent', async () => {
  await play({ canaries: { robots: ['r7'] } }, async ({ world, controller }) => {
    assert.deepEqual([world.progress('x')?.wave, world.progress('x')?.threshold], [0, 0]);
    world.installed('r7', 'x', '1.1.0');
    await world.pass(controller, 30);
    assert.equal(world.progress('x')?.wave, 1);
    assert.ok((world.progress('x')?.threshold ?? 0) >= 0.1);
  });
});

test('a rollout that is announced no more is published no more, unless a recall is still owed', async () => {
  await play({}, async ({ world, controller }) => {
    world.installed(ORDER[0] ?? '', 'x', '1.1.0');
    await world.pass(controller, 2);
    await controller.command('x', 'rollback', { who: 'kim', reason: '' });
    await world.announce();
    const seq = world.progress('x')?.seq ?? 0;
    world.nowMs += 20 * 3_600_000;
    await world.pass(controller, 30);
    assert.ok((world.progress('x')?.seq ?? 0) > seq, 'a robot may still return');
    assert.ok((await kindsOf(controller)).includes('withdrawn'));
  });
});

test('an emergency is one wave for everybody, and still halts by itself', async () => {
  await play({ emergency: true }, async ({ world, controller }) => {
    const told = world.progress('x');
    assert.deepEqual([told?.status, told?.threshold], ['rolling', 1]);
    const [first] = await controller.history('x', 0, 1);
    assert.match(first?.text ?? '', /as an emergency: everybody now/);
    assert.match(first?.by ?? '', /^key [0-9a-f]{16}$/, 'the key that declared it');
    for (const robot of ROBOTS.slice(0, 10)) world.failed(robot, 'x', '1.1.0');
    await world.pass(controller, 2);
    assert.deepEqual([world.progress('x')?.status, world.progress('x')?.recall], ['halted', true]);
  });
});

test('rollouts for different robots go on side by side, and one that halts stops no other', async () => {
  await withTempFolder(async (folder) => {
    const world = new ControllerWorld();
    const store = await openStore(folder);
    for (const robot of ROBOTS) {
      world.online(robot);
      const tags = [Number(robot.slice(1)) % 2 === 0 ? 'even' : 'odd'];
      world.say(robot, { usage: [{ stint: 1, version: '1.0.0', run_s: 600 }] }, { tags });
    }
    const waves = [{ percent: 100, soak_s: 1 }];
    const gates = GATES;
    await world.announce(
      await world.rollout('evens', '1.1.0', { waves, gates, target: { tags: ['even'] } }),
      await world.rollout('odds', '1.2.0', { waves, gates, target: { tags: ['odd'] } }),
    );
    const controller = await world.start(store);
    await world.pass(controller, 3);
    for (const robot of ROBOTS) {
      if (Number(robot.slice(1)) % 2 === 0) world.installed(robot, 'evens', '1.1.0', {}, ['even']);
      else world.failed(robot, 'odds', '1.2.0', ['odd']);
    }
    await world.pass(controller, 20);
    assert.equal(world.progress('evens')?.status, 'complete');
    assert.equal(world.progress('odds')?.recall, true);
    assert.equal(controller.view('evens')?.attempts?.cohort, 0, 'none of the odd ones is counted');
    await store.close();
  });
});

test('the history says when the announcement was signed, which may be long before a controller leads', async () => {
  await play({}, async ({ world, controller }) => {
    const rollout = await world.rollout('y', '1.1.0', { gates: GATES });
    const signed = (seq: number, issued_at: string): Promise<void> =>
      world.carrier.publish('fleet/updates', world.fleet.announce(seq, [rollout], { issued_at }));
    await signed(8, '2026-05-31T23:58:53Z');
    await signed(9, '2026-05-31T23:59:30Z'); // renewed before a controller led it
    await world.pass(controller, 3);
    const [first] = await controller.history('y', 0, 9);
    assert.equal(first?.text, '1.1.0 was announced (signed 2026-05-31T23:58:53Z)');
    assert.ok((first?.at ?? '') > '2026-06-01');
  });
});

test('an announcement of yesterday ends nothing that was announced since', async () => {
  await play({}, async ({ world, controller }) => {
    const old = world.fleet.announce(1, []);
    await world.announce(await world.rollout('x', '1.1.0', { gates: GATES }));
    await world.carrier.publish('fleet/updates', old);
    await world.pass(controller, 3);
    assert.ok(!(await kindsOf(controller)).includes('withdrawn'));
    assert.equal(world.progress('x')?.status, 'rolling');
  });
});

test('a restart that finds an older announcement, or none, says of nothing that it was withdrawn', async () => {
  await withTempFolder(async (folder) => {
    const world = new ControllerWorld();
    for (const robot of ROBOTS) world.online(robot);
    await world.announce();
    const older = world.carrier.retained.get('fleet/updates') ?? new Uint8Array();
    await world.announce(await world.rollout('x', '1.1.0', { gates: GATES }));
    const store = await openStore(folder);
    const before = await world.start(store);
    await world.pass(before, 3);
    world.carrier.leave(before);
    for (const kept of [older, null]) {
      if (kept) world.carrier.retained.set('fleet/updates', kept);
      else world.carrier.retained.delete('fleet/updates');
      const after = await world.start(store);
      await world.pass(after, 20);
      assert.ok(!(await kindsOf(after)).includes('withdrawn'));
      assert.equal(after.view('x')?.withdrawn, false);
      world.carrier.leave(after);
    }
    const last = await world.start(store);
    await world.announce();
    await world.pass(last, 20);
    assert.ok((await kindsOf(last)).includes('withdrawn'), 'a newer one does say so');
    await store.close();
  });
});

test('counts that a full disk did not take are counted when it has room again', async () => {
  await withTempFolder(async (folder) => {
    const world = new ControllerWorld();
    const store = await openStore(folder);
    const [a = ''] = ORDER;
    world.online(a);
    world.say(a, { usage: [{ stint: 1, version: '1.0.0', run_s: 600 }] });
    await world.announce(await world.rollout('x', '1.1.0', { gates: GATES }));
    let isFull = false;
    const disk: RolloutStore = {
      enter: (self) => store.enter(self),
      load: () => store.load(),
      remove: (id) => store.remove(id),
      history: (...page) => store.history(...page),
      raiseTermFloor: (term) => store.raiseTermFloor(term),
      save: (what) => (isFull ? Promise.reject(new Error('ENOSPC')) : store.save(what)),
    };
    const controller = await world.start(disk);
    await world.pass(controller, 3);
    isFull = true;
    world.installed(a, 'x', '1.1.0', { crashes: 2, run_s: 60 });
    await assert.rejects(world.pass(controller, 1), /ENOSPC/);
    isFull = false;
    await world.pass(controller, 1);
    const crash = controller.view('x')?.gate?.evidence.find((one) => one.metric === 'crash');
    assert.match(crash?.text ?? '', /^2 crashes/);
    await store.close();
  });
});
