/** Reads which slot runs and which versions the slots hold, for components that follow an image. */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { Disk } from '../install/disk-port.ts';
import { layoutOf, type Layout } from '../install/layout.ts';
import type { RobotPhase } from '../../shared/formats/messages.ts';
import type { BootSlots, SlotsNow } from './boot-slots.ts';
import { readSlotRecord } from './slot-records.ts';
import { readSlotWord } from './slot-word.ts';
import { withdrawStrayOrder } from './stray-order.ts';
import type { SystemSide } from './system-side.ts';

export interface SystemImageOptions {
  /** Component of the images. */
  readonly component: string;
  /** Root of that component. */
  readonly root: string;
  readonly disk: Disk;
  readonly side: Pick<SystemSide, 'open' | 'bootId'>;
}

/** The boot loader of a robot, for the components that follow an image. */
export interface ImageSide {
  /** Component of the images. */
  readonly component: string;
  /** @throws DroverError BOOT_SLOT_UNKNOWN, BOOT_TOOL_FAILED, BOOT_STATE_DAMAGED, or of the disk */
  look(): Promise<SlotsNow>;
  /**
   * Why the links of that root would not follow the slot that runs at the next boot; null when
   * `recover` asked the boot loader in this boot and got the right answer.
   */
  unready(layout: Layout): Promise<Problem | null>;
  /**
   * Takes back an order that no update of the component of the images explains.
   * @param phase of that component
   * @returns what was taken back; null for nothing
   * @throws DroverError of the boot loader or of the disk
   */
  withdraw(phase: RobotPhase): Promise<Problem | null>;
}

export class SystemImage implements ImageSide {
  readonly component: string;
  readonly #on: SystemImageOptions;
  readonly #layout: Layout;
  #asked: Promise<BootSlots> | null = null;

  constructor(on: SystemImageOptions) {
    this.#on = on;
    this.component = on.component;
    this.#layout = layoutOf(on.root);
  }

  async look(): Promise<SlotsNow> {
    const { side, disk } = this.#on;
    const [{ running, other }, bootId] = [await this.#open(), await side.bootId()];
    const versions = new Map<string, string | null>();
    for (const slot of [running, other]) {
      versions.set(slot, (await readSlotRecord(disk, this.#layout, slot))?.version ?? null);
    }
    return { bootId, running, other, versions };
  }

  /** One answer for all roots: the slot of a boot does not change, and its tool may take long. */
  async #open(): Promise<BootSlots> {
    this.#asked ??= this.#on.side.open();
    try {
      return await this.#asked;
    } catch (thrown) {
      this.#asked = null;
      throw thrown;
    }
  }

  async withdraw(phase: RobotPhase): Promise<Problem | null> {
    const on = { disk: this.#on.disk, layout: this.#layout, phase };
    return await withdrawStrayOrder(await this.#open(), on);
  }

  async unready(layout: Layout): Promise<Problem | null> {
    const { side, disk } = this.#on;
    const why = async (): Promise<string | null> => {
      const word = await readSlotWord(disk, layout);
      if (word === null) {
        return 'no boot with drover-robot recover is noted in this root: a new one needs a restart of the robot, since recover makes no root';
      }
      if (word.bootId !== (await side.bootId())) {
        return 'drover-robot recover did not ask the boot loader in this boot';
      }
      const { running } = await this.#open();
      if (word.slot === running) return null;
      return `drover-robot recover found another slot (got ${word.slot}, want ${running})`;
    };
    try {
      const found = await why();
      if (found === null) return null;
      return toProblem(new DroverError('SET_IMAGE_UNREADY', `follow a system image: ${found}`));
    } catch (thrown) {
      if (!(thrown instanceof DroverError)) throw thrown;
      const message = `follow a system image: ${toProblem(thrown).message} (${thrown.code})`;
      return toProblem(new DroverError('SET_IMAGE_UNREADY', message));
    }
  }
}
