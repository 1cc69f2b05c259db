/**
 * More faults at the boots of a set with a system image: a `recover` that cannot ask the
 * boot loader, a full data partition, a state that is lost, and a boot counter that is used up.
 */

import assert from 'node:assert/strict';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { describe, it, type TestContext } from 'node:test';
import type { DiskFile } from '../../robot-client/install/disk-port.ts';
import type { Recovery } from '../../robot-client/recover/recover-input.ts';
import type { MachineState } from '../../robot-client/update/state.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { A, B } from '../robot-client/boot/boot-loaders.ts';
import { ModelMachine } from '../robot-client/boot/model-machine.ts';
import { visibleImage } from './crash-states.ts';
import {
  appIn,
  live,
  mixture,
  NEW,
  OLD,
  recoverAll,
  slotsIn,
  START,
  type LifeOptions,
} from './image-robot.ts';
import { ModelDisk } from './model-disk.ts';

/** A disk on which states cannot be written while it is full, or links made without inodes. */
class FullDisk extends ModelDisk {
  isFull = false;
  /** False while another program takes each inode that was not freed for the next link. */
  hasInodes = true;
  #isFreed = false;

  override async unlink(path: string): Promise<void> {
    await super.unlink(path);
    this.#isFreed ||= path.includes('/state/spare-');
  }

