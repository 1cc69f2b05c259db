/**
 * The robots of a rollout and the effects of commands, as the API answers them, with a real
 * controller behind it; only time is the test's.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CommandPreview } from '../../../broker/rollout/command-preview.ts';
import type { RolloutRobot, WaveCounts } from '../../../broker/rollout/rollout-robots.ts';
import { memberLines, parseMembers } from '../../../publisher/rollout/members.ts';
import type { RolloutFields } from '../../../shared/formats/announcement.ts';
import type { Scope } from '../../helpers/scope.ts';
import { startApi } from '../api.ts';
import { leadTen, type TenRobots } from '../ten-robots.ts';

interface Answer {
  readonly robots: readonly RolloutRobot[];
  readonly total: number;
  readonly next: string | null;
  readonly counts: Readonly<Record<string, number>>;
  readonly awaited: number;
  readonly waves: readonly WaveCounts[];
}

interface Led extends TenRobots {
  ask(query?: string): Promise<Answer>;
  /** Effects of the commands that would be taken, and codes of those that would not. */
  commands(): Promise<Readonly<Record<string, string>>>;
}

/** Ten robots on 1.0.0; `r0` is the canary of `x-1`. */
async function lead(scope: Scope, more: Partial<RolloutFields> = {}): Promise<Led> {
  const { world, controller, api } = await leadTen(scope, more);
  const ask = async (query = ''): Promise<Answer> => {
    const response = await api.get(`/rollouts/x-1/robots${query}`);
    assert.equal(response.status, 200, await response.clone().text());
    return (await response.json()) as Answer;
  };
  const commands = async () => {
    const answer = await (await api.get('/rollouts/x-1/commands')).json();
    const all = (answer as { commands: CommandPreview[] }).commands;
    return Object.fromEntries(
      all.map(({ command, refusal, effect }) => [command, refusal?.code ?? effect]),
    );
  };
  return { world, controller, api, ask, commands };
}

const reasons = ({ robots }: Answer): string[] =>
  robots.map(({ robot_id: id, code, reason }) => `${id} ${code}: ${reason}`);

