/**
 * The effects of operator commands, and of rollouts without an effect, on the waves of a rollout.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Controller } from '../../../broker/rollout/controller.ts';
import { obey } from '../../../broker/rollout/operator-commands.ts';
import { beginRun } from '../../../broker/rollout/record.ts';
import { pauseRestored } from '../../../broker/rollout/takeover.ts';
import { CATALOGUE } from '../../../shared/base/error-catalogue.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import type { RobotId } from '../../../shared/base/ids.ts';
import { openAnnouncement, type RolloutFields } from '../../../shared/formats/announcement.ts';
import { parseManifest } from '../../../shared/formats/manifest.ts';
import { releaseOf } from '../../../shared/rules/release-identity.ts';
import { cohortFraction } from '../../../shared/rules/rollout-rules.ts';
import { withTempFolder } from '../../helpers/temp-folder.ts';
import { ControllerWorld, openStore } from '../controller-world.ts';

const fraction = (robot: string): number => cohortFraction('test', robot as RobotId);
const ROBOTS = Array.from({ length: 20 }, (_, at) => `r${at + 1}`);
const ORDER = ROBOTS.toSorted((a, b) => fraction(a) - fraction(b));
const GATES = { batch_s: 2, evidence_wait_s: 12 };
const KIM = { who: 'kim', reason: 'because' };

type Play = (world: ControllerWorld, controller: Controller, folder: string) => Promise<void>;

/** Twenty robots that run `version`, and a controller that leads `x` 1.1.0. */
async function play(version: string, more: Partial<RolloutFields>, run: Play): Promise<void> {
  await withTempFolder(async (folder) => {
    const world = new ControllerWorld();
    const store = await openStore(folder);
    for (const robot of ROBOTS) {
      world.online(robot);
      world.say(robot, { version, usage: [{ stint: 1, version, run_s: 600 }] });
    }
    await world.announce(await world.rollout('x', '1.1.0', { gates: GATES, ...more }));
    const controller = await world.start(store);
    await world.pass(controller, 3);
    await run(world, controller, folder);
    await store.close();
  });
}

const refused = async (controller: Controller, command: 'approve' | 'force-open', more = {}) => {
  try {
    await controller.command('x', command, { ...KIM, ...more });
    return 'taken';
  } catch (error) {
    assert.ok(error instanceof DroverError);
    return error.code;
  }
};
const kindsOf = async (controller: Controller): Promise<string[]> =>
  (await controller.history('x', 0, 100)).map((one) => one.kind);
const WAVES = [10, 50, 100].map((percent) => ({ percent, soak_s: 10 }));

test('an approval that is not needed and one that comes too early are refused with their reasons', async () => {
  const cases: readonly (readonly [Partial<RolloutFields>, RegExp])[] = [
    [{ approve_after: [1] }, /has not passed its gate.*; an approval can be given after that$/],
    [{ approve_after: [] }, /; it needs no approval: the next one opens by itself after that$/],
    [{ waves: [{ percent: 50, soak_s: 10 }] }, /; it needs no approval: it is the last one$/],
  ];
  for (const [more, words] of cases) {
    await play('1.0.0', { waves: WAVES, ...more }, async (_world, controller) => {
      assert.match(controller.view('x')?.approval?.text ?? '', words);
    });
  }
  assert.match(CATALOGUE.APPROVAL_TOO_EARLY.hint, /whether it needs a person at all/);
});

test('three approvals in a row open nothing while nothing is installed', async () => {
  for (const approve_after of [[], [1]]) {
    await play('1.0.0', { waves: WAVES, approve_after }, async (world, controller) => {
      for (let n = 0; n < 3; n += 1) {
        assert.equal(await refused(controller, 'approve'), 'APPROVAL_TOO_EARLY');
        await world.pass(controller, 4);
      }
      assert.equal(world.progress('x')?.wave, 1);
      assert.equal((await kindsOf(controller)).includes('approved'), false);
    });
  }
});

