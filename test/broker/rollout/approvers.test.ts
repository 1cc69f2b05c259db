/** A wave that two users have to approve, with a real controller and store; only time is the test's. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { lapse } from '../../../broker/rollout/operator-commands.ts';
import type { Controller } from '../../../broker/rollout/controller.ts';
import { previewCommands } from '../../../broker/rollout/command-preview.ts';
import { beginRun, parseRun, encodeRun, plansOf } from '../../../broker/rollout/record.ts';
import { takeOver } from '../../../broker/rollout/takeover.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import type { RobotId } from '../../../shared/base/ids.ts';
import { openAnnouncement, type RolloutFields } from '../../../shared/formats/announcement.ts';
import { openProgress, signProgress } from '../../../shared/formats/progress.ts';
import { seedSigner } from '../../../shared/crypto/ed25519.ts';
import { cohortFraction } from '../../../shared/rules/rollout-rules.ts';
import { endedWave, statusWord, waitsFor } from '../../../shared/rules/rollout-words.ts';
import type { Scope } from '../../helpers/scope.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { startApi } from '../api.ts';
import { makeToken } from '../../../broker/access/credentials.ts';
import { ControllerWorld, openStore } from '../controller-world.ts';

const fraction = (robot: string): number => cohortFraction('test', robot as RobotId);
/** In the order in which waves reach them. */
const ORDER = ['r1', 'r2', 'r3'].toSorted((a, b) => fraction(a) - fraction(b));
const PAIR = { approve_after: [1], approvers: 2, published_by: 'pub' };
const GATES = { batch_s: 2, evidence_wait_s: 5 };

/** `x` 1.1.0 on one robot of two; its first wave has passed, or waits for its gate. */
async function lead(scope: Scope, more: Partial<RolloutFields> = {}, hasPassed = true) {
  const folder = await tempFolder(scope);
  const world = new ControllerWorld();
  const store = await openStore(folder);
  scope.after(async () => await store.close());
  for (const robot of ORDER) {
    world.online(robot);
    world.say(robot, {});
  }
  await world.announce(await world.rollout('x', '1.1.0', { gates: GATES, ...PAIR, ...more }));
  const controller = await world.start(store);
  await world.pass(controller, 3);
  if (hasPassed) {
    world.installed(ORDER[0] ?? '', 'x', '1.1.0');
    await world.pass(controller, 40);
  }
  return { world, controller };
}

async function say(
  controller: Controller,
  user: string | null,
  command: 'approve' | 'force-open' = 'approve',
): Promise<string> {
  try {
    const wave = controller.view('x')?.wave ?? 1;
    await controller.command('x', command, { who: user ?? 'local', user, reason: 'test', wave });
    return 'taken';
  } catch (error) {
    assert.ok(error instanceof DroverError);
    return error.code;
  }
}

