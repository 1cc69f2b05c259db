/** Commands in the first seconds of a rollout or of its controller. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { notLeading } from '../../../broker/rollout/early-command.ts';
import type { Controller } from '../../../broker/rollout/controller.ts';
import { sayUntilLed } from '../../../publisher/rollout/api-client.ts';
import { toSecond } from '../../../shared/base/durations.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { withTempFolder } from '../../helpers/temp-folder.ts';
import { ControllerWorld, openStore } from '../controller-world.ts';

const ROBOTS = Array.from({ length: 20 }, (_, at) => `r${at + 1}`);
const GATES = { batch_s: 2, evidence_wait_s: 12 };

const kindsOf = async (controller: Controller): Promise<string[]> =>
  (await controller.history('x', 0, 100)).map((one) => one.kind).filter((one) => one !== 'held');

const refusedWith = (code: string) => (error: unknown) =>
  error instanceof DroverError && error.code === code;

/** A controller that has just started: it leads, and no first wave is open yet. */
async function early(run: (world: ControllerWorld, controller: Controller) => Promise<void>) {
  await withTempFolder(async (folder) => {
    const world = new ControllerWorld();
    const store = await openStore(folder);
    for (const robot of ROBOTS) world.online(robot);
    const controller = await world.start(store, { startMs: 60_000 });
    while (!controller.isLeading) await world.pass(controller, 1);
    await world.announce(await world.rollout('x', '1.1.0', { gates: GATES }));
    await run(world, controller);
    await store.close();
  });
}

test('an abort right after publish is carried out before a wave opens, and none opens later', async () => {
  await early(async (world, controller) => {
    assert.equal(controller.view('x'), null);
    await controller.command('x', 'abort', { who: 'kim', reason: 'the wrong one' });
    const told = world.progress('x');
    assert.deepEqual([told?.status, told?.threshold], ['halted', 0]);
    await world.pass(controller, 100);
    assert.deepEqual([world.progress('x')?.status, world.progress('x')?.threshold], ['halted', 0]);
    assert.deepEqual(await kindsOf(controller), ['announced', 'aborted']);
  });
});

test('a pause right after publish holds the first wave until a person resumes it', async () => {
  await early(async (world, controller) => {
    await controller.command('x', 'pause', { who: 'kim', reason: '' });
    await world.pass(controller, 100);
    assert.deepEqual([world.progress('x')?.status, world.progress('x')?.threshold], ['paused', 0]);
    assert.equal(controller.view('x')?.opened, false, 'a pause opens no wave');
    await controller.command('x', 'resume', { who: 'kim', reason: '' });
    await world.pass(controller, 2);
    const opened = (await controller.history('x', 0, 100)).find(({ kind }) => kind === 'opened');
    assert.equal(controller.view('x')?.wave_opened_at, toSecond(opened?.at ?? ''));
    const told = world.progress('x');
    assert.equal(told?.status, 'rolling');
    assert.ok((told?.threshold ?? 0) > 0);
    assert.deepEqual(await kindsOf(controller), ['announced', 'paused', 'resumed', 'opened']);
  });
});

test('an approval before the first wave is refused for the reason for which no wave is open', async () => {
  await early(async (_world, controller) => {
    for (const word of ['pause', 'resume'] as const) {
      await controller.command('x', word, { who: 'kim', reason: '' });
    }
    const approve = controller.command('x', 'approve', { who: 'kim', reason: '' });
    await assert.rejects(approve, /no wave is open yet: a controller that has just started looks/);
  });
});

test('canaries begin with wave 0 and count in it, also after a pause and a resume before it opened', async () => {
  await early(async (world, controller) => {
    const rollout = await world.rollout('x', '1.1.0', {
      gates: GATES,
      canaries: { robots: ['r7'], tags: [], soak_s: 2 },
      approve_after: [0],
    });
    await world.announce(rollout);
    for (const word of ['pause', 'resume'] as const) {
      await controller.command('x', word, { who: 'kim', reason: '' });
    }
    assert.equal(world.progress('x')?.status, 'paused', 'no wave is open yet');
    world.installed('r7', 'x', '1.1.0'); // it followed another controller
    await world.pass(controller, 100);
    assert.equal(world.progress('x')?.status, 'rolling');
    const view = controller.view('x');
    assert.deepEqual([view?.attempts?.installed, view?.waits_for], [1, 'approval']);
  });
});

test('a rollback right after publish ends as halted, and other words are asked to wait', async () => {
  await early(async (world, controller) => {
    for (const word of ['approve', 'resume', 'force-open'] as const) {
      await assert.rejects(
        controller.command('x', word, { who: 'kim', reason: 'now', wave: 1 }),
        refusedWith('NOT_LED_YET'),
      );
    }
    await controller.command('x', 'rollback', { who: 'kim', reason: '' });
    await world.pass(controller, 2);
    assert.deepEqual([world.progress('x')?.status, world.progress('x')?.recall], ['halted', true]);
  });
});

test('a controller without a key of the root in force says so, and promises no take-over', async () => {
  const problem = {
    code: 'ENVELOPE_KEY_UNKNOWN',
    message: 'no key',
    hint: 'put it there',
  } as const;
  const error = notLeading('pause rollout x', { kind: 'none', leftMs: 4_000 }, problem);
  assert.deepEqual([error.code, error.hint], ['NOT_LEADING', 'put it there']);
  assert.match(error.message, /^pause rollout x: this controller cannot: no key$/);
});

test('a controller that follows none says when it takes over; one that follows another names it', async () => {
  await withTempFolder(async (folder) => {
    const world = new ControllerWorld();
    const store = await openStore(folder);
    await world.announce(await world.rollout('x', '1.1.0', { gates: GATES }));
    const controller = await world.start(store, { isAlone: false });
    await world.pass(controller, 1);
    await assert.rejects(
      controller.command('x', 'abort', { who: 'kim', reason: '' }),
      /no controller leads yet, this one takes over .*\(in about \d+s\)/,
    );
    await store.close();
  });
});

test('the command line says it again until the rollout is led, and tells the person once', async () => {
  const answers = ['NOT_LED_YET', 'NOT_LED_YET', 'ok'] as const;
  let tries = 0;
  const said: string[] = [];
  const post = (): Promise<Uint8Array> => {
    const answer = answers[tries++] ?? 'ok';
    if (answer === 'ok') return Promise.resolve(new Uint8Array([1]));
    return Promise.reject(new DroverError(answer, 'abort rollout x: in about 3s'));
  };
  await sayUntilLed(
    { post },
    '/rollouts/x/abort',
    async () => ({}),
    (line) => said.push(line),
  );
  assert.equal(tries, 3);
  assert.deepEqual(said, ['abort rollout x: in about 3s; said again for at most 120 s']);
  const refuse = () => Promise.reject(new DroverError('NOT_LEADING', 'no'));
  await assert.rejects(
    sayUntilLed({ post: refuse }, '/x', async () => ({})),
    refusedWith('NOT_LEADING'),
  );
});
