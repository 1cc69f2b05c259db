/** A robot whose application holds it ready by a lease, and whose switch is a reboot. */

import assert from 'node:assert/strict';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { waitUntil } from '../../helpers/wait-until.ts';
import { OLD } from '../bench.ts';
import { A, B } from '../boot/boot-loaders.ts';
import { blockOf, NEW, offered, robotWith, type Robot } from '../slot-robot.ts';

describe('a robot that is held ready by a lease', () => {
  const LONG = { ready: true, reason: '', holdMs: 60_000 };
  const NO = { ready: false, reason: 'the pipette is full' };

  const waits = ({ bench }: Robot, words: RegExp): Promise<unknown> =>
    waitUntil(
      `a wait for ${String(words)}`,
      () => words.test(bench.component.view.live.waitingFor ?? ''),
      { look: () => bench.describe() },
    );

  /** Called once, when the boot loader has got its order and the state does not say so yet. */
  function onTold({ bench, machine }: Robot, then: () => void): void {
    machine.onChange = () => {
      if (machine.mark.other !== '3') return undefined;
      machine.onChange = () => undefined;
      bench.gate = () => {
        bench.gate = () => {};
        then();
        throw new Error('the power is off');
      };
      return undefined;
    };
  }

  /** The old version runs and nothing will boot the other slot; once held again, it is updated. */
  async function stoodDown(robot: Robot, words: RegExp): Promise<void> {
    const { bench, machine } = robot;
    await waits(robot, words);
    assert.deepEqual([machine.running, machine.boots, machine.mark.other], [A, 1, 'x']);
    const { state, version } = bench.component.view;
    assert.deepEqual([version, state.phase], [OLD, 'waiting']);
    assert.ok(bench.codes.includes('READY_LEASE_LOST'), bench.describe());
    await bench.component.ready(LONG);
    await bench.runs(NEW);
    assert.equal(machine.boots, 2);
  }

  it('does not restart when the lease is lost right before the order to the boot loader', async (t) => {
    const robot = await robotWith(t);
    const { bench } = robot;
    await bench.component.ready(LONG);
    const calls = join(bench.root, 'calls');
    for (const name of ['stop', 'start']) {
      await bench.hook(name, `echo "${name} $DROVER_VERSION" >> "${calls}"`);
    }
    bench.onPhase = () => {
      if (bench.component.view.state.phase !== 'rebooting') return;
      bench.onPhase = () => {};
      bench.component.ready(NO).catch(() => {}); // the wait of the test fails then
    };
    await offered(robot, NEW);
    await waits(robot, /the pipette is full/);
    assert.equal(await readFile(calls, 'utf8'), `stop ${OLD}\nstart ${OLD}\n`);
    await stoodDown(robot, /the pipette is full/);
  });

  it('takes the order back when the agent is killed before it noted it', async (t) => {
    const robot = await robotWith(t);
    await robot.bench.component.ready(LONG);
    let cut: Promise<void> = Promise.resolve();
    onTold(robot, () => {
      cut = robot.bench.cutPower();
      cut.catch(() => {}); // it is awaited below
    });
    await offered(robot, NEW);
    await stoodDown(robot, /did not renew it since the agent started/);
    await cut;
  });

  for (const leaseLostAfterSwitch of ['stay', 'back'] as const) {
    it(`is updated although a restart ends each lease, with ${leaseLostAfterSwitch}`, async (t) => {
      const robot = await robotWith(t, { rules: { leaseLostAfterSwitch } });
      await robot.bench.component.ready(LONG);
      await offered(robot, NEW);
      await robot.bench.runs(NEW);
      assert.deepEqual(robot.bench.codes, []);
      assert.equal(robot.machine.running, B);
    });
  }

  it('boots back when the holder says no in probation, where the site says so', async (t) => {
    const robot = await robotWith(t, { rules: { leaseLostAfterSwitch: 'back' } });
    const { bench, machine } = robot;
    await bench.hook('health', `[ "$DROVER_VERSION" = ${OLD} ] || exit 75`);
    await bench.component.ready(LONG);
    await offered(robot, NEW);
    await waitUntil('probation', () => bench.component.view.state.phase === 'probation');
    await bench.component.ready(LONG);
    await bench.component.ready(NO);
    await bench.runs(OLD);
    assert.equal(machine.running, A);
    assert.equal(bench.component.view.state.lastUpdate?.code, 'READY_LEASE_LOST');
    assert.equal(blockOf(robot), undefined);
  });

  it('stops nothing for a slot that another program has written meanwhile', async (t) => {
    const robot = await robotWith(t);
    const { bench } = robot;
    await bench.hook('stop', `touch "${join(bench.root, 'stopped')}"`);
    await bench.component.ready(NO);
    await offered(robot, NEW);
    await waits(robot, /the pipette is full/);
    await rm(join(bench.root, 'system-slots', B));
    await bench.cutPower();
    await waitUntil('the refusal', () => bench.codes.includes('SWAP_FAILED'));
    await assert.rejects(readFile(join(bench.root, 'stopped')), { code: 'ENOENT' });
    assert.equal(blockOf(robot), undefined);
  });
});
