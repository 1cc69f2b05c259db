/**
 * A rollout as the API shows it: the evidence of its gate, the reason and end of its wait, requests
 * for an operator, and the record that is left once it is announced no more. Behind it stands a
 * real controller; only time is the test's.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RunView } from '../../../broker/rollout/rollout-view.ts';
import type { RolloutView } from '../../../broker/rollout/views.ts';
import type { RolloutFields } from '../../../shared/formats/announcement.ts';
import type { Scope } from '../../helpers/scope.ts';
import { leadTen, type TenRobots } from '../ten-robots.ts';

type Shown = RolloutView & { readonly run: RunView | null };

interface Led extends TenRobots {
  show(id?: string): Promise<Shown>;
}

/** A controller that leads `x-1` to ten robots, the first of which is a canary. */
async function lead(scope: Scope, more: Partial<RolloutFields> = {}): Promise<Led> {
  const { world, controller, api } = await leadTen(scope, more);
  const show = async (id = 'x-1'): Promise<Shown> => {
    const response = await api.get(`/rollouts/${id}`);
    assert.equal(response.status, 200, await response.clone().text());
    return (await response.json()) as Shown;
  };
  return { world, controller, api, show };
}

/** Its canary has it and does its work; the others go on with the old version. */
async function soak({ world, controller }: Led, tasks: number | null): Promise<void> {
  const did = tasks === null ? {} : { tasks_completed: tasks };
  for (const part of [0, 1]) {
    world.installed('r0', 'x-1', '2.0.0', { run_s: 60 * part, ...did });
    for (let at = 1; at < 10; at += 1) {
      const usage = [{ stint: 1, version: '1.0.0', run_s: 60 * part, tasks_completed: 50 * part }];
      world.say(`r${at}`, { usage });
    }
    await world.pass(controller, 125);
  }
}

const atMs = (instant: string | null | undefined): number => Date.parse(instant ?? '');