describe('the robots of a rollout', () => {
  it('are named with what they wait for now, not with the problem of the rollout before', async (t) => {
    const { world, ask } = await lead(t);
    const last_error = { code: 'HEALTH_FAILED', message: 'confirm 1.2.0: sick', version: '1.2.0' };
    const job = { rollout: 'x-1', target_version: '2.0.0', phase: 'waiting' } as const;
    const waiting_for = 'the robot is busy: lifting a pallet';
    world.say('r0', { ...job, waiting_for, last_error });
    assert.deepEqual(reasons(await ask('?state=awaited')), [
      'r0 UPDATING: is waiting: the robot is busy: lifting a pallet',
    ]);
    const own = { code: 'DISK_SPACE_SHORT', message: 'no room', version: '2.0.0' };
    world.say('r0', { ...job, phase: 'downloading', last_error: own });
    assert.deepEqual(reasons(await ask('?state=awaited')), [
      'r0 DISK_SPACE_SHORT: is downloading; no room',
    ]);
  });

  it('wait for the start of the rollout, not for a wave, and say when it comes', async (t) => {
    const { ask } = await lead(t, { start_at: '2100-01-01T00:00:00Z' });
    const [first] = (await ask()).robots;
    assert.equal(first?.code, 'START_AWAITED');
    assert.match(first.reason, /^it starts at 2100-01-01T00:00:00Z, in \d+ days \(--start-at\)$/);
  });

  it('are named when a wave waits for them, with the reason', async (t) => {
    const { world, controller, ask } = await lead(t);
    assert.deepEqual(reasons(await ask('?state=awaited')), [
      'r0 NOT_BEGUN: its turn has come, and it has not begun',
    ]);
    const transfer = { bytes_done: 43, bytes_total: 100 };
    const job = { rollout: 'x-1', target_version: '2.0.0' };
    world.say('r0', { ...job, phase: 'downloading', transfer });
    await world.pass(controller, 1);
    assert.deepEqual(reasons(await ask('?state=awaited')), ['r0 UPDATING: is downloading, 43 %']);
    world.say('r0', { ...job, phase: 'waiting', waiting_for: 'carrying a pallet' });
    await world.pass(controller, 1);
    const [robot] = (await ask('?state=awaited')).robots;
    assert.deepEqual(
      [robot?.state, robot?.wave, robot?.reason],
      ['updating', 0, 'is waiting: carrying a pallet'],
    );
    world.installed('r0', 'x-1', '2.0.0');
    await world.pass(controller, 1);
    const after = await ask('?state=awaited');
    assert.deepEqual([after.robots, after.awaited], [[], 0]);
  });

  it('say why: offline, not their turn, a failure in the words of the robot', async (t) => {
    const { world, controller, ask } = await lead(t, { waves: [{ percent: 100, soak_s: 0 }] });
    world.online('r3', false);
    world.failed('r0', 'x-1', '2.0.0');
    await world.pass(controller, 2);
    const all = (await ask()).robots;
    const of = (id: string) => all.find((one) => one.robot_id === id);
    assert.deepEqual([of('r0')?.state, of('r0')?.code], ['failed', 'HEALTH_FAILED']);
    assert.equal(of('r0')?.reason, 'its update ended with HEALTH_FAILED, and went back to 1.0.0');
    assert.equal(of('r3')?.code, 'ROLLOUT_STOPPED', 'the gate has halted it');
    assert.deepEqual((await ask('?state=failed')).total, 1);
  });

  it('are named when they are offline and no other robot can end the wave, or the way back', async (t) => {
    const { world, controller, api, ask } = await lead(t);
    world.online('r0', false);
    await world.pass(controller, 2);
    const codes = async () =>
      (await ask('?state=awaited')).robots.map(({ robot_id: id, code }) => [id, code]);
    assert.deepEqual(await codes(), [['r0', 'OFFLINE']]);
    const shown = (await (await api.get('/rollouts/x-1')).json()) as { words: { waits: string } };
    assert.equal(shown.words.waits, 'for a robot of this wave to be online (offline: 1)');
    world.online('r0');
    world.installed('r0', 'x-1', '2.0.0');
    await world.pass(controller, 1);
    await controller.command('x-1', 'rollback', { who: 'kim', reason: '' });
    world.online('r0', false);
    await world.pass(controller, 1);
    assert.deepEqual(await codes(), [['r0', 'OFFLINE']]);
  });

  it('are counted for each wave, and each robot once', async (t) => {
    const { world, controller, ask } = await lead(t);
    world.installed('r0', 'x-1', '2.0.0');
    await world.pass(controller, 1);
    const { waves, counts, total } = await ask();
    assert.deepEqual(
      waves.map(({ wave, percent }) => [wave, percent]),
      [
        [0, null],
        [1, 10],
        [2, 100],
      ],
    );
    const sums = waves.map(({ robots }) => Object.values(robots).reduce((a, b) => a + b));
    assert.equal(
      sums.reduce((a, b) => a + b),
      total,
    );
    assert.equal(waves[0]?.robots.done, 1);
    assert.deepEqual([counts['done'], counts['waiting']], [1, 9]);
  });

  it('come in pages, and a wrong filter or limit is named', async (t) => {
    const { api, ask } = await lead(t);
    const first = await ask('?limit=4');
    assert.deepEqual([first.robots.length, first.total, first.next], [4, 10, 'r3']);
    const last = await ask('?limit=9&after=r3');
    assert.deepEqual([last.robots.map((one) => one.robot_id).at(0), last.next], ['r4', null]);
    assert.deepEqual((await ask('?state=done,waiting')).total, 10);
    const { error } = (await (await api.get('/rollouts/x-1/robots?limit=1000000000')).json()) as {
      error: { message: string };
    };
    assert.match(error.message, /got 1000000000, want a number from 1 to 999999999/);
    for (const query of ['state=lost', 'state=', 'limit=0', 'limit=x']) {
      const response = await api.get(`/rollouts/x-1/robots?${query}`);
      assert.equal(response.status, 400, query);
    }
    assert.equal((await api.get('/rollouts/x-9/robots')).status, 404);
  });

  it('are still known when it is no longer announced', async (t) => {
    const { world, controller, ask } = await lead(t);
    world.installed('r0', 'x-1', '2.0.0');
    await world.pass(controller, 1);
    await world.announce(await world.rollout('x-2', '3.0.0'));
    await world.pass(controller, 2);
    const { robots, waves } = await ask();
    assert.deepEqual(
      robots.map(({ robot_id: id, state, wave }) => [id, state, wave]),
      [['r0', 'done', null]],
    );
    assert.deepEqual(waves.length, 1);
  });

  it('are a table on a terminal, where no hostile text is raw', async (t) => {
    const { world, controller, api } = await lead(t);
    const hostile = '\u001b[2J<b>&\nsecond line';
    const job = { rollout: 'x-1', target_version: '2.0.0' };
    world.say('r0', { ...job, phase: 'waiting', waiting_for: hostile });
    await world.pass(controller, 1);
    const bytes = await (await api.get('/rollouts/x-1/robots?state=awaited')).arrayBuffer();
    const lines = memberLines(parseMembers(new Uint8Array(bytes)), 'awaited');
    assert.match(
      lines[1] ?? '',
      /^r0 {5}0 {5}updating, awaited {2}UPDATING {2}is waiting: <b>& \/ second line/,
    );
    assert.equal(lines.at(-1), '1 updating, 9 waiting; it waits for 1');
    assert.deepEqual(
      memberLines({ ...parseMembers(new Uint8Array(bytes)), robots: [] }, 'awaited'),
      ['it waits for no robot; 1 updating, 9 waiting; it waits for 1'],
    );
    const over = {
      ...parseMembers(new Uint8Array(bytes)),
      robots: [],
      counts: { failed: 1 },
      awaited: 0,
    };
    assert.deepEqual(memberLines(over, 'awaited'), [
      'it waits for no robot; 1 failed (name them: --state failed,went_back)',
    ]);
  });
});

