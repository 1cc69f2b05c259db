/** The part of the error catalogue on system images: two slots and a boot loader. Sans-I/O. */

import { refused, type CatalogueEntry } from './catalogue-entry.ts';

export const BOOT_CODES = {
  BOOT_SLOT_UNKNOWN: refused(
    'operator',
    'let the boot loader put drover.slot=NAME on the kernel command line (cat /proc/cmdline shows it), or name the other boot side with --boot',
    'later',
  ),
  BOOT_SLOT_KEPT: refused(
    'operator',
    'the message names a slot that the boot loader must be able to come back to: give the other one, or boot that one and confirm it first (drover-robot slots shows both)',
    'later',
  ),
  BOOT_SLOT_NOT_RUNNING: refused(
    'operator',
    'only a slot that runs can be confirmed: see which one does with drover-robot slots',
  ),
  BOOT_STATE_DAMAGED: refused(
    'operator',
    'look at the memory of the boot loader that the message names; where the running slot is a good one, drover-robot slots confirm writes it anew',
    'later',
  ),
  BOOT_TOOL_FAILED: refused(
    'operator',
    'run the program that the message names by hand: the message holds its last words',
    'later',
  ),
  BOOT_DEVICE_WRONG: refused(
    'operator',
    'give a block device or a file that is there and has its full size: ls -l PATH, lsblk',
    'later',
  ),
  BOOT_DEVICE_BUSY: refused(
    'operator',
    'name the slot that does not run, and unmount it: findmnt, lsblk, swapon --show and dmsetup ls show who holds it',
    'later',
  ),
  BOOT_MISSING: refused(
    'operator',
    'start the agent with --boot and --slot-device for both slots (docs/system-images.md); it is tried again by itself',
    'later',
  ),
  BOOT_FELL_BACK: refused(
    'operator',
    'the boot loader gave the slot up: look at what that boot left (ls -l /sys/fs/pstore) or at its console, mend the image, and publish a higher version; where the power was cut in each of its tries the image may be good: drover-robot unblock VERSION',
  ),
  BOOT_SLOT_CHANGED: refused(
    'operator',
    'somebody made the machine boot the other slot and confirmed it: nothing is to be done; for the version before, publish it as a rollback, or as a higher version',
    'later',
  ),
  BOOT_REBOOT_FAILED: refused(
    'operator',
    'run the command of --reboot-command on the robot: it has to restart the machine; it is tried again by itself',
    'later',
  ),
  BOOT_NOT_CONFIRMED: refused(
    'operator',
    'no update is under way and the slot that runs is on trial: confirm it with drover-robot slots confirm, or reboot to go back',
    'later',
  ),
  BOOT_VERSION_UNKNOWN: refused(
    'operator',
    'the slot that runs was not written by this agent, or its record is gone: publish a version, and the other slot gets it',
    'later',
  ),
  IMAGE_TOO_LARGE: refused(
    'operator',
    'build a smaller image, or make the slots larger: lsblk -b shows their sizes',
  ),
  IMAGE_INVALID: refused(
    'operator',
    'build the bundle again: its payload holds one file named image, with the size and the hash of the manifest',
  ),
  BOOT_READ_BACK_WRONG: refused(
    'operator',
    'the device did not keep what was written to it: look at it (dmesg, smartctl -a DEVICE) and replace it if this comes again',
    'later',
  ),
} as const satisfies Record<string, CatalogueEntry>;
