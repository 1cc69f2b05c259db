/**
 * System images from the announcement to the confirmed slot: the real component on the real disk,
 * files in place of the slots, and a boot loader in memory whose restarts start the agent again.
 */

import assert from 'node:assert/strict';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { reportComponent } from '../../../robot-client/fleet/report.ts';
import { recoverComponent } from '../../../robot-client/recover/recover.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { tarGz } from '../../helpers/fleet.ts';
import { seedOfRun } from '../../helpers/run-seed.ts';
import { Share } from '../../helpers/share.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { fleet, OLD } from '../bench.ts';
import { A, B } from '../boot/boot-loaders.ts';
import {
  blockOf,
  bundleOf,
  errorOf,
  IMAGE_BYTES,
  imageOf,
  NEW,
  offered,
  restart,
  robotWith,
  type Robot,
} from '../slot-robot.ts';

const NEWER = '1.2.0';

async function isBlocked(robot: Robot, code: string): Promise<void> {
  await waitUntil(`the block with ${code}`, () => blockOf(robot) === code, {
    look: () => robot.bench.describe(),
  });
  await robot.bench.runs(OLD);
  assert.equal(robot.machine.running, A);
  await waitUntil('slot B to be spoiled', () => robot.machine.mark.other === 'x');
  assert.equal(robot.machine.mark.confirmed, A);
}

describe('an update by a system image', () => {
  for (const reports of [true, false]) {
    const who = reports ? 'reports its state' : 'says only which slot runs';
    it(`writes the other slot, boots it and confirms it, where the boot loader ${who}`, async (t) => {
      const robot = await robotWith(t, { reports });
      const { bench, machine, slot } = robot;
      await offered(robot, NEW);
      await bench.runs(NEW);
      assert.equal(machine.running, B);
      assert.deepEqual(machine.mark, { confirmed: B, other: '+' });
      assert.ok((await slot('B')).subarray(0, IMAGE_BYTES).equals(imageOf(NEW)));
      const told = reportComponent(bench.component.view);
      assert.equal(told.strategy, 'slot_image');
      assert.equal(told.previous_version, OLD);
      assert.equal(told.last_update?.outcome, 'installed');
      // A broker of 0.1 refuses a report with a phase that it does not know.
      assert.ok(!bench.phases.some((one) => one === 'rebooting' || one === 'reverting'));
      await offered(robot, NEWER);
      await bench.runs(NEWER);
      assert.deepEqual(machine.mark, { confirmed: A, other: '+' });
      assert.ok((await slot('A')).subarray(0, IMAGE_BYTES).equals(imageOf(NEWER)));
    });

    it(`goes back when the image does not come up, where the boot loader ${who}`, async (t) => {
      const robot = await robotWith(t, { reports });
      robot.machine.bootable.delete(B);
      await offered(robot, NEW);
      await isBlocked(robot, 'BOOT_FELL_BACK');
      assert.equal(errorOf(robot), 'BOOT_FELL_BACK');
    });

    it(`goes back when the version is not healthy, where the boot loader ${who}`, async (t) => {
      const robot = await robotWith(t, { reports });
      await robot.bench.hook('health', `[ "$DROVER_VERSION" = ${OLD} ] || exit 70`);
      await offered(robot, NEW);
      await isBlocked(robot, 'HEALTH_FAILED');
    });

    it(`goes back when its rollout is recalled, where the boot loader ${who}`, async (t) => {
      const robot = await robotWith(t, { reports });
      await offered(robot, NEW);
      await robot.bench.runs(NEW);
      robot.bench.recall(NEW);
      await isBlocked(robot, 'ROLLOUT_RECALLED');
    });
  }

  it('stays on the version of a recalled rollout when the slot before was overwritten', async (t) => {
    const robot = await robotWith(t);
    const { bench, machine } = robot;
    await offered(robot, NEW);
    await bench.runs(NEW);
    // The next one is refused while it is written, so slot A holds no version.
    const image = imageOf(NEWER);
    const facts = { size: image.byteLength, sha256: '1'.repeat(64) };
    const manifest = { apply_strategy: 'slot_image', image: facts };
    const payload = await tarGz({ image: image.toString('latin1') });
    bench.announce(await fleet.makeBundle({ version: NEWER, payload, manifest }), NEWER);
    await waitUntil('the block', () => blockOf(robot, NEWER) === 'IMAGE_INVALID');
    assert.deepEqual(machine.mark, { confirmed: B, other: 'x' });
    bench.recall(NEW);
    await waitUntil('the word', () => errorOf(robot) === 'RECALL_IMPOSSIBLE');
    assert.equal(bench.component.view.version, NEW);
    assert.equal(machine.running, B);
  });

  it('stays on the version of a recalled rollout when the slot before does not come up', async (t) => {
    const robot = await robotWith(t);
    const { bench, machine } = robot;
    await offered(robot, NEW);
    await bench.runs(NEW);
    machine.bootable.delete(A);
    bench.recall(NEW);
    await waitUntil('the word', () => errorOf(robot) === 'RECALL_IMPOSSIBLE', {
      look: () => bench.describe(),
    });
    await bench.runs(NEW);
    assert.equal(machine.running, B);
    assert.deepEqual(machine.mark, { confirmed: B, other: 'x' });
  });
});