describe('the commands of a rollout', () => {
  it('say what they would do to how many robots, and change nothing', async (t) => {
    const { world, controller, commands } = await lead(t);
    assert.deepEqual(await commands(), {
      approve: 'APPROVAL_TOO_EARLY',
      pause: 'no more robots join: 10 robots wait until it is resumed; 0 robots keep it',
      resume: 'ROLLOUT_COMMAND_INVALID',
      abort: 'it stops for good: 0 robots keep it, 10 robots never get it from this rollout',
      rollback: 'it stops for good: 0 robots go back; 10 robots never get it from this rollout',
    });
    world.installed('r0', 'x-1', '2.0.0');
    world.say('r1', { phase: 'downloading', rollout: 'x-1', target_version: '2.0.0' });
    await world.pass(controller, 1);
    const { abort, rollback } = await commands();
    const busy = '1 robot in the middle of it ends or stops';
    assert.equal(
      abort,
      `it stops for good: 1 robot keeps it, 8 robots never get it from this rollout; ${busy}`,
    );
    assert.equal(
      rollback,
      `it stops for good: 1 robot goes back; 8 robots never get it from this rollout; ${busy}`,
    );
    assert.equal(controller.view('x-1')?.status, 'rolling');
  });

  it('are the ones that the controller then takes', async (t) => {
    const { controller, commands } = await lead(t);
    const say = (command: 'pause' | 'resume' | 'rollback') =>
      controller.command('x-1', command, { who: 'kim', reason: '' });
    await say('pause');
    const paused = await commands();
    assert.equal(paused['pause'], 'ROLLOUT_COMMAND_INVALID');
    assert.equal(paused['resume'], 'it goes on where it was: 10 robots have not begun');
    await say('resume');
    await say('rollback');
    const over = await commands();
    assert.deepEqual(new Set(Object.values(over)), new Set(['ROLLOUT_FINAL']));
  });

  it('count robots that have nothing to go back to', async (t) => {
    const { world, controller, commands } = await lead(t);
    const ended = { started_at: AT, ended_at: AT, took_s: 1, bytes: 1 };
    const update = { rollout: 'x-1', version: '2.0.0', outcome: 'installed' as const, ...ended };
    world.say('r0', { version: '2.0.0', previous_version: null, last_update: update });
    await world.pass(controller, 1);
    const { rollback } = await commands();
    assert.match(rollback ?? '', /0 robots go back, 1 cannot;/);
  });

  it('are none on a broker that leads no rollouts', async (t) => {
    const api = await startApi(t, { rollouts: ['x-1'] });
    const answer = await (await api.get('/rollouts/x-1/commands')).json();
    assert.deepEqual(answer, { commands: [], led: 'nobody' });
  });
});

const AT = '2026-06-01T00:00:00Z';