describe('a wave that two users have to approve', () => {
  it('opens after the second user, and the record and the history name both', async (t) => {
    const { world, controller } = await lead(t);
    assert.equal(controller.view('x')?.waits_for, 'approval');
    assert.match(
      controller.view('x')?.approval?.text ?? '',
      /0 of 2: waits for 2 users other than pub/,
    );
    assert.equal(await say(controller, 'pub'), 'APPROVER_IS_PUBLISHER');
    assert.equal(await say(controller, null), 'APPROVER_UNKNOWN');
    assert.equal(await say(controller, 'ana'), 'taken');
    assert.equal(await say(controller, 'ana'), 'taken', 'again, and nothing changes');
    await world.pass(controller, 20);
    assert.equal(world.progress('x')?.wave, 1);
    assert.deepEqual(world.progress('x')?.approved_by, ['ana']);
    const view = controller.view('x');
    assert.deepEqual(view?.approval?.by, ['ana']);
    assert.match(view?.approval?.text ?? '', /1 of 2: waits for another user than ana and pub/);
    assert.equal(await say(controller, 'ben'), 'taken');
    await world.pass(controller, 3);
    assert.equal(world.progress('x')?.wave, 2);
    const said = (await controller.history('x', 0, 100)).filter(({ kind }) => kind === 'approved');
    assert.deepEqual(
      said.map(({ by, text }) => [by, text]),
      [
        ['ana', 'approve of wave 1 by ana (1 of 2): test'],
        ['ben', 'approve of wave 1 by ben (2 of 2): test'],
      ],
    );
  });

  it('says in its status line who is asked, and offers the page what this user may do', async (t) => {
    const { world, controller } = await lead(t);
    await say(controller, 'ana');
    const [listed] = world.views();
    assert.ok(listed);
    const told = { ...listed, run: controller.view('x'), led: 'here' };
    assert.equal(statusWord(told), 'rolling');
    const run = told.run && { ...told.run, status: 'halted', recall: true };
    const ended = (running: number) => ({ ...told, run, robots: { ...told.robots, running } });
    assert.equal(statusWord(ended(0)), 'rolled back');
    assert.equal(statusWord(ended(1)), 'halted, 1 robot still runs it');
    assert.equal(endedWave(ended(1)), 'stopped');
    assert.equal(
      waitsFor(told, world.nowMs),
      'for another user than ana and pub (1 of 2): drover rollout approve x',
    );
    const facts = controller.facts('x');
    assert.ok(facts);
    const of = (user: string | null) =>
      previewCommands(facts, { user }).find(({ command }) => command === 'approve');
    assert.match(of('ana')?.refusal?.message ?? '', /you have approved it already; 1 of 2: waits/);
    assert.equal(of('pub')?.refusal?.code, 'APPROVER_IS_PUBLISHER');
    assert.equal(of(null)?.refusal?.code, 'APPROVER_UNKNOWN');
    assert.equal(of('ben')?.refusal, null);
    assert.match(of('ben')?.effect ?? '', /1 of 2: waits .*when all have approved it/);
  });

  it('is not opened by force-open: that ends its gate, and the two users are still asked', async (t) => {
    const { world, controller } = await lead(t, {}, false);
    assert.equal(await say(controller, 'ana'), 'APPROVAL_TOO_EARLY');
    assert.equal(await say(controller, 'pub', 'force-open'), 'taken');
    await world.pass(controller, 10);
    assert.equal(world.progress('x')?.wave, 1);
    assert.equal(controller.view('x')?.waits_for, 'approval');
    assert.match(world.progress('x')?.reasons.join() ?? '', /was forced open and 0 of 2: waits/);
    assert.equal(await say(controller, 'ana'), 'taken');
    await world.pass(controller, 5);
    assert.equal(world.progress('x')?.wave, 1);
    assert.equal(await say(controller, 'ben'), 'taken');
    await world.pass(controller, 5);
    assert.equal(world.progress('x')?.wave, 2);
  });

  it('never opens with fewer, in whatever order users give commands', async (t) => {
    const { world, controller } = await lead(t);
    const users = ['pub', null, 'ana', 'ana', null, 'pub', 'ana'];
    for (let at = 0; at < users.length; at += 1) {
      await say(controller, users[at] ?? null, at % 3 === 2 ? 'force-open' : 'approve');
      await world.pass(controller, 3);
      assert.equal(world.progress('x')?.wave, 1, `after word ${at}`);
    }
    await say(controller, 'ben');
    await world.pass(controller, 3);
    assert.equal(world.progress('x')?.wave, 2);
  });

  it('takes from another controller the users, and no approval without enough of them', async (t) => {
    const { world } = await lead(t, {}, false);
    const { trust, seeds } = world.fleet;
    const bytes = world.carrier.retained.get('fleet/updates');
    assert.ok(bytes);
    const [plan] = plansOf(openAnnouncement(bytes, trust), trust);
    const heard = world.progress('x');
    assert.ok(plan && heard);
    const heardAs = async (approved_by?: string[]) => {
      const { expires_at, issued_at, wave_opened_at, places: _, ...same } = heard;
      const iso = (ms: number): string => new Date(ms).toISOString();
      const times = { expires_at: iso(expires_at), issued_at: iso(issued_at) };
      const fields = { ...same, ...times, approved: [1], ...(approved_by && { approved_by }) };
      const signed = await signProgress(
        { ...fields, ...(approved_by === undefined && { approved_by: undefined }) },
        [seedSigner(seeds.rollout)],
      );
      assert.ok(wave_opened_at !== undefined);
      return takeOver(null, plan, openProgress(signed, trust), world.nowMs);
    };
    assert.deepEqual((await heardAs())?.approved, [], 'a controller of 0.1 asked one person');
    assert.deepEqual((await heardAs(['ana']))?.approved, []);
    assert.deepEqual((await heardAs(['ana']))?.approvedBy, [{ wave: 1, users: ['ana'] }]);
    assert.deepEqual((await heardAs(['ana', 'pub']))?.approved, []);
    assert.deepEqual((await heardAs(['ana', 'ben']))?.approved, [1]);
  });

  it('is asked of one user as ever where a rollout asks for one, and old records are read', async (t) => {
    const { world, controller } = await lead(t, { approvers: 1 });
    assert.equal(await say(controller, null), 'taken');
    await world.pass(controller, 3);
    assert.equal(world.progress('x')?.wave, 2);
    const { trust } = world.fleet;
    const bytes = world.carrier.retained.get('fleet/updates');
    assert.ok(bytes);
    const [plan] = plansOf(openAnnouncement(bytes, trust), trust);
    assert.ok(plan);
    const { approvedBy, ...old } = beginRun(plan, 0);
    assert.deepEqual(approvedBy, []);
    const read = parseRun(new TextEncoder().encode(JSON.stringify(old)));
    assert.deepEqual(parseRun(encodeRun(read)), beginRun(plan, 0));
  });
});