describe('at rest', () => {
  it('reports the version of the slot that runs when the boot loader goes back by itself', async (t) => {
    const robot = await robotWith(t);
    await offered(robot, NEW);
    await robot.bench.runs(NEW);
    // GRUB boots the slot marked + where the confirmed one cannot be loaded.
    robot.machine.running = A;
    robot.machine.boots += 1;
    await robot.bench.cutPower();
    await robot.bench.runs(OLD);
    await waitUntil('the word', () => errorOf(robot) === 'BOOT_FELL_BACK');
    assert.equal(blockOf(robot), 'BOOT_FELL_BACK');
    assert.equal(robot.machine.running, A, 'nothing is rebooted for that');
  });

  it('says that the version is unknown when nothing tells what the slot holds', async (t) => {
    const robot = await robotWith(t);
    await rm(join(robot.bench.root, 'system-slots'), { recursive: true });
    await robot.bench.cutPower();
    await waitUntil('the word', () => errorOf(robot) === 'BOOT_VERSION_UNKNOWN');
  });

  it('keeps a confirmed slot when the state is lost', async (t) => {
    const robot = await robotWith(t);
    await offered(robot, NEW);
    await robot.bench.runs(NEW);
    await robot.bench.component.close();
    await rm(join(robot.bench.root, 'state'), { recursive: true });
    await restart(robot);
    await robot.bench.runs(NEW);
    assert.equal(robot.machine.running, B);
  });
});

/** Another program writes an image into a slot. */
async function overwritten({ machine }: Robot, name: 'A' | 'B', version: string): Promise<void> {
  const file = await open(machine.devices[name] ?? '', 'r+');
  await file.write(imageOf(version), 0, IMAGE_BYTES, 0);
  await file.close();
}

describe('a slot that another program wrote to', () => {
  it('is not booted when an update waited meanwhile', async (t) => {
    const robot = await robotWith(t);
    await robot.bench.hook('ready', 'exit 75');
    await offered(robot, NEW);
    await waitUntil('the wait', () => {
      const { state, live } = robot.bench.component.view;
      return state.phase === 'waiting' && live.waitingFor !== null;
    });
    await overwritten(robot, 'B', NEWER);
    await robot.bench.hook('ready', 'exit 0');
    await waitUntil('the end of the attempt', () => robot.bench.codes.includes('SWAP_FAILED'), {
      look: () => robot.bench.describe(),
    });
    assert.equal(robot.machine.running, A);
    assert.equal(robot.machine.mark.other, 'x');
    assert.equal(robot.bench.component.view.version, OLD);
  });

  it('is no way back of a version that was confirmed', async (t) => {
    const robot = await robotWith(t);
    await offered(robot, NEW);
    await robot.bench.runs(NEW);
    await overwritten(robot, 'A', NEWER);
    robot.bench.recall(NEW);
    await waitUntil('the word', () => errorOf(robot) === 'RECALL_IMPOSSIBLE');
    assert.equal(robot.machine.running, B);
    assert.equal(robot.bench.component.view.version, NEW);
  });

  it('runs an unknown version when a person boots it', async (t) => {
    const robot = await robotWith(t);
    await offered(robot, NEW);
    await robot.bench.runs(NEW);
    await overwritten(robot, 'A', NEWER);
    robot.machine.mark = { confirmed: A, other: '+' };
    await restart(robot);
    await waitUntil('the word', () => errorOf(robot) === 'BOOT_VERSION_UNKNOWN');
    assert.equal(blockOf(robot), undefined);
  });
});

describe('a state that is lost while a slot is on trial', () => {
  for (const reports of [true, false]) {
    const who = reports ? 'reports its state' : 'says only which slot runs';
    for (const isHealthy of [true, false]) {
      const end = isHealthy ? 'confirms a healthy version' : 'goes back from one that is not';
      it(`${end}, where the boot loader ${who}`, async (t) => {
        const robot = await robotWith(t, { reports });
        const { bench, machine } = robot;
        if (!isHealthy) await bench.hook('health', `[ "$DROVER_VERSION" = ${OLD} ] || exit 70`);
        machine.onReboot = () => {
          const boot = async (): Promise<void> => {
            const isFirst = machine.boots === 1;
            if (isFirst) await bench.component.close();
            if (isFirst) await rm(join(bench.root, 'state'), { recursive: true });
            await restart(robot);
          };
          setImmediate(() => void boot());
        };
        await offered(robot, NEW);
        await waitUntil('the second boot', () => machine.boots > 1);
        bench.announce(await bundleOf(OLD), OLD); // nothing new is on offer
        const [slot, version] = isHealthy ? ([B, NEW] as const) : ([A, OLD] as const);
        await waitUntil(
          'the end of the trial',
          () => {
            const isSure = machine.mark.confirmed === slot && machine.mark.other !== '3';
            return machine.running === slot && isSure && bench.component.view.version === version;
          },
          { look: () => `${bench.describe()} ${JSON.stringify(machine.mark)}` },
        );
        await bench.runs(version);
      });
    }
  }
});

