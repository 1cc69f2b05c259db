/**
 * A set of a system image and an application with the power cut after any operation of it and any
 * order to the boot loader, and a boot loader that falls back at any boot: after `recover` the
 * application belongs to the system that runs, and stays so; in the end both are new or both are
 * old.
 */

import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { describe, it, type TestContext } from 'node:test';
import type { BootMark } from '../../robot-client/boot/boot-mark.ts';
import { makeRandom } from '../kill/kill-plan.ts';
import { seedOfRun } from '../helpers/run-seed.ts';
import { Share } from '../helpers/share.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { A, B } from '../robot-client/boot/boot-loaders.ts';
import { ModelMachine } from '../robot-client/boot/model-machine.ts';
import { crashStates, visibleImage } from './crash-states.ts';
import { imageKey, type FolderImage } from './disk-image.ts';
import {
  areStaged,
  live,
  mixture,
  NEW,
  OLD,
  slotsIn,
  START,
  type LifeOptions,
} from './image-robot.ts';
import { ModelDisk } from './model-disk.ts';

const ONE_IN = 1_200;
const ONE_IN_ORDERED = 300;

interface Cut {
  readonly at: string;
  readonly image: FolderImage;
  readonly mark: BootMark;
}

interface Case {
  readonly name: string;
  readonly start: string;
  readonly ends: string;
}

const CASES: readonly Case[] = [
  { name: 'that is good', start: '', ends: NEW },
  {
    name: 'whose application does not start',
    start: `[ "$DROVER_COMPONENT$DROVER_VERSION" != "app${NEW}" ]`,
    ends: OLD,
  },
];

async function hooksOf(t: TestContext, script: string): Promise<string> {
  if (script === '') return '/no-hooks';
  const at = await tempFolder(t);
  await writeFile(`${at}/start`, `#!/bin/sh\n${script}\n`);
  await chmod(`${at}/start`, 0o755);
  return at;
}

/** A disk that says when the application and the running system do not belong together. */
function watched(image: FolderImage, machine: ModelMachine, wrong: string[]) {
  const disk = new ModelDisk(image);
  let isUp = false;
  disk.hooks = {
    onOperation: (operation, path) => {
      const mayMix = isUp && path.startsWith('/robot/app/active');
      const found = mayMix ? mixture(visibleImage(disk), machine) : null;
      if (found !== null) wrong.push(`${operation} ${path}: ${found}`);
    },
  };
  const onBoot = (boot: number): void => {
    isUp = true;
    const found = mixture(visibleImage(disk), machine);
    if (found !== null) wrong.push(`boot ${boot} after recover: ${found}`);
  };
  const { restart } = machine;
  machine.restart = () => {
    isUp = false;
    restart.call(machine);
  };
  return { disk, onBoot };
}

function machineOf(mark: BootMark, devices: ModelMachine['devices']): ModelMachine {
  const machine = new ModelMachine();
  Object.assign(machine, { mark, devices });
  return machine;
}

/** Ends of a boot of slot B, besides one by the image itself. */
const FALLS = ['never', 'at once', 'after one boot'] as const;

/** The whole set without a cut, and every state that a cut of it would leave. */
async function record(on: Pick<LifeOptions, 'hooksFolder'> & { folder: string }): Promise<{
  readonly ended: (string | null)[] | null;
  readonly cuts: readonly Cut[];
  readonly wrong: readonly string[];
}> {
  const wrong: string[] = [];
  const machine = machineOf({ confirmed: A, other: 'x' }, await slotsIn(on.folder, false));
  const { disk, onBoot } = watched(START, machine, wrong);
  const cuts: Cut[] = [];
  const seen = new Set<string>();
  const collect = (at: string): void => {
    // Before that nothing is switched, and test/robot-client/update has it.
    isStaged ||= areStaged(visibleImage(disk));
    if (!isStaged) return;
    for (const image of crashStates(disk)) {
      const key = `${imageKey(image)} ${machine.mark.confirmed}${machine.mark.other}`;
      if (seen.has(key)) continue;
      seen.add(key);
      cuts.push({ at, image, mark: machine.mark });
    }
  };
  let isStaged = false;
  const { onOperation } = disk.hooks;
  disk.hooks = {
    onOperation: (operation, path) => {
      onOperation?.(operation, path);
      collect(`${operation} ${path}`);
    },
  };
  machine.onChange = () => {
    collect(`boot loader ${machine.mark.confirmed}${machine.mark.other}`);
    return undefined;
  };
  const ended = await live({ ...on, disk, machine, onBoot });
  return { ended, cuts, wrong };
}

