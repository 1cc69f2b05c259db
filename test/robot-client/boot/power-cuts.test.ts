/**
 * The adapters that write files themselves, on a disk whose power is cut after every operation: the
 * boot loader then finds what was there before the call or what it asked for, and the call asked
 * again ends well. A mutant that leaves out a sync is found.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BootSlots } from '../../../robot-client/boot/boot-slots.ts';
import { MarkedSlots, type BootMark } from '../../../robot-client/boot/boot-mark.ts';
import { chooseCopy, encodeGrubEnv } from '../../../robot-client/boot/grub-env.ts';
import { GrubMark } from '../../../robot-client/boot/grub.ts';
import { SystemdBoot } from '../../../robot-client/boot/systemd-boot.ts';
import { parseBootEntries } from '../../../robot-client/boot/systemd-entries.ts';
import type { Disk } from '../../../robot-client/install/disk-port.ts';
import { crashStates, visibleImage } from '../../crash/crash-states.ts';
import { file, folder, imageAt, type FolderImage } from '../../crash/disk-image.ts';
import { ModelDisk, type ModelHooks } from '../../crash/model-disk.ts';
import { A, B } from './boot-loaders.ts';

interface Walked {
  readonly name: string;
  readonly start: FolderImage;
  readonly open: (disk: Disk) => BootSlots;
  readonly call: (slots: BootSlots) => Promise<void>;
  /** The choice of the boot loader with this disk, in a few words. */
  readonly read: (image: FolderImage) => string;
}

type SkipSync = NonNullable<ModelHooks['skipSync']>;

/** Every state that a power cut can leave in the middle of the call, as the boot loader sees it. */
async function walk(one: Walked, skipSync?: SkipSync) {
  const seen = new Set<string>();
  const images: FolderImage[] = [];
  const disk = new ModelDisk(one.start);
  disk.hooks = {
    onOperation: () => {
      for (const image of crashStates(disk)) {
        seen.add(one.read(image));
        images.push(image);
      }
    },
    ...(skipSync && { skipSync }),
  };
  await one.call(one.open(disk));
  const durable = [...crashStates(disk)].map(one.read);
  return {
    seen,
    images,
    before: one.read(one.start),
    after: one.read(visibleImage(disk)),
    durable,
  };
}

async function assertPowerSafe(one: Walked): Promise<void> {
  const { seen, images, before, after, durable } = await walk(one);
  assert.notEqual(before, after, 'the call changes something');
  assert.deepEqual(
    [...seen].filter((way) => way !== before && way !== after),
    [],
  );
  assert.deepEqual([...new Set(durable)], [after], 'what returned is durable');
  for (const image of images) {
    const disk = new ModelDisk(image);
    await one.call(one.open(disk));
    assert.equal(one.read(visibleImage(disk)), after, 'asked again');
  }
}

/** Leaves out the sync of that number; null when there is none. */
async function mutant(one: Walked, number: number): Promise<boolean | null> {
  let at = 0;
  const { seen, before, after, durable } = await walk(one, () => {
    at += 1;
    return at === number;
  });
  if (at < number) return null;
  const isWrong = [...seen].some((way) => way !== before && way !== after);
  return isWrong || durable.some((way) => way !== after);
}

const CALLS: Readonly<Record<string, (slots: BootSlots) => Promise<void>>> = {
  spoil: (slots) => slots.spoil(slots.other),
  'try next': (slots) => slots.tryNext(slots.other, 3),
};
const CONFIRM = (slots: BootSlots): Promise<void> => slots.confirm(slots.running);

const grubImage = (mark: BootMark): FolderImage =>
  folder({
    grub: folder({
      'drover-1.env': file(encodeGrubEnv(mark)),
      'drover-2.env': file(encodeGrubEnv(mark)),
    }),
  });

function readGrub(image: FolderImage): string {
  const copies = ['1', '2'].map((number) => {
    const found = imageAt(image, `grub/drover-${number}.env`);
    return found?.kind === 'file' ? found.bytes : null;
  });
  return JSON.stringify(chooseCopy(copies));
}

const grub = (name: string, mark: BootMark, running = A): Walked => ({
  ...{ name: `GRUB: ${name}`, start: grubImage(mark), read: readGrub },
  open: (disk) => new MarkedSlots(running, new GrubMark(disk, '/grub')),
  call: CALLS[name] ?? CONFIRM,
});

const efiImage = (...names: readonly string[]): FolderImage =>
  folder({
    loader: folder({
      entries: folder(Object.fromEntries(names.map((name) => [name, file('linux /x\n')]))),
      drover: folder({ 'a.conf': file('linux /a\n'), 'b.conf': file('linux /b\n') }),
    }),
  });

/** The slots in the order in which they would be booted, with their tries; and that each is whole. */
function readEfi(image: FolderImage): string {
  const entries = imageAt(image, 'loader/entries');
  const names = entries?.kind === 'folder' ? [...entries.entries.keys()] : [];
  const ways = parseBootEntries(names).map(({ name, slot, triesLeft }) => {
    const found = imageAt(image, `loader/entries/${name}`);
    const text = found?.kind === 'file' ? new TextDecoder().decode(found.bytes) : '';
    return text.startsWith('linux ') ? `${slot} ${triesLeft ?? 'always'}` : 'torn';
  });
  return ways.find((way) => !way.endsWith(' 0')) ?? 'nothing';
}

const efi = (name: string, names: readonly string[], running = A): Walked => ({
  ...{ name: `systemd-boot: ${name}`, start: efiImage(...names), read: readEfi },
  open: (disk) => new SystemdBoot(running, disk, ''),
  call: CALLS[name] ?? CONFIRM,
});

const WALKS: readonly Walked[] = [
  grub('spoil', { confirmed: A, other: '+' }),
  grub('try next', { confirmed: A, other: 'x' }),
  grub('confirm', { confirmed: A, other: '2' }, B),
  efi('spoil', ['drover-a-1.conf', 'drover-b-2+3-0.conf']),
  efi('try next', ['drover-a-1.conf']),
  efi('confirm', ['drover-a-1.conf', 'drover-b-2+2-1.conf'], B),
];

describe('a power cut in the middle of a change of what boots', () => {
  for (const one of WALKS) {
    it(`leaves what was or what was asked for: ${one.name}`, () => assertPowerSafe(one));
  }

  it('would leave something else without each of the syncs of a change', async () => {
    for (const one of WALKS) {
      const found: boolean[] = [];
      for (let number = 1; ; number += 1) {
        const isFound = await mutant(one, number);
        if (isFound === null) break;
        found.push(isFound);
      }
      assert.ok(found.some(Boolean), `${one.name}: ${found.join(' ')}`);
    }
  });

  it('may tear one block of GRUB in any way, and the confirmed slot stays', () => {
    const [was, will] = [
      { confirmed: A, other: '1' },
      { confirmed: B, other: '+' },
    ] as const;
    const [from, to] = [encodeGrubEnv(was), encodeGrubEnv(will)];
    const isOneOf = (copies: readonly Uint8Array[]): void => {
      const read = JSON.stringify(chooseCopy(copies));
      assert.ok(
        [was, will].some((one) => JSON.stringify(one) === read),
        read,
      );
    };
    for (let size = 0; size <= from.byteLength; size += 1) {
      const torn = Uint8Array.from(from, (byte, at) => (at < size ? (to[at] as number) : byte));
      const zeroed = Uint8Array.from(to, (byte, at) => (at < size ? byte : 0));
      for (const copy of [torn, zeroed]) {
        isOneOf([copy, from]);
        assert.deepEqual(chooseCopy([to, copy]), will);
      }
    }
  });
});
