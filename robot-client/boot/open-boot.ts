/**
 * Opens the boot loader that `--boot KIND[:PATH]` names. For a boot loader whose state Drover reads
 * itself, the running slot comes from the kernel command line (`drover.slot=A`), where the boot
 * loader put it. It never comes from a file that an update writes.
 */

import { readFile } from 'node:fs/promises';
import { DroverError } from '../../shared/base/errors.ts';
import { realDisk } from '../install/disk.ts';
import { MarkedSlots } from './boot-mark.ts';
import { asSystemSlot, type BootSlots, type SystemSlot } from './boot-slots.ts';
import { GrubMark } from './grub.ts';
import { OwnPrograms } from './own-programs.ts';
import { RaucSlots } from './rauc.ts';
import { SystemdBoot } from './systemd-boot.ts';
import { UBootMark } from './u-boot.ts';

/** Default path of each kind; null for a kind that needs no path. */
const KINDS = {
  grub: '/boot/grub',
  'u-boot': '/etc/fw_env.config',
  'systemd-boot': '/efi',
  rauc: null,
  programs: '/etc/drover/boot.d',
} as const;

type BootKind = keyof typeof KINDS;

/** A boot loader as the command line names it; nothing was opened or checked yet. */
export interface BootPlace {
  readonly kind: BootKind;
  readonly path: string;
}

export const BOOT_KINDS = Object.entries(KINDS)
  .map(([kind, path]) => (path === null ? kind : `${kind}[:${path}]`))
  .join(', ');

/** @throws DroverError USAGE */
export function parseBootPlace(text: string): BootPlace {
  const colon = text.indexOf(':');
  const kind = colon < 0 ? text : text.slice(0, colon);
  const given = colon < 0 ? null : text.slice(colon + 1);
  const known = Object.hasOwn(KINDS, kind) ? KINDS[kind as BootKind] : undefined;
  const isFit = known === null ? given === null : (given ?? known ?? '').startsWith('/');
  if (known === undefined || !isFit) {
    const got = JSON.stringify(text.slice(0, 80));
    throw new DroverError(
      'USAGE',
      `read --boot: want one of ${BOOT_KINDS}, with an absolute path (got ${got})`,
    );
  }
  return { kind: kind as BootKind, path: given ?? known ?? '' };
}

/** @throws DroverError BOOT_SLOT_UNKNOWN, BOOT_TOOL_FAILED, ROOT_ABSENT */
export async function openBootSlots({ kind, path }: BootPlace): Promise<BootSlots> {
  switch (kind) {
    case 'grub':
      await assertFolder(kind, path);
      return new MarkedSlots(await readRunningSlot(), new GrubMark(realDisk, path));
    case 'u-boot':
      return new MarkedSlots(await readRunningSlot(), new UBootMark(path));
    case 'systemd-boot':
      await assertFolder(kind, `${path}/loader`);
      return new SystemdBoot(await readRunningSlot(), realDisk, path);
    case 'rauc':
      return await RaucSlots.open();
    case 'programs':
      return await OwnPrograms.open(path);
  }
}

/** An unmounted folder must not count as a boot loader without a mark. */
async function assertFolder(kind: BootKind, path: string): Promise<void> {
  if ((await realDisk.kind(path)) === 'folder') return;
  throw new DroverError('BOOT_STATE_DAMAGED', `open ${kind}: there is no folder ${path}`, {
    hint: `mount the partition of the boot loader, or name where it is: --boot ${kind}:PATH`,
  });
}

const CMDLINE = '/proc/cmdline';

/**
 * @param path another file in tests, where no boot loader chose a slot
 * @throws DroverError BOOT_SLOT_UNKNOWN
 */
export async function readRunningSlot(path = CMDLINE): Promise<SystemSlot> {
  const words = (await readFile(path, 'utf8')).trim().split(/\s+/);
  // The last one is valid, as for the kernel's own parameters.
  const found = words.findLast((word) => word.startsWith('drover.slot='));
  if (found !== undefined) return asSystemSlot(found.slice(found.indexOf('=') + 1), path);
  throw new DroverError('BOOT_SLOT_UNKNOWN', `read ${path}: it has no drover.slot=`);
}
