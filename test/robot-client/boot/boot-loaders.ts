/**
 * The boot loaders behind the adapters, as far as slots go: each has a memory on a real disk, and
 * `boot` chooses a slot and counts a try as the real one does. For GRUB, test/boot shows in QEMU that
 * its script does the same.
 */

import { chmod, mkdir, rename, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { BootSlots, SystemSlot } from '../../../robot-client/boot/boot-slots.ts';
import { encodeMark, MarkedSlots, type BootMark } from '../../../robot-client/boot/boot-mark.ts';
import { chooseCopy, encodeGrubEnv } from '../../../robot-client/boot/grub-env.ts';
import { GRUB_COPIES, GrubMark } from '../../../robot-client/boot/grub.ts';
import { OwnPrograms } from '../../../robot-client/boot/own-programs.ts';
import { SystemdBoot } from '../../../robot-client/boot/systemd-boot.ts';
import { parseBootEntries } from '../../../robot-client/boot/systemd-entries.ts';
import { UBootMark } from '../../../robot-client/boot/u-boot.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';

export const [A, B] = ['A', 'B'] as unknown as [SystemSlot, SystemSlot];
const otherThan = (slot: SystemSlot): SystemSlot => (slot === A ? B : A);

export interface BootLoader {
  /** The adapter, in a system that was booted from this slot. */
  open(running: SystemSlot): Promise<BootSlots>;
  /** The machine starts: the slot that is chosen, and a try of it is counted. */
  boot(): Promise<SystemSlot>;
}

/** The decision of the GRUB and U-Boot scripts about a mark. */
export function bootByMark(mark: BootMark | null): { slot: SystemSlot; after: BootMark | null } {
  if (mark === null) return { slot: A, after: null };
  const { confirmed, other } = mark;
  const tries = /\d/.test(other) ? Number(other) : 0;
  if (tries === 0) return { slot: confirmed, after: null };
  return { slot: otherThan(confirmed), after: { confirmed, other: `${BigInt(tries - 1)}` } };
}

export async function makeGrub(folder: string): Promise<BootLoader> {
  const paths = GRUB_COPIES.map((name) => join(folder, name));
  const save = async (mark: BootMark): Promise<void> => {
    for (const path of paths) await writeFile(path, encodeGrubEnv(mark), { flag: 'r+' });
  };
  for (const path of paths) await writeFile(path, encodeGrubEnv({ confirmed: A, other: 'x' }));
  return {
    open: (running) => Promise.resolve(new MarkedSlots(running, new GrubMark(realDisk, folder))),
    boot: async () => {
      const copies = await Promise.all(paths.map((path) => readFile(path)));
      const { slot, after } = bootByMark(chooseCopy(copies));
      if (after !== null) await save(after);
      return slot;
    },
  };
}

const ENV_BYTES = 0x2000;

/** Files in place of the two copies in flash. */
export const uBootFiles = (folder: string) => ({
  config: join(folder, 'fw_env.config'),
  copies: [join(folder, 'env-1'), join(folder, 'env-2')] as const,
});

/** @throws Error with the words of a program that fails */
export function runPeer(program: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status === 0) return stdout;
  throw new Error(`${program} ${args.join(' ')}: exit ${status}\n${stdout}${stderr}`);
}

export async function makeUBoot(folder: string): Promise<BootLoader> {
  const { config, copies } = uBootFiles(folder);
  for (const path of copies) {
    await writeFile(path, '');
    await truncate(path, ENV_BYTES);
  }
  const lines = copies.map((path) => `${path} 0x0 0x${ENV_BYTES.toString(16)}\n`);
  await writeFile(config, lines.join(''));
  const script = join(folder, 'script');
  const set = async (text: string, ...more: readonly string[]): Promise<void> => {
    await writeFile(script, text);
    runPeer('fw_setenv', '-c', config, ...more, '-s', script);
  };
  // A board has more in its environment than slots, and none of it may be lost.
  await set('bootcmd=run drover\ndrover_slot=A\ndrover_other=x\n', '-f', '/dev/null');
  return {
    open: (running) => Promise.resolve(new MarkedSlots(running, new UBootMark(config))),
    boot: async () => {
      const mark = await new UBootMark(config).read();
      const { slot, after } = bootByMark(mark);
      if (after !== null) await set(`drover_other=${after.other}\n`);
      return slot;
    },
  };
}

export async function makeSystemdBoot(folder: string): Promise<BootLoader> {
  const entries = join(folder, 'loader/entries');
  await mkdir(entries, { recursive: true });
  await mkdir(join(folder, 'loader/drover'));
  for (const slot of ['a', 'b']) {
    const text = `title Slot ${slot}\nlinux /${slot}/vmlinuz\noptions drover.slot=${slot.toUpperCase()}\n`;
    await writeFile(join(folder, `loader/drover/${slot}.conf`), text);
  }
  await writeFile(join(entries, 'drover-a-1.conf'), 'title Slot a\nlinux /a/vmlinuz\n');
  await writeFile(join(entries, 'memtest.conf'), 'title Memory test\nefi /memtest.efi\n');
  return {
    open: (running) => Promise.resolve(new SystemdBoot(running, realDisk, folder)),
    boot: async () => {
      const all = parseBootEntries(await readdir(entries));
      const chosen = all.find(({ triesLeft }) => triesLeft !== 0) ?? all[0];
      if (chosen === undefined) throw new Error('systemd-boot has no entry');
      const { name, triesLeft, triesUsed } = chosen;
      if (triesLeft === null) return chosen.slot;
      const counted = `+${triesLeft - 1}-${triesUsed + 1}.conf`;
      await rename(join(entries, name), join(entries, name.replace(/\+.*$/, counted)));
      return chosen.slot;
    },
  };
}

/** Five programs in shell, over a mark in a file, as an integrator would write them. */
const OWN: Readonly<Record<string, string>> = {
  running: 'cat now',
  other: '[ "$(cat now)" = A ] && echo B || echo A',
  spoil: 'echo "$(cut -d, -f1 mark),x" > mark.new; mv mark.new mark',
  'try-next': 'echo "$(cut -d, -f1 mark),$2" > mark.new; mv mark.new mark',
  confirm: '[ "$(cut -d, -f1 mark)" = "$1" ] || { echo "$1,+" > mark.new; mv mark.new mark; }',
};

export async function makeOwn(folder: string): Promise<BootLoader> {
  const mark = join(folder, 'mark');
  for (const [name, does] of Object.entries(OWN)) {
    const path = join(folder, name);
    await writeFile(path, `#!/bin/sh -e\ncd "${folder}"\n${does}\nsync mark\n`);
    await chmod(path, 0o755);
  }
  await writeFile(mark, 'A,x\n');
  return {
    open: async (running) => {
      await writeFile(join(folder, 'now'), `${running}\n`);
      return await OwnPrograms.open(folder);
    },
    boot: async () => {
      const [confirmed, other] = (await readFile(mark, 'utf8')).trim().split(',');
      const { slot, after } = bootByMark({ confirmed, other } as BootMark);
      if (after !== null) await writeFile(mark, `${encodeMark(after)}\n`);
      return slot;
    },
  };
}