test('an approval names its wave: a retry means that wave and never the next one', async () => {
  const all = { waves: WAVES, approve_after: [1, 2] };
  await play('1.0.0', all, async (world, controller) => {
    assert.match(controller.view('x')?.approval?.text ?? '', /wave 1 has not passed its gate/);
    for (const robot of ORDER.slice(0, 14)) world.installed(robot, 'x', '1.1.0');
    await world.pass(controller, 30);
    assert.equal(controller.view('x')?.approval?.state, 'due');
    assert.equal(await refused(controller, 'approve', { wave: 2 }), 'APPROVAL_TOO_EARLY');
    for (let n = 0; n < 3; n += 1) {
      assert.equal(await refused(controller, 'approve', { wave: 1 }), 'taken');
    }
    await world.pass(controller, 1);
    assert.equal(world.progress('x')?.wave, 2);
    assert.equal(await refused(controller, 'approve', { wave: 1 }), 'taken', 'a retry');
    // A client that names no wave means the open one, which has not passed yet.
    assert.equal(await refused(controller, 'approve'), 'APPROVAL_TOO_EARLY');
    await world.pass(controller, 60);
    assert.equal(world.progress('x')?.wave, 2, 'it waits for its own approval');
    assert.equal((await kindsOf(controller)).filter((kind) => kind === 'approved').length, 1);
  });
});

test('only force-open goes on without a verdict, with a reason, once, and in the audit log', async () => {
  await play('1.0.0', { waves: WAVES }, async (world, controller) => {
    const invalid = 'ROLLOUT_COMMAND_INVALID';
    assert.equal(await refused(controller, 'force-open', { wave: 1, reason: ' ' }), invalid);
    assert.equal(await refused(controller, 'force-open'), invalid, 'it wants a wave');
    assert.equal(await refused(controller, 'force-open', { wave: 2 }), invalid);
    assert.equal(await refused(controller, 'force-open', { wave: 1 }), 'taken');
    assert.equal(
      await refused(controller, 'force-open', { wave: 1 }),
      invalid,
      'it is open already',
    );
    await world.pass(controller, 3);
    assert.equal(world.progress('x')?.wave, 2);
    assert.equal(
      await refused(controller, 'force-open', { wave: 1 }),
      invalid,
      'long after as well',
    );
    await world.pass(controller, 3);
    assert.equal(world.progress('x')?.wave, 2);
    const entries = await controller.history('x', 0, 100);
    const forced = entries.filter(({ kind }) => kind === 'forced');
    assert.deepEqual(
      forced.map(({ by, text, wave }) => [by, text, wave]),
      [['kim', 'force-open of wave 1 by kim: because', 1]],
    );
    assert.ok(
      entries.some(({ kind, text }) => kind === 'ended' && /forced by a person/.test(text)),
    );
    assert.equal(
      entries.some(({ kind }) => kind === 'passed'),
      false,
    );
  });
});

test('force-open is no way around a halt or a pause', async () => {
  await play('1.0.0', { waves: WAVES }, async (world, controller) => {
    await controller.command('x', 'pause', KIM);
    assert.equal(await refused(controller, 'force-open', { wave: 1 }), 'ROLLOUT_COMMAND_INVALID');
    assert.equal(await refused(controller, 'approve', { wave: 1 }), 'ROLLOUT_COMMAND_INVALID');
    await controller.command('x', 'resume', KIM);
    world.failed(ORDER[0] ?? '', 'x', '1.1.0');
    await controller.command('x', 'force-open', { ...KIM, wave: 1 });
    world.failed(ORDER[1] ?? '', 'x', '1.1.0');
    await world.pass(controller, 3);
    assert.match(world.progress('x')?.status ?? '', /halted|rolling_back/);
    assert.equal(await refused(controller, 'force-open', { wave: 1 }), 'ROLLOUT_FINAL');
  });
});

test('a controller that takes over keeps an approval, and the wave still proves itself', async () => {
  await play('1.0.0', { waves: WAVES, approve_after: [1] }, async (world, controller, folder) => {
    for (const robot of ORDER.slice(0, 3)) world.installed(robot, 'x', '1.1.0');
    await world.pass(controller, 30);
    await controller.command('x', 'approve', { ...KIM, wave: 1 });
    world.carrier.leave(controller);
    const other = await openStore(`${folder}/other`);
    const next = await world.start(other, { isAlone: false });
    await world.pass(next, 21);
    assert.equal(next.isLeading, true);
    assert.equal(world.progress('x')?.wave, 1, 'its soak begins again here');
    await world.pass(next, 40);
    assert.equal(world.progress('x')?.wave, 2);
    await other.close();
  });
});

