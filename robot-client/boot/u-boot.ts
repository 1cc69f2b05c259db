/**
 * The mark in the environment of U-Boot: `drover_slot` and `drover_other`, read and written with
 * fw_printenv and fw_setenv of libubootenv. That library stores two copies with a checksum and a
 * counter (fw_env.config names both), so one call changes both variables or neither.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DroverError } from '../../shared/base/errors.ts';
import { parseMark, type BootMark, type MarkStore } from './boot-mark.ts';
import { assertRunnable, runBootProgram } from './run-program.ts';

const SLOT = 'drover_slot';
const OTHER = 'drover_other';

/**
 * The whole value, also one that ends with a carriage return: the script of U-Boot compares it so.
 * @returns null when there is none, or when a line of another value looks like a second one
 */
function valueOf(text: string, name: string): string | null {
  const lines = text.split('\n').filter((line) => line.startsWith(`${name}=`));
  const [only] = lines;
  return only === undefined || lines.length > 1 ? null : only.slice(name.length + 1);
}

export class UBootMark implements MarkStore {
  readonly place: string;
  readonly #config: string;

  /** @param config file such as `/etc/fw_env.config`, which names both copies of the environment */
  constructor(config: string) {
    this.#config = config;
    this.place = `the environment of U-Boot (${config})`;
  }

  async read(): Promise<BootMark | null> {
    const text = await this.#print();
    const [slot, other] = [valueOf(text, SLOT), valueOf(text, OTHER)];
    return slot === null || other === null ? null : parseMark(`${slot},${other}`);
  }

  async assertComplete(): Promise<void> {
    await assertRunnable('fw_setenv');
  }

  async write({ confirmed, other }: BootMark): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), 'drover-boot-'));
    try {
      const script = join(folder, 'script');
      await writeFile(script, `${SLOT}=${confirmed}\n${OTHER}=${other}\n`);
      await runBootProgram('fw_setenv', ['-c', this.#config, '-s', script]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  /**
   * Reads both variables. When both copies are damaged, libubootenv fails, unless it has a default
   * environment: then U-Boot itself would also boot with that one.
   */
  async #print(): Promise<string> {
    try {
      return await runBootProgram('fw_printenv', ['-c', this.#config]);
    } catch (thrown) {
      if (!String(thrown).includes('Cannot read environment')) throw thrown;
      const why = 'neither of its copies can be read';
      throw new DroverError('BOOT_STATE_DAMAGED', `read ${this.place}: ${why}`, {
        cause: thrown,
        hint: `reset it in U-Boot (env default -a; saveenv), and look at ${this.#config}: cat names the devices`,
      });
    }
  }
}