describe('a power cut after any step of a set with a system image', () => {
  for (const { name, start, ends } of CASES) {
    it(`${name}: both are new or both are old`, async (t) => {
      const hooksFolder = await hooksOf(t, start);
      const folder = await tempFolder(t);
      const { ended, cuts, wrong } = await record({ hooksFolder, folder });
      assert.deepEqual(wrong, []);
      assert.deepEqual(ended, [ends, ends]);
      const seed = seedOfRun();
      const [share, random] = [new Share(ONE_IN, seed), makeRandom(seed)];
      const kindOf = ({ at }: Cut): string => at.split('/').slice(0, 4).join('/');
      const chosen = share.of(cuts, kindOf);
      t.diagnostic(`${cuts.length} states, ${chosen.length} of them, ${share.said}`);
      for (const cut of chosen) {
        const falls = FALLS[Math.floor(random() * FALLS.length)] ?? 'never';
        const again = random() < 0.5 ? Math.floor(random() * 60) : null;
        const where = `${cut.at}, falls back ${falls}, cut again ${again}`;
        const devices = await slotsIn(folder, true);
        const machine = machineOf(cut.mark, devices);
        const canFall = cut.mark.confirmed === A && falls !== 'never';
        if (canFall && falls === 'at once') machine.bootable.delete(B);
        machine.restart();
        const faults: string[] = [];
        const found = await play({ cut, machine, hooksFolder, again, faults, canFall });
        assert.deepEqual(faults, [], where);
        const [first] = found ?? [];
        assert.deepEqual(found, [first, first], where);
        assert.equal(first, machine.running === B ? NEW : OLD, where);
        if (!canFall) assert.equal(first, ends, where);
      }
    });
  }
});

describe('an order of the boot loader whose state is lost before the machine restarts', () => {
  it('boots nothing at a later power cut', async (t) => {
    const folder = await tempFolder(t);
    const hooksFolder = '/no-hooks';
    const { cuts } = await record({ hooksFolder, folder });
    const ordered = cuts.filter(({ mark }) => mark.confirmed === A && /[1-9]/.test(mark.other));
    const seed = seedOfRun();
    const [share, random] = [new Share(ONE_IN_ORDERED, seed), makeRandom(seed)];
    const chosen = share.of(ordered, ({ at }) => at.slice(0, 4));
    t.diagnostic(`${ordered.length} states, ${chosen.length} of them, ${share.said}`);
    for (const cut of chosen) {
      const where = `${cut.at}, state of the system lost`;
      const machine = machineOf(cut.mark, await slotsIn(folder, true));
      const faults: string[] = [];
      const { disk, onBoot } = watched(cut.image, machine, faults);
      await disk.unlink('/robot/system/state/machine.json');
      const on = { disk, machine, hooksFolder, onBoot, hears: false };
      // The machine runs on: only the agent starts again, or a power cut ends that start as well.
      if (random() < 0.8) assert.deepEqual(await live({ ...on, isBoot: false }), [OLD, OLD], where);
      const isTakenBack = machine.mark.other === 'x';
      machine.restart();
      const [system, app] = (await live(on)) ?? [];
      assert.deepEqual([system, faults], [app, []], where);
      if (isTakenBack) assert.equal(system, OLD, `${where}: nobody asked for ${NEW}`);
      assert.equal(system, machine.running === B ? NEW : OLD, where);
    }
  });
});

/** Lives from a cut until rest; the power may be cut once more, and slot B may come up no more. */
async function play(on: {
  readonly cut: Cut;
  readonly machine: ModelMachine;
  readonly hooksFolder: string;
  readonly again: number | null;
  readonly canFall: boolean;
  readonly faults: string[];
}): Promise<(string | null)[] | null> {
  const { machine, hooksFolder, faults, again } = on;
  const { disk, onBoot } = watched(on.cut.image, machine, faults);
  const power = new AbortController();
  let left = again;
  let after: FolderImage | null = null;
  const { onOperation } = disk.hooks;
  disk.hooks = {
    onOperation: (operation, path) => {
      onOperation?.(operation, path);
      if (after !== null || left === null) return;
      left -= 1;
      if (left > 0) return;
      const states = [...crashStates(disk)];
      after = states[states.length >> 1] ?? null;
      markThen = machine.mark;
      power.abort();
    },
  };
  let markThen = machine.mark;
  const falls = (boot: number): void => {
    onBoot(boot);
    // It came up once, and does not any more.
    if (on.canFall && machine.mark.confirmed === A) machine.bootable.delete(B);
  };
  const ended = await live({ disk, machine, hooksFolder, cut: power.signal, onBoot: falls });
  if (ended !== null || after === null) return ended;
  machine.mark = markThen;
  machine.restart();
  const second = watched(after, machine, faults);
  return await live({ disk: second.disk, machine, hooksFolder, onBoot: second.onBoot });
}