test('a soak stands still while the rollout is paused', async () => {
  await play('1.0.0', { waves: WAVES }, async (world, controller) => {
    for (const robot of ORDER.slice(0, 3)) world.installed(robot, 'x', '1.1.0');
    await world.pass(controller, 4);
    assert.equal(controller.view('x')?.waits_for, 'soak');
    await controller.command('x', 'pause', KIM);
    await world.pass(controller, 100);
    await controller.command('x', 'resume', KIM);
    await world.pass(controller, 3);
    assert.equal(world.progress('x')?.wave, 1);
    const until = Date.parse(controller.view('x')?.soak_until ?? '');
    assert.ok(until > world.nowMs, 'what is shown has moved as well');
    await world.pass(controller, 30);
    assert.equal(world.progress('x')?.wave, 2);
  });
});

test('a paused rollout waits for resume, and what it refuses until then says so', async () => {
  await play('1.0.0', { waves: WAVES }, async (world, controller) => {
    await controller.command('x', 'pause', KIM);
    const view = controller.view('x');
    assert.equal(view?.waits_for, 'resume');
    assert.match(view?.approval?.text ?? '', /it is paused; first: drover rollout resume x/);
    for (const command of ['pause', 'approve', 'force-open'] as const) {
      const said = controller.command('x', command, { ...KIM, wave: 1 });
      await assert.rejects(said, (error: unknown) => {
        assert.ok(error instanceof DroverError && error.code === 'ROLLOUT_COMMAND_INVALID');
        assert.match(error.hint, /drover rollout resume x$/);
        return true;
      });
    }
    await world.announce(await world.rollout('y', '1.2.0', { supersedes: ['x'] }));
    await world.pass(controller, 1);
    assert.equal(
      controller.view('x')?.waits_for,
      null,
      'no robot joins a rollout that is no longer announced',
    );
  });
});

test('a rollout that was complete is complete again when it goes on after a pause', async () => {
  await play('1.0.0', { waves: [{ percent: 100, soak_s: 20 }] }, async (world, controller) => {
    for (const robot of ORDER) world.installed(robot, 'x', '1.1.0');
    await world.pass(controller, 60);
    assert.equal(controller.view('x')?.status, 'complete');
    await controller.command('x', 'pause', KIM);
    await world.pass(controller, 10);
    assert.equal(world.progress('x')?.status, 'paused');
    await controller.command('x', 'resume', KIM);
    assert.equal(world.progress('x')?.status, 'complete');
    await world.pass(controller, 10);
    assert.equal(controller.view('x')?.status, 'complete');
  });
});

test('a rollout out of a backup has its soak stand still since the backup', async () => {
  const world = new ControllerWorld();
  const bundle = await world.fleet.makeBundle({ version: '1.1.0' });
  const bytes = world.fleet.announce(1, [world.fleet.makeRollout('x', bundle, { waves: WAVES })]);
  const { rollouts, ...announcement } = openAnnouncement(bytes, world.fleet.trust);
  const [rollout] = rollouts;
  assert.ok(rollout);
  const { manifestBytes } = bundle;
  const release = releaseOf(manifestBytes);
  const plan = { rollout, manifest: parseManifest(manifestBytes), release, announcement };
  const begun = { ...beginRun(plan, 0), soakSinceMs: world.nowMs - 4_000 };
  const backupAt = new Date(world.nowMs).toISOString();
  const at = new Date(world.nowMs + 86_400_000).toISOString();
  const restored = pauseRestored(begun, { backupAt, at });
  assert.ok(restored);
  const now = world.nowMs + 2 * 86_400_000;
  const { run } = obey(restored.run, { command: 'resume', ...KIM }, { plan, now });
  assert.equal(run.soakSinceMs, now - 4_000);
});

