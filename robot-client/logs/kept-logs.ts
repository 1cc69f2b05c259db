/**
 * The logs of failed updates on the disk of the robot: `state/logs/<number>-<rollout>.gz`, the last
 * few of a component, which `zcat` reads. Nothing of an update depends on them, so a disk that has
 * no room loses them first: a write that fails removes what is there.
 */

import { ID_PATTERN } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import {
  headFields,
  readHeadLine,
  type FailureHead,
  type FailureHeadFields,
} from '../../shared/formats/failure-log.ts';
import { unpackLog } from '../../shared/io/packed-log.ts';
import type { Disk } from '../install/disk-port.ts';
import { writeWhole } from '../install/small-file.ts';

export interface KeptFailure {
  readonly number: number;
  readonly head: FailureHeadFields;
  readonly packed: Uint8Array;
}

interface Named {
  readonly name: string;
  readonly number: number;
  readonly rollout: string;
}

export class KeptLogs {
  readonly #disk: Disk;
  readonly #state: string;

  constructor(disk: Disk, state: string) {
    this.#disk = disk;
    this.#state = state;
  }

  get #folder(): string {
    return `${this.#state}/logs`;
  }

  /**
   * Durable when it resolves. The log of the same rollout is replaced: its way back failed as well.
   * @throws DroverError of the disk; every log is gone then
   */
  async keep(rollout: string, packed: Uint8Array): Promise<void> {
    try {
      await this.#disk.mkdir(this.#folder);
      await this.#disk.syncFolder(this.#state);
      const before = await this.#named();
      const number = (before.at(-1)?.number ?? 0) + 1;
      await writeWhole(this.#disk, `${this.#folder}/${nameOf(number, rollout)}`, packed);
      const others = before.filter((one) => one.rollout !== rollout);
      const stay = new Set(others.slice(-(LIMITS.failureLogsKept - 1)));
      for (const one of before) if (!stay.has(one)) await this.#remove(one.name);
    } catch (thrown) {
      await this.#disk.removeTree(this.#folder).catch(() => undefined); // the disk may be gone
      throw thrown;
    }
  }

  /** The newest that can be read; null when there is none. @throws DroverError of the disk */
  async newest(component: string): Promise<KeptFailure | null> {
    for (const { name, number } of (await this.#named()).toReversed()) {
      const path = `${this.#folder}/${name}`;
      const packed = await this.#disk.readFile(path, LIMITS.failureLogBytesMax);
      const head = packed && (await readHead(packed));
      if (packed && head?.component === component)
        return { number, head: headFields(head), packed };
    }
    return null;
  }

  /** Number of the last log that was handed over; 0 for none. */
  async sent(): Promise<number> {
    const bytes = await this.#disk.readFile(`${this.#folder}/sent`, 32);
    return Number(bytes === null ? 0 : Buffer.from(bytes).toString('utf8')) || 0;
  }

  async noteSent(number: number): Promise<void> {
    await writeWhole(this.#disk, `${this.#folder}/sent`, Buffer.from(String(number)));
  }

  /** By number. */
  async #named(): Promise<Named[]> {
    const names = await this.#disk.list(this.#folder);
    const read = names.flatMap((name): Named[] => {
      const [, number, rollout = ''] = /^(\d{1,9})-(.+)\.gz$/.exec(name) ?? [];
      return number !== undefined && ID_PATTERN.test(rollout)
        ? [{ name, number: Number(number), rollout }]
        : [];
    });
    return read.sort((a, b) => a.number - b.number);
  }

  async #remove(name: string): Promise<void> {
    await this.#disk.unlink(`${this.#folder}/${name}`);
  }
}

const nameOf = (number: number, rollout: string): string =>
  `${String(number).padStart(4, '0')}-${rollout}.gz`;

/** The first line of a log; null when it is damaged. */
async function readHead(packed: Uint8Array): Promise<FailureHead | null> {
  try {
    const [line = ''] = (await unpackLog(packed)).split('\n', 1);
    return readHeadLine(line);
  } catch {
    return null; // cut short, or of another program: it is left for a person
  }
}
