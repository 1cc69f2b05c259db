/**
 * Uses RAUC, which knows the boot loader: `rauc status` reads the state; `mark-active`, `mark-good`
 * and `mark-bad` change it. Never `rauc install`: it would trust another root of keys than
 * Drover's.
 *
 * The number of tries is a setting of the boot loader behind RAUC, and RAUC does not report whether
 * the slot that boots first is confirmed.
 */

import { z } from 'zod';
import { DroverError } from '../../shared/base/errors.ts';
import {
  assertOneOfTwo,
  assertRunning,
  assertTries,
  asSystemSlot,
  type BootSlots,
  type BootView,
  type SystemSlot,
} from './boot-slots.ts';
import { runBootProgram } from './run-program.ts';

const slotSchema = z.object({
  bootname: z.string().nullable(),
  boot_status: z.string().nullable().default(null),
  state: z.string(),
});

const statusSchema = z.object({
  booted: z.string(),
  boot_primary: z.string().nullable(),
  slots: z.array(z.record(z.string(), slotSchema)),
});

interface RaucSlot {
  /** Name of the slot in RAUC: `rootfs.0`. */
  readonly id: string;
  readonly name: SystemSlot;
  readonly isBad: boolean;
}

interface RaucStatus {
  readonly running: RaucSlot;
  readonly other: RaucSlot;
  /** Null when RAUC cannot ask its boot loader. */
  readonly primary: SystemSlot | null;
}

/** @throws DroverError BOOT_TOOL_FAILED, BOOT_SLOT_UNKNOWN */
async function readStatus(): Promise<RaucStatus> {
  const text = await runBootProgram('rauc', ['status', '--output-format=json']);
  const status = parseStatus(text);
  const slots = status.slots.flatMap((one) =>
    Object.entries(one).flatMap(([id, { bootname, boot_status }]): RaucSlot[] => {
      if (bootname === null) return []; // part of another slot, or one without a system
      const name = asSystemSlot(bootname, 'rauc status');
      return [{ id, name, isBad: boot_status === 'bad' }];
    }),
  );
  const running = slots.find(({ id, name }) => [id, name].includes(status.booted));
  const others = slots.filter((one) => one !== running);
  const [other] = others;
  if (running === undefined || other === undefined || others.length > 1) {
    const names = slots.map(({ name }) => name).join(', ');
    const got = `got ${status.booted || 'none'} of ${names || 'none'}`;
    throw new DroverError(
      'BOOT_SLOT_UNKNOWN',
      `read rauc status: no booted slot beside one other slot with a bootname (${got})`,
    );
  }
  const primary = slots.find(({ id, name }) => [id, name].includes(status.boot_primary ?? ''));
  return { running, other, primary: primary?.name ?? null };
}

function parseStatus(text: string): z.output<typeof statusSchema> {
  try {
    return statusSchema.parse(JSON.parse(text));
  } catch (cause) {
    const why = 'no status that Drover knows; want RAUC 1.8 or newer';
    throw new DroverError('BOOT_TOOL_FAILED', `read rauc status: ${why}`, { cause });
  }
}

const mark = (verb: 'mark-active' | 'mark-good' | 'mark-bad', { id }: RaucSlot): Promise<string> =>
  runBootProgram('rauc', ['status', verb, id]);

export class RaucSlots implements BootSlots {
  readonly running: SystemSlot;
  readonly other: SystemSlot;

  private constructor({ running, other }: RaucStatus) {
    this.running = running.name;
    this.other = other.name;
  }

  /**
   * The service of RAUC must run, or D-Bus must be able to start it. @throws DroverError as `look`
   */
  static async open(): Promise<RaucSlots> {
    return new RaucSlots(await readStatus());
  }

  async look(): Promise<BootView> {
    const { running, other, primary } = await readStatus();
    const bad = [running, other].filter(({ isBad }) => isBad).map(({ name }) => name);
    const good = [running, other].filter(({ isBad }) => !isBad).map(({ name }) => name);
    const next = primary !== null && good.includes(primary) ? primary : (good[0] ?? null);
    return { confirmed: null, next, triesLeft: null, spoiled: bad };
  }

  async spoil(slot: SystemSlot): Promise<void> {
    assertOneOfTwo(this, slot);
    const { running, other, primary } = await readStatus();
    const [spoiled, kept] = slot === running.name ? [running, other] : [other, running];
    if (kept.isBad) {
      const why = `no other slot is good (${kept.name} is bad)`;
      throw new DroverError('BOOT_SLOT_KEPT', `spoil slot ${slot}: ${why}`);
    }
    // Some boot loaders read only the primary slot, so it is set before the other slot becomes bad.
    if (primary !== kept.name) await mark('mark-active', kept);
    await mark('mark-bad', spoiled);
  }

  async tryNext(slot: SystemSlot, tries: number): Promise<void> {
    assertTries(tries);
    assertOneOfTwo(this, slot);
    const { running, other } = await readStatus();
    await mark('mark-active', slot === running.name ? running : other);
  }

  async confirm(slot: SystemSlot): Promise<void> {
    assertOneOfTwo(this, slot);
    assertRunning(slot, this);
    const { running, primary } = await readStatus();
    await mark('mark-good', running);
    if (primary !== running.name) await mark('mark-active', running);
  }
}
