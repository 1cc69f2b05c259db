/** Options about the two system slots of the machine. */

import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { DroverError, failureOf, nullIfRefused, toProblem } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/ports.ts';
import { isSystemSlot } from '../boot/boot-slots.ts';
import { openBootSlots, parseBootPlace } from '../boot/open-boot.ts';
import { SystemImage } from '../boot/system-image.ts';
import { kernelBootId, type SystemSettings, type SystemSide } from '../boot/system-side.ts';
import { realDisk } from '../install/disk.ts';
import type { ComponentRoot } from './given-roots.ts';

export const REBOOT_COMMAND = 'systemctl reboot';
/** Component that the slots belong to when there are several. */
const SYSTEM_COMPONENT = 'system';

interface SystemArgs {
  readonly boot: string | undefined;
  /** `A=/dev/…`, several with commas. */
  readonly slotDevices: readonly string[];
  readonly rebootCommand: string;
  readonly roots: readonly ComponentRoot[];
}

/** @returns undefined for a robot without system slots @throws DroverError USAGE */
export function parseSystem(args: SystemArgs): SystemSettings | undefined {
  const devices = parseDevices(args.slotDevices);
  if (args.boot === undefined) {
    if (devices.size === 0) return undefined;
    throw new DroverError('USAGE', 'read --slot-device: there is no --boot that it is for');
  }
  if (devices.size !== 2) {
    const counts = `(got ${devices.size} slots, want 2)`;
    throw new DroverError('USAGE', `read --slot-device: want NAME=PATH for both slots ${counts}`);
  }
  const rebootCommand = args.rebootCommand.split(' ').filter((word) => word !== '');
  if (rebootCommand.length === 0) {
    throw new DroverError('USAGE', 'read --reboot-command: want a program and its arguments');
  }
  const boot = parseBootPlace(args.boot);
  return { component: componentOf(args.roots), boot, devices, rebootCommand };
}

function componentOf(roots: readonly ComponentRoot[]): string {
  const [only] = roots;
  if (roots.length === 1 && only) return only.component;
  if (roots.some(({ component }) => component === SYSTEM_COMPONENT)) return SYSTEM_COMPONENT;
  const why = `name one root of several --root ${SYSTEM_COMPONENT}=DIR`;
  throw new DroverError('USAGE', `read --boot: ${why}: its bundles are images for the slots`);
}

/**
 * Logs which program of the boot side cannot be run: an image is refused for it, and nobody reads
 * that before there is one.
 */
export async function warnOfPrograms(side: SystemSide, log: Log): Promise<void> {
  const checks = [
    () => side.assertCanReboot(),
    async () => await (await side.open()).assertComplete?.(),
  ];
  for (const check of checks) {
    const problem = await failureOf(check());
    if (problem) log.warn({ problem: toProblem(problem) }, 'no system image can be taken');
  }
}

/**
 * The slots as `recover` asks for them: it needs no devices. Nothing is known with a word that it
 * does not know, since a wrong option must not end a boot.
 */
export function imageOfBoot(
  text: string | undefined,
  roots: readonly ComponentRoot[],
): SystemImage | undefined {
  if (text === undefined) return undefined;
  const found = nullIfRefused(() => ({
    boot: parseBootPlace(text),
    component: componentOf(roots),
  }));
  const root = roots.find(({ component }) => component === found?.component)?.root;
  if (!found || root === undefined) return undefined;
  const { boot, component } = found;
  const side = { open: () => openBootSlots(boot), bootId: kernelBootId };
  return new SystemImage({ component, root, disk: realDisk, side });
}

/** Paths of the devices by slot. @throws DroverError USAGE */
export function parseDevices(texts: readonly string[]): Map<string, string> {
  const devices = new Map<string, string>();
  for (const text of texts.flatMap((one) => one.split(','))) {
    const at = text.indexOf('=');
    const [slot, path] = [text.slice(0, Math.max(0, at)), text.slice(at + 1)];
    const why = unfitDevice(devices, slot, path);
    if (why !== null) {
      const got = JSON.stringify(text.slice(0, 80));
      throw new DroverError('USAGE', `read --slot-device: ${why} (got ${got})`);
    }
    devices.set(slot, path);
  }
  return devices;
}

/** One text for the paths of one device: other spellings, links, and nodes with the same number. */
function pathId(path: string): string {
  try {
    const found = statSync(path);
    return found.isBlockDevice() ? `device ${found.rdev}` : `file ${found.dev}:${found.ino}`;
  } catch {
    return resolve(path); // opening the slots reports that it is not there
  }
}

function unfitDevice(
  devices: ReadonlyMap<string, string>,
  slot: string,
  path: string,
): string | null {
  if (!isSystemSlot(slot)) return 'want NAME=PATH, the name of a slot and its device or file';
  if (!path.startsWith('/')) return 'want an absolute path of a device or file';
  if (devices.has(slot)) return `slot ${slot} is given twice`;
  const other = [...devices].find(([, one]) => pathId(one) === pathId(path));
  return other ? `slots ${other[0]} and ${slot} have one device: want another for each` : null;
}
