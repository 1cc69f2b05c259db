/**
 * RAUC itself, without a board: its service on a D-Bus of its own, and behind it, as its "custom
 * boot loader", a shell script over files that counts tries as the U-Boot script of RAUC does.
 */

import { spawnSync } from 'node:child_process';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SystemSlot } from '../../../robot-client/boot/boot-slots.ts';
import { RaucSlots } from '../../../robot-client/boot/rauc.ts';
import { startChild, type Child } from '../../helpers/child.ts';
import type { Scope } from '../../helpers/scope.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { A, B, type BootLoader } from './boot-loaders.ts';

/** RAUC asks for so many when a slot is made the first one; `left` of a confirmed one is `all`. */
export const RAUC_TRIES = 3;

/** Files of RAUC's configuration beyond its folder. */
interface RaucFiles {
  /** Slot B. */
  readonly device: string;
  readonly keyring: string;
  /** Of slot B; default raw, which takes an image as it is. */
  readonly type?: 'raw' | 'ext4';
}

const systemConf = (folder: string, { device, keyring, type = 'raw' }: RaucFiles): string => `
[system]
compatible=Drover test
bootloader=custom
statusfile=${folder}/status

[keyring]
path=${keyring}

[handlers]
bootloader-custom-backend=${folder}/backend

[slot.rootfs.0]
device=${folder}/a.img
type=raw
bootname=A

[slot.rootfs.1]
device=${device}
type=${type}
bootname=B
`;

const backend = (folder: string): string => `#!/bin/sh -e
cd "${folder}"
case "$1" in
  get-primary) cat primary ;;
  set-primary) echo ${RAUC_TRIES} > "left.$2"; echo "$2" > primary ;;
  get-state) [ "$(cat "left.$2")" = 0 ] && echo bad || echo good ;;
  set-state) [ "$3" = good ] && echo all > "left.$2" || echo 0 > "left.$2" ;;
esac
`;

async function startBus(scope: Scope, folder: string): Promise<string> {
  const address = `unix:path=${join(folder, 'bus')}`;
  const args = ['--session', '--nofork', '--print-address', `--address=${address}`];
  await startChild(scope, 'dbus-daemon', args).waitForOutput(/^unix:/);
  return address;
}

const answers = (): boolean => spawnSync('rauc', ['status'], { stdio: 'ignore' }).status === 0;

/** Writes its configuration, with two slots of which A is confirmed, and starts its bus. */
async function prepareRauc(scope: Scope, folder: string, files: RaucFiles): Promise<string> {
  const config = join(folder, 'system.conf');
  await writeFile(config, systemConf(folder, files));
  await writeFile(join(folder, 'backend'), backend(folder));
  await chmod(join(folder, 'backend'), 0o755);
  await writeFile(join(folder, 'a.img'), '');
  await mkdir(join(folder, 'mnt'));
  await writeFile(join(folder, 'primary'), 'A\n');
  await writeFile(join(folder, 'left.A'), 'all\n');
  await writeFile(join(folder, 'left.B'), '0\n');
  // RAUC and its service look for the bus in the environment, which the adapter hands on.
  process.env['DBUS_SESSION_BUS_ADDRESS'] = await startBus(scope, folder);
  process.env['DBUS_STARTER_BUS_TYPE'] = 'session';
  return config;
}

async function startService(scope: Scope, config: string, running: SystemSlot): Promise<Child> {
  const args = ['-c', config, 'service', `--override-boot-slot=${running}`];
  const service = startChild(scope, 'rauc', args);
  await waitUntil('the service of RAUC to answer', answers);
  return service;
}

/** The service of a machine that runs slot A, ready to install into B. */
export async function startRaucService(
  scope: Scope,
  folder: string,
  files: RaucFiles,
): Promise<Child> {
  return await startService(scope, await prepareRauc(scope, folder, files), A);
}

export async function makeRauc(scope: Scope, folder: string): Promise<BootLoader> {
  const files = { device: join(folder, 'b.img'), keyring: join(folder, 'keyring.pem') };
  for (const path of Object.values(files)) await writeFile(path, '');
  const config = await prepareRauc(scope, folder, files);
  let service: Child | null = null;
  const left = async (slot: SystemSlot): Promise<string> =>
    (await readFile(join(folder, `left.${slot}`), 'utf8')).trim();
  return {
    open: async (running) => {
      service?.kill('SIGKILL');
      await service?.exit;
      service = await startService(scope, config, running);
      return await RaucSlots.open();
    },
    boot: async () => {
      const primary = (await readFile(join(folder, 'primary'), 'utf8')).trim() as SystemSlot;
      for (const slot of [primary, primary === A ? B : A]) {
        const tries = await left(slot);
        if (tries === '0') continue;
        if (tries !== 'all') {
          await writeFile(join(folder, `left.${slot}`), `${Number(tries) - 1}\n`);
        }
        return slot;
      }
      throw new Error('no slot is left');
    },
  };
}
