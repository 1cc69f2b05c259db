/**
 * `drover-robot slots write`: writes the system image of a signed bundle into the other slot, for a
 * workshop. It refuses what the agent would refuse: the device of the slot that runs, and an image
 * for another machine.
 */

import type { Argv } from 'yargs';
import type { BootSlots } from '../boot/boot-slots.ts';
import { openBootSlots, parseBootPlace } from '../boot/open-boot.ts';
import { isSameDevice } from '../boot/slot-check.ts';
import { imageOfPayload, writeImage } from '../boot/slot-writer.ts';
import { realDisk } from '../install/disk.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { shellWord } from '../../shared/base/printable.ts';
import { fitsMachine } from '../../shared/formats/apply-strategy.ts';
import { verifyBundle } from '../../shared/formats/bundle-signature.ts';
import type { Manifest } from '../../shared/formats/manifest.ts';
import { sha256OfFile, openBundle } from '../../shared/io/bundle-folder.ts';
import { TEXT } from '../../shared/io/cli-options.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { readTrustFile } from '../../shared/io/trust-file.ts';
import { archFits } from '../../shared/rules/rollout-rules.ts';
import { withMachine, withSlotDevices } from './declare-options.ts';
import { readMachineNames } from './module-options.ts';
import { parseDevices } from './system-options.ts';

/** Options of every verb of `slots`. */
type WithBoot = (args: Argv) => Argv<{ boot: string; 'dry-run': boolean; json: boolean }>;

const withOptions = (args: Argv, withBoot: WithBoot) =>
  withMachine(withSlotDevices(withBoot(args)))
    .positional('bundle', { type: 'string', demandOption: true })
    .option('trust', { ...TEXT, demandOption: true, describe: 'trust.json of the image' })
    .option('device', {
      ...TEXT,
      describe: 'partition of the other slot; compared with the slots where --slot-device is given',
    })
    .option('any-machine', {
      type: 'boolean',
      default: false,
      describe: 'the disk is for another machine: compare neither arch nor names of machines',
    });

type WriteArgs = Awaited<ReturnType<typeof withOptions>['argv']>;

export const withWriteCommand = (group: Argv, withBoot: WithBoot): Argv =>
  group.command(
    'write <bundle>',
    'write the system image of a signed bundle into the other slot; it boots after slots try',
    (args) => withOptions(args, withBoot),
    (args) => writeSlot(args),
  );

async function writeSlot(args: WriteArgs): Promise<void> {
  const trust = readTrustFile(args.trust);
  const slots = await openBootSlots(parseBootPlace(args.boot));
  await slots.assertComplete?.();
  const { path: devicePath, isCompared } = await deviceFor(slots, args);
  const bundle = await openBundle(args.bundle);
  try {
    const { manifestBytes, signatures, payloadPath } = bundle;
    const payloadSha256 = await sha256OfFile(payloadPath);
    const { manifest } = verifyBundle({ manifestBytes, signatures, trust, payloadSha256 });
    const { version, image } = manifest;
    if (image === undefined) {
      throw new DroverError('IMAGE_INVALID', `write slot: bundle ${version} holds no system image`);
    }
    if (!args['any-machine']) assertForMachine(manifest, args);
    const { 'dry-run': isDryRun } = args;
    const source = imageOfPayload({ disk: realDisk, payloadPath, image });
    const told = { dry_run: isDryRun, version, slot: slots.other, device: devicePath };
    const output = makeOutput(args.json);
    const unsure = isCompared
      ? []
      : ['the device was compared with no slot: --slot-device A=PATH,B=PATH compares it'];
    if (isDryRun) {
      const line = `${version} would go to slot ${slots.other} (${devicePath})`;
      return output.result(told, [line, ...unsure]);
    }
    const { writtenBytes, skippedBytes, readBack } = await writeImage({
      slots,
      devicePath,
      source,
      image,
    });
    output.result({ ...told, written: writtenBytes, skipped: skippedBytes, read_back: readBack }, [
      `${version} stands in slot ${slots.other} (${devicePath}), and was read back from the ${readBack}`,
      ...unsure,
      `next: drover-robot slots try --boot ${shellWord(args.boot)}, then reboot`,
    ]);
  } finally {
    await bundle.close();
  }
}

/** @throws DroverError USAGE, BOOT_MISSING, BOOT_DEVICE_BUSY, BOOT_DEVICE_WRONG */
async function deviceFor(
  { running, other }: BootSlots,
  { device, 'slot-device': texts }: WriteArgs,
): Promise<{ readonly path: string; readonly isCompared: boolean }> {
  if (texts.length === 0) {
    if (device !== undefined) return { path: device, isCompared: false };
    throw new DroverError('USAGE', 'write slot: want --slot-device A=PATH,B=PATH, or --device');
  }
  const devices = parseDevices(texts);
  const [ofOther, ofRunning] = [devices.get(other), devices.get(running)];
  if (ofOther === undefined || ofRunning === undefined) {
    const missing = ofOther === undefined ? other : running;
    throw new DroverError('BOOT_MISSING', `find slot ${missing}: no --slot-device names it`, {
      hint: `the slots are ${running}, which runs, and ${other}: --slot-device ${running}=PATH,${other}=PATH`,
    });
  }
  const path = device ?? ofOther;
  if (await isSameDevice(path, ofRunning)) {
    const why = `it is the device of slot ${running}, which runs`;
    throw new DroverError('BOOT_DEVICE_BUSY', `write slot ${path}: ${why}`);
  }
  if (await isSameDevice(path, ofOther)) return { path, isCompared: true };
  throw new DroverError(
    'BOOT_DEVICE_WRONG',
    `write slot ${path}: not the device of slot ${other}`,
    {
      hint: `--slot-device says that it is ${ofOther}: leave --device out`,
    },
  );
}

/** @throws DroverError ARCH_WRONG, COMPATIBLE_WRONG, as the agent of this machine would say */
function assertForMachine(manifest: Manifest, args: WriteArgs): void {
  const { name, version, target_arch: target, compatible: wanted } = manifest;
  const refuse = (code: 'ARCH_WRONG' | 'COMPATIBLE_WRONG', why: string): never => {
    throw new DroverError(code, `write ${name} ${version}: ${why}`, {
      hint: 'give the bundle for this machine; to prepare a disk of another machine: --any-machine',
    });
  };
  if (!archFits(target, args.arch)) {
    refuse('ARCH_WRONG', `other arch (got ${target}, want ${args.arch})`);
  }
  const names = readMachineNames(args.compatible, args['compatible-file']);
  if (fitsMachine(wanted, names)) return;
  const [got, want] = [wanted, names].map((all) => all.join(' or ') || 'no name');
  refuse('COMPATIBLE_WRONG', `for another machine (got ${got}, want ${want}: --compatible)`);
}