it('over HTTP the token names the user, whatever the request says', async (t) => {
  const { world, controller } = await lead(t);
  const named = (username: string) => ({ token: makeToken(), username });
  const [pub, ana, ben] = [named('pub'), named('ana'), named('ben')];
  const users = [pub, ana, ben].map(({ token, username }) => ({
    username,
    role: 'publisher' as const,
    token_sha256: token.sha256,
  }));
  const api = await startApi(t, { protected: true, controller, rollouts: ['x'], users });
  const approve = async ({ token }: ReturnType<typeof named>): Promise<string> => {
    const response = await api.get('/rollouts/x/approve', {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token.token}` },
      body: JSON.stringify({ by: 'ben', wave: 1 }),
    });
    const answer = (await response.json()) as { error?: { code: string } };
    return `${response.status} ${answer.error?.code ?? 'taken'}`;
  };
  assert.equal(await approve(pub), '403 APPROVER_IS_PUBLISHER');
  assert.equal(await approve(ana), '200 taken');
  assert.equal(await approve(ana), '200 taken');
  await world.pass(controller, 5);
  assert.equal(world.progress('x')?.wave, 1);
  assert.equal(await approve(ben), '200 taken');
  await world.pass(controller, 5);
  assert.equal(world.progress('x')?.wave, 2);
});

describe('the approval of a user who may not approve any more', () => {
  const rollout = { approvers: 2, published_by: 'pub', approve_after: [1] };
  const plan = { rollout } as unknown as Parameters<typeof lapse>[1];
  const run = {
    ...{ rollout: 'x', status: 'rolling', wave: 1, approved: [1] },
    approvedBy: [
      { wave: 0, users: ['ana'] },
      { wave: 1, users: ['ana', 'ben'] },
    ],
  } as unknown as Parameters<typeof lapse>[0];

  it('counts no more before the next wave opens, and the history says so', () => {
    const step = lapse(run, plan, (user) => user !== 'ana');
    assert.deepEqual(step.run.approved, []);
    assert.deepEqual(step.run.approvedBy, [
      { wave: 0, users: ['ana'] },
      { wave: 1, users: ['ben'] },
    ]);
    assert.match(step.audit[0]?.text ?? '', /wave 1 by ana counts no more: .*\(1 of 2\)/);
    assert.ok(step.isNews);
  });

  it('changes nothing while all may, without users, or once it is over', () => {
    assert.equal(lapse(run, plan, () => true).run, run);
    assert.equal(lapse(run, plan, undefined).run, run);
    const over = { ...run, status: 'complete' as const };
    assert.equal(lapse(over, plan, () => false).run, over);
  });

  it('does not take back what enough others have approved', () => {
    const three = { ...run, approvedBy: [{ wave: 1, users: ['ana', 'ben', 'cem'] }] };
    assert.deepEqual(lapse(three, plan, (user) => user !== 'ana').run.approved, [1]);
  });
});