describe('a rollout over HTTP', () => {
  it('says who the canaries are and after which waves a person is asked', async (t) => {
    const { show } = await lead(t);
    const { canaries, approve_after: approvals, announced } = await show();
    assert.deepEqual(canaries, { robots: ['r0'], tags: [] });
    assert.deepEqual(approvals, [0]);
    assert.equal(announced, true);
  });

  it('says until when a wave soaks, and until when it waits for evidence after that', async (t) => {
    const led = await lead(t, { waves: [{ percent: 100, soak_s: 100 }] });
    const before = (await led.show()).run;
    assert.equal(before?.soak_until, null, 'the canary has not reported');
    assert.equal(before?.evidence_until, null);
    led.world.installed('r0', 'x-1', '2.0.0');
    await led.world.pass(led.controller, 2);
    const { run } = await led.show();
    const beganMs = atMs(run?.soak_until) - 100_000;
    assert.ok(beganMs <= led.world.nowMs && beganMs > led.world.nowMs - 3_000);
    const lastFirstReports = 2 * 120_000; // of tasks, for two batches; hours were reported
    const endMs = beganMs + 8 * 100_000 + lastFirstReports;
    assert.equal(atMs(run?.evidence_until), endMs, 'eight soaks, then what is gathered');
  });

  it('takes the wait for evidence that the rollout announces', async (t) => {
    const waves = [{ percent: 100, soak_s: 100 }];
    const led = await lead(t, { waves, gates: { evidence_wait_s: 5_000 } });
    led.world.installed('r0', 'x-1', '2.0.0');
    await led.world.pass(led.controller, 2);
    const { run } = await led.show();
    assert.equal(atMs(run?.evidence_until) - atMs(run?.soak_until), 4_900_000 + 240_000);
  });

  it('names no end where the new version does none of the tasks that the old one does', async (t) => {
    const led = await lead(t);
    await soak(led, null);
    const { run } = await led.show();
    assert.equal(run?.waits_for, 'evidence');
    assert.match(run.gate?.reasons.join('\n') ?? '', /the new version has reported nothing yet/);
    assert.equal(run.evidence_until, null);
  });

  it('waits for robots that came while it soaked, and names no moment for that', async (t) => {
    const own = { canaries: { robots: [] }, approve_after: [], gates: { report_share_min: 0.8 } };
    const led = await lead(t, { ...own, waves: [{ percent: 100, soak_s: 10 }] });
    const { world, controller } = led;
    for (let at = 0; at < 10; at += 1) world.installed(`r${at}`, 'x-1', '2.0.0');
    await world.pass(controller, 3);
    assert.equal((await led.show()).run?.waits_for, 'soak');
    for (let at = 10; at < 20; at += 1) {
      world.online(`r${at}`);
      world.say(`r${at}`, {});
    }
    await world.pass(controller, 20);
    const { run } = await led.show();
    assert.deepEqual([run?.waits_for, run?.evidence_until], ['robots', null]);
    assert.match(run?.approval?.text ?? '', /it waits for robots to end their update;/);
  });

  it('shows of a wave that has just opened no numbers of the wave before', async (t) => {
    const waves = [
      { percent: 50, soak_s: 0 },
      { percent: 100, soak_s: 0 },
    ];
    const { world, controller, show } = await lead(t, { approve_after: [], waves });
    world.installed('r0', 'x-1', '2.0.0');
    for (let tries = 0; controller.view('x-1')?.wave === 0 && tries < 600; tries += 1) {
      await world.pass(controller, 1);
    }
    assert.equal(controller.view('x-1')?.wave, 1);
    assert.equal((await show()).run?.attempts?.installed ?? 0, 0);
  });

  it('has no gate that holds once it is over', async (t) => {
    const led = await lead(t, { waves: [{ percent: 100, soak_s: 0 }] });
    assert.equal((await led.show()).run?.gate?.kind, 'hold');
    await led.controller.command('x-1', 'abort', { who: 'erin', reason: '' });
    const { run } = await led.show();
    assert.deepEqual([run?.status, run?.gate], ['halted', null]);
  });

  it('is still there when it is announced no more: what became of it, and whom it reached', async (t) => {
    const led = await lead(t, { approve_after: [] });
    const { world, controller } = led;
    world.installed('r0', 'x-1', '2.0.0');
    await world.pass(controller, 3);
    world.failed('r1', 'x-1', '2.0.0');
    await world.announce(await world.rollout('x-2', '3.0.0'));
    await world.pass(controller, 2);
    const { rollouts } = (await (await led.api.get('/rollouts')).json()) as { rollouts: Shown[] };
    assert.deepEqual(
      rollouts.map(({ id }) => id),
      ['x-2'],
    );
    const ended = await led.show();
    assert.equal(ended.announced, false);
    assert.deepEqual([ended.component, ended.version], ['app', '2.0.0']);
    assert.deepEqual([ended.status, ended.run?.withdrawn], ['withdrawn', true]);
    assert.deepEqual([ended.run?.status, ended.run?.waits_for], ['withdrawn', null]);
    assert.deepEqual(ended.waves, []);
    const counts = {
      targeted: 2,
      running: 1,
      went_on: 0,
      in_progress: 0,
      failed: 1,
      waiting: 0,
      recalled: 0,
      excluded: {},
    };
    assert.deepEqual(ended.robots, counts);
    assert.equal((await led.api.get('/rollouts/x-3')).status, 404);
    assert.equal((await led.api.get('/rollouts/x-3/history')).status, 404);
    assert.equal((await led.api.get('/rollouts/x-1/history?after=99999')).status, 200);
  });

  it('says what took its place, also after what it had come to before', async (t) => {
    const led = await lead(t, { approve_after: [] });
    const { world, controller } = led;
    await world.announce(await world.rollout('x-2', '3.0.0', { supersedes: ['x-1'] }));
    await world.pass(controller, 2);
    const ended = await led.show();
    assert.deepEqual([ended.status, ended.run?.superseded_by], ['superseded', 'x-2']);
    assert.equal(ended.run?.waits_for, null);
    await controller.command('x-1', 'abort', { who: 'kim', reason: '' });
    const halted = await led.show();
    assert.deepEqual([halted.status, halted.run?.superseded_by], ['halted', 'x-2']);
    // It came back into the list: it goes on where it was.
    await world.announce(await world.rollout('x-1', '2.0.0'));
    await world.pass(controller, 2);
    assert.equal((await led.show()).run?.superseded_by, null);
  });
});