  override async symlink(target: string, path: string): Promise<void> {
    if (!this.hasInodes && !this.#isFreed) throw new DroverError('DISK_FULL', `link ${path}: full`);
    this.#isFreed = false;
    await super.symlink(target, path);
  }

  override async open(...args: Parameters<ModelDisk['open']>): Promise<DiskFile> {
    const [path, use] = args;
    if (this.isFull && use !== 'read' && path.includes('/state/')) {
      throw new DroverError('DISK_FULL', `write ${path}: no space`);
    }
    return await super.open(...args);
  }
}

interface Stage {
  readonly machine: ModelMachine;
  readonly disk: FullDisk;
  /** Mixtures right after `recover`, by boot. */
  readonly mixed: string[];
  readonly problems: string[];
  readonly states: MachineState[];
  run(more?: Partial<LifeOptions>): ReturnType<typeof live>;
}

async function stage(t: TestContext): Promise<Stage> {
  const machine = new ModelMachine();
  machine.devices = await slotsIn(await tempFolder(t), false);
  const disk = new FullDisk(START);
  const found: Omit<Stage, 'run'> = { machine, disk, mixed: [], problems: [], states: [] };
  const onBoot = (boot: number, recoveries: readonly Recovery[]): void => {
    const wrong = mixture(visibleImage(disk), machine);
    if (wrong !== null) found.mixed.push(`boot ${boot}: ${wrong}`);
    found.problems.push(...recoveries.flatMap(({ problems }) => problems.map(({ code }) => code)));
  };
  const onEnd = (states: readonly MachineState[]): void =>
    void found.states.splice(0, Infinity, ...states);
  const run: Stage['run'] = (more = {}) =>
    live({ disk, machine, hooksFolder: '/no-hooks', onBoot, onEnd, ...more });
  return { ...found, run };
}

const codes = ({ states }: Stage): (string | undefined)[] =>
  states.map(({ lastProblem }) => lastProblem?.code);

/** Calls back when the boot loader has its order. */
function onOrder(machine: ModelMachine, then: () => void): void {
  let isOrdered = false;
  machine.onChange = () => {
    if (isOrdered || !/\d/.test(machine.mark.other)) return undefined;
    isOrdered = true;
    then();
    return undefined;
  };
}

describe('a set with a system image', () => {
  it('is refused before it is downloaded where recover does not ask the boot loader', async (t) => {
    const on = await stage(t);
    assert.deepEqual(await on.run({ recoverAsks: () => false }), [OLD, OLD]);
    assert.ok(codes(on).every((code) => code === 'SET_IMAGE_UNREADY'));
    assert.deepEqual(on.machine.mark, { confirmed: A, other: 'x' });
    assert.deepEqual(on.states[0]?.blocked, []);
  });

  it('ends as a whole when recover could ask before, and not at the boot of the image', async (t) => {
    const on = await stage(t);
    assert.deepEqual(await on.run({ recoverAsks: (boot) => boot !== 2 }), [NEW, NEW]);
    assert.deepEqual(on.mixed, [`boot 2: app ${OLD} on system ${NEW}`]);
    assert.deepEqual(on.problems, ['SET_IMAGE_UNREADY'], 'the mixture is told');
  });

  it('goes back as a whole when recover could not ask at the boot back', async (t) => {
    const on = await stage(t);
    onOrder(on.machine, () => on.machine.bootable.delete(B));
    assert.deepEqual(await on.run({ recoverAsks: (boot) => boot !== 2 }), [OLD, OLD]);
    assert.deepEqual(on.mixed, []);
  });

  it('leads the links at a boot although the state cannot be written', async (t) => {
    const on = await stage(t);
    onOrder(on.machine, () => (on.disk.isFull = true));
    const run = on.run({
      onBoot: (boot) => {
        const wrong = mixture(visibleImage(on.disk), on.machine);
        if (wrong !== null) on.mixed.push(wrong);
        if (boot > 1) on.disk.isFull = false;
      },
    });
    const ended = await run;
    assert.deepEqual(on.mixed, []);
    assert.equal(ended?.[0], ended?.[1]);
  });

  it('leads the links at a boot although no inode is left', async (t) => {
    const on = await stage(t);
    const { restart } = on.machine;
    on.machine.restart = () => {
      on.machine.restart = restart;
      on.disk.hasInodes = false;
      on.machine.restart();
    };
    assert.deepEqual(await on.run(), [NEW, NEW]);
    assert.deepEqual(on.mixed, []);
    assert.equal(on.disk.hasInodes, false, 'it booted without inodes');
  });

  it('follows each boot until the counter of the boot loader is used up', async (t) => {
    const on = await stage(t);
    const power = new AbortController();
    const { restart } = on.machine;
    // The machine is off before it restarts.
    on.machine.restart = () => power.abort();
    assert.equal(await on.run({ cut: power.signal }), null);
    on.machine.restart = restart;
    const ran: string[] = [];
    for (let boot = 2; boot < 7; boot += 1) {
      on.machine.restart();
      ran.push(on.machine.running);
      await recoverAll({ disk: on.disk, machine: on.machine, hooksFolder: '/no-hooks' }, boot);
      assert.equal(mixture(visibleImage(on.disk), on.machine), null, `boot ${boot}`);
    }
    assert.deepEqual(ran, [B, B, B, A, A]);
    assert.deepEqual(await on.run(), [OLD, OLD]);
    assert.deepEqual(codes(on), ['BOOT_FELL_BACK', 'SET_FAILED']);
  });

  it('stops no component while another one is busy', async (t) => {
    const on = await stage(t);
    const hooksFolder = await tempFolder(t);
    const record = `${hooksFolder}/record`;
    // The system is busy at its first three questions.
    const ready = `echo "$DROVER_COMPONENT" >> ${record}; [ "$DROVER_COMPONENT" != system ] || [ "$(grep -c system ${record})" -gt 3 ] || exit 75`;
    const scripts = { ready, stop: `echo "stop $DROVER_COMPONENT" >> ${record}` };
    for (const [name, script] of Object.entries(scripts)) {
      await writeFile(`${hooksFolder}/${name}`, `#!/bin/sh\n${script}\n`);
      await chmod(`${hooksFolder}/${name}`, 0o755);
    }
    assert.deepEqual(await on.run({ hooksFolder }), [NEW, NEW]);
    const lines = (await readFile(record, 'utf8')).trim().split('\n');
    const before = lines.slice(0, lines.indexOf('stop app'));
    assert.ok(before.filter((one) => one === 'system').length > 3, lines.join());
    assert.ok(lines.indexOf('stop app') < lines.indexOf('stop system'), lines.join());
  });

  it('goes back when the boot loader leaves the confirmed image by itself', async (t) => {
    const on = await stage(t);
    assert.deepEqual(await on.run(), [NEW, NEW]);
    on.machine.running = A;
    on.machine.boots += 1;
    assert.deepEqual(await on.run(), [OLD, OLD]);
    assert.deepEqual(on.mixed, []);
    const [system, app] = on.states;
    assert.deepEqual(
      system?.blocked.map(({ code }) => code),
      ['BOOT_FELL_BACK'],
    );
    assert.deepEqual([app?.lastUpdate?.outcome, app?.lastUpdate?.code], ['recalled', 'SET_FAILED']);
    assert.deepEqual(app?.blocked, []);
  });

  it('is left alone when a later image runs', async (t) => {
    const on = await stage(t);
    assert.deepEqual(await on.run(), [NEW, NEW]);
    const later = JSON.stringify({ version: '1.2.0', sha256: 'a'.repeat(64), size: 1 });
    const record = await on.disk.open('/robot/system/system-slots/A', 'create');
    await record.write(new TextEncoder().encode(later), 0);
    on.machine.running = A;
    await recoverAll({ disk: on.disk, machine: on.machine, hooksFolder: '/no-hooks' }, 9);
    assert.equal(appIn(visibleImage(on.disk)), NEW);
  });

  /** A file is lost in the middle of the boot that switches. */
  function lose(on: Stage, name: string): void {
    const { restart } = on.machine;
    let isLost = false;
    on.machine.restart = () => {
      restart.call(on.machine);
      if (isLost) return;
      isLost = true;
      on.disk.unlink(`/robot/${name}/state/machine.json`).catch(assert.ifError);
    };
  }

  it('ends as a whole when the state of the image is lost at its boot', async (t) => {
    const on = await stage(t);
    lose(on, 'system');
    assert.deepEqual(await on.run(), [NEW, NEW]);
    assert.deepEqual(on.mixed, []);
  });

  /** The state of the image is lost while the boot loader has its order, and the machine runs on. */
  async function loseOrdered(on: Stage): Promise<void> {
    const power = new AbortController();
    const { restart } = on.machine;
    on.machine.restart = () => power.abort();
    assert.equal(await on.run({ cut: power.signal }), null);
    on.machine.restart = restart;
    assert.deepEqual(on.machine.mark, { confirmed: A, other: '3' });
    await on.disk.unlink('/robot/system/state/machine.json');
  }

  it('is not booted by a power cut after its order was left without a state', async (t) => {
    const on = await stage(t);
    await loseOrdered(on);
    const offline = { isBoot: false, hears: false };
    assert.deepEqual(await on.run(offline), [OLD, OLD]);
    assert.deepEqual(on.machine.mark, { confirmed: A, other: 'x' });
    assert.deepEqual(codes(on), ['STATE_LOST', 'SET_FAILED']);
    on.machine.restart();
    assert.deepEqual(await on.run({ hears: false }), [OLD, OLD]);
    assert.equal(on.machine.running, A);
    assert.deepEqual(on.mixed, []);
    assert.equal(codes(on)[0], 'STATE_LOST', 'it is told until it is seen');
  });

  it('recover takes the order back as well', async (t) => {
    const on = await stage(t);
    await loseOrdered(on);
    const [system] = await recoverAll({ ...on, hooksFolder: '/no-hooks' }, 1);
    assert.deepEqual(on.machine.mark, { confirmed: A, other: 'x' });
    const told = system?.actions.find((one) => one.includes('it was taken back')) ?? '';
    assert.match(told, /slot B with 1\.1\.0 next.*\(STATE_LOST\)/);
  });

  it('goes back when it boots without its application, which had gone back', async (t) => {
    const on = await stage(t);
    await loseOrdered(on);
    const isStuck = new DroverError('DISK_READ_ONLY', 'the boot folder is read-only');
    on.machine.onChange = () => Promise.reject(isStuck);
    assert.deepEqual(await on.run({ isBoot: false, hears: false }), [OLD, OLD]);
    on.machine.onChange = () => undefined;
    assert.deepEqual(on.machine.mark, { confirmed: A, other: '3' }, 'the order stands');
    on.machine.restart();
    assert.equal(on.machine.running, B);
    assert.deepEqual(await on.run({ hears: false }), [OLD, OLD]);
    assert.deepEqual(on.mixed, [`boot 1: app ${OLD} on system ${NEW}`]);
    assert.equal(on.machine.running, A);
    assert.equal(on.machine.mark.confirmed, A, 'it was never confirmed');
    assert.equal(codes(on)[0], 'SET_FAILED');
  });

  it('goes back as a whole when the state of the application is lost at that boot', async (t) => {
    const on = await stage(t);
    lose(on, 'app');
    const power = new AbortController();
    const found: (string | null)[] = [];
    const onBoot = (boot: number): void => {
      found.push(mixture(visibleImage(on.disk), on.machine));
      if (boot === 3) power.abort(); // a robot tries the set again later
    };
    const told: (string | undefined)[] = [];
    const onEnd = ([system]: readonly MachineState[]): void =>
      void told.push(system?.lastProblem?.code);
    await on.run({ onBoot, onEnd, cut: power.signal });
    assert.deepEqual(found, [null, `app ${OLD} on system ${NEW}`, null]);
    assert.equal(on.machine.running, A);
    assert.equal(told[1], 'SET_FAILED', 'the mixture is told');
  });
});