describe('a boot loader that refuses', () => {
  it('to confirm the way back leaves the version that runs in the report', async (t) => {
    const robot = await robotWith(t);
    const { bench, machine } = robot;
    await offered(robot, NEW);
    await bench.runs(NEW);
    machine.onChange = () => {
      if (machine.running !== A) return undefined;
      throw new DroverError('BOOT_TOOL_FAILED', 'run confirm: no space left');
    };
    bench.recall(NEW);
    await waitUntil('the failure', () => errorOf(robot) === 'ROLLBACK_FAILED');
    assert.equal(machine.running, A);
    assert.equal(bench.component.view.version, OLD);
    const told = reportComponent(bench.component.view).last_error;
    assert.match(told?.message ?? '', /no space left/);
    machine.onChange = () => undefined;
    await bench.runs(OLD);
    assert.equal(machine.mark.confirmed, A);
  });
});

describe('a folder of the boot loader that turns read-only while an image is on trial', () => {
  it('is what the robot says', async (t) => {
    const robot = await robotWith(t);
    const { bench, machine } = robot;
    machine.onChange = () => {
      if (machine.running === A) return undefined;
      throw new DroverError('DISK_READ_ONLY', 'open drover-1.env: EROFS');
    };
    await offered(robot, NEW);
    await waitUntil('the failure', () => errorOf(robot) === 'ROLLBACK_FAILED');
    const told = reportComponent(bench.component.view).last_error;
    assert.match(told?.message ?? '', /drover-1\.env: EROFS/);
    assert.match(bench.component.view.state.lastProblem?.hint ?? '', /DISK_READ_ONLY: mount/);
  });
});

/** Of so many points one is cut in each run. */
const ONE_IN = 8;

/** An update with the power cut at one point. @returns the names of the points that it came by */
async function updateWithCut(t: TestContext, cutAt: number | null): Promise<string[]> {
  const robot = await robotWith(t);
  const { bench, machine } = robot;
  const points: string[] = [];
  const isCut = (name: string): boolean => {
    points.push(name);
    if (points.length - 1 !== cutAt) return false;
    setImmediate(() => void restart(robot));
    return true;
  };
  machine.onChange = () => {
    if (isCut(`boot side in ${bench.component.view.state.phase}`))
      throw new Error('the power is off');
    return undefined;
  };
  bench.gate = ({ name, path }) => {
    const isState = /machine\.json$|active$|rollback$|system-slots\/[AB]$/.test(path);
    const isChange = ['rename', 'syncFolder', 'unlink'].includes(name);
    const at = `${bench.component.view.state.phase} ${path.split('/').at(-1)}`;
    if (isState && isChange && isCut(at)) throw new Error('the power is off');
  };
  await offered(robot, NEW);
  const at = `cut at ${cutAt}`;
  await waitUntil(
    `the new version, ${at}`,
    () => bench.component.view.version === NEW && bench.component.view.state.phase === 'idle',
    { look: () => bench.describe() },
  );
  assert.equal(machine.running, B, at);
  assert.deepEqual(machine.mark, { confirmed: B, other: '+' }, at);
  return points;
}

describe('a power cut', () => {
  it('anywhere between two steps ends on the new version, confirmed', async (t) => {
    const points = await updateWithCut(t, null);
    assert.ok(points.length > 10, 'there are points to cut at');
    const share = new Share(ONE_IN, seedOfRun());
    const phases = points.map((name, at) => ({ name, at }));
    for (const { at } of share.of(phases, ({ name }) => name.split(' ')[0] ?? '')) {
      await updateWithCut(t, at);
    }
    t.diagnostic(share.said);
  });

  it('leaves the rest to the agent when recover runs at the boot before it', async (t) => {
    const robot = await robotWith(t);
    const { bench, machine } = robot;
    let phase: string | null = null;
    let failure: unknown = null;
    machine.onReboot = () => {
      setImmediate(() => {
        machine.restart();
        const boot = async (): Promise<void> => {
          await bench.component.close();
          const found = await recoverComponent({
            ...{ component: 'app', root: bench.root, disk: realDisk, hooksFolder: bench.hooks },
            ...{ bootsMax: 3, adoptVersion: '0.0.0' },
          });
          phase = found.phase;
          assert.deepEqual(found.problems, []);
          await bench.cutPower();
        };
        boot().catch((thrown: unknown) => (failure = thrown));
      });
    };
    await offered(robot, NEW);
    await bench.runs(NEW);
    assert.equal(failure, null);
    assert.equal(phase, 'rebooting');
    assert.equal(machine.running, B);
  });
});
