/**
 * Opens the boot side that `--boot KIND[:PATH]` names. With a boot loader that Drover reads itself,
 * the slot that runs is the one that the boot loader put on the kernel command line
 * (`drover.slot=A`): it is never taken from a file that an update writes.
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

/** Each kind with the path that it has when none is given; null where there is none to give. */
const KINDS = {
  grub: '/boot/grub',
  'u-boot': '/etc/fw_env.config',
  'systemd-boot': '/efi',
  rauc: null,
  programs: '/etc/drover/boot.d',
} as const;

type BootKind = keyof typeof KINDS;

/** A boot side that was named and not looked at yet. */
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

/** An empty mount point must not be taken for a memory that says nothing. */
async function assertFolder(kind: BootKind, path: string): Promise<void> {
  if ((await realDisk.kind(path)) === 'folder') return;
  throw new DroverError('BOOT_STATE_DAMAGED', `open ${kind}: there is no folder ${path}`, {
    hint: `mount the partition of the boot loader, or name where it is: --boot ${kind}:PATH`,
  });
}

const CMDLINE = '/proc/cmdline';

/**
 * @param path another one in tests, where no boot loader chose anything
 * @throws DroverError BOOT_SLOT_UNKNOWN
 */
export async function readRunningSlot(path = CMDLINE): Promise<SystemSlot> {
  const words = (await readFile(path, 'utf8')).trim().split(/\s+/);
  // The last one counts, as for the kernel's own parameters.
  const found = words.findLast((word) => word.startsWith('drover.slot='));
  if (found !== undefined) return asSystemSlot(found.slice(found.indexOf('=') + 1), path);
  throw new DroverError('BOOT_SLOT_UNKNOWN', `read ${path}: it has no drover.slot=`);
}