test('a version that every robot is above ends without an effect, and says why', async () => {
  await play('2.0.0', { waves: WAVES }, async (world, controller) => {
    await world.pass(controller, 3);
    const view = controller.view('x');
    assert.equal(view?.status, 'no_effect');
    assert.deepEqual(view?.reasons, ['no robot runs it: 20 NOT_NEWER']);
    for (const command of ['approve', 'force-open', 'resume'] as const) {
      const said = controller.command('x', command, { ...KIM, wave: view?.wave ?? 1 });
      await assert.rejects(said, { message: `${command} rollout x: it is no effect` });
    }
    const told = world.progress('x');
    assert.deepEqual([told?.status, told?.no_effect], ['complete', true]);
    assert.ok((told?.threshold ?? 1) < 0.5, 'no further wave was opened');
    const [listed] = world.views();
    assert.deepEqual(listed?.robots.excluded, { NOT_NEWER: 20 });
    assert.equal(listed?.robots.failed, 0);
    assert.ok((await kindsOf(controller)).includes('no_effect'));
    // One that comes later and can take it is led wave by wave.
    world.say('late', { version: '1.0.0' });
    world.online('late');
    await world.pass(controller, 2);
    assert.equal(controller.view('x')?.status, 'rolling');
    assert.ok((await kindsOf(controller)).includes('reopened'));
    world.installed('late', 'x', '1.1.0');
    await world.pass(controller, 60);
    assert.equal(controller.view('x')?.status, 'complete');
  });
});

test('robots of another arch have no use for it either, and are counted', async () => {
  const world = new ControllerWorld();
  await withTempFolder(async (folder) => {
    const store = await openStore(folder);
    for (const robot of ROBOTS) {
      world.online(robot);
      world.say(robot, {}, { arch: 'armhf' });
    }
    const bundle = await world.fleet.makeBundle({
      version: '1.1.0',
      manifest: { target_arch: 'aarch64' },
    });
    await world.announce(world.fleet.makeRollout('x', bundle, { waves: WAVES }));
    const controller = await world.start(store);
    await world.pass(controller, 4);
    assert.deepEqual(controller.view('x')?.reasons, ['no robot runs it: 20 ARCH_WRONG']);
    await store.close();
  });
});

test('a wave that a person is to be asked about is not settled, though every robot runs it', async () => {
  const more = { canaries: { robots: [...ORDER] }, approve_after: [0], waves: WAVES };
  await play('1.0.0', more, async (world, controller) => {
    for (const robot of ORDER) world.installed(robot, 'x', '1.1.0');
    await world.pass(controller, 30);
    assert.equal(controller.view('x')?.waits_for, 'approval');
    assert.equal(world.progress('x')?.settled, false);
    await controller.command('x', 'approve', { ...KIM, wave: 0 });
    await world.pass(controller, 2);
    assert.equal(world.progress('x')?.status, 'complete', 'no robot is left for another wave');
  });
});

test('the last wave is settled once every online robot runs it, and an offline one changes nothing', async () => {
  const whole = { waves: [{ percent: 100, soak_s: 1800 }] };
  await play('1.0.0', whole, async (world, controller) => {
    world.online('r20', false);
    for (const robot of ROBOTS.slice(0, 18)) world.installed(robot, 'x', '1.1.0');
    await world.pass(controller, 3);
    assert.equal(world.progress('x')?.settled, false);
    world.installed('r19', 'x', '1.1.0');
    await world.pass(controller, 3);
    const told = world.progress('x');
    assert.deepEqual([told?.status, told?.settled], ['rolling', true]);
  });
});

test('a rollout that an emergency supersedes is in the audit log, with the key that signed it', async () => {
  await play('1.0.0', { waves: WAVES }, async (world, controller) => {
    const sos = await world.rollout('sos', '1.2.0', { emergency: true, supersedes: ['x'] });
    await world.announce(sos);
    await world.pass(controller, 2);
    const entry = (await controller.history('x', 0, 100)).at(-1);
    assert.equal(entry?.kind, 'superseded');
    assert.match(entry?.text ?? '', /superseded by the emergency sos while it was rolling/);
    assert.match(entry?.by ?? '', /^key /);
    assert.equal(controller.view('sos')?.threshold, 1);
  });
});
