/**
 * The mark in U-Boot's environment: `drover_slot` and `drover_other`, read and written with
 * fw_printenv and fw_setenv of libubootenv. That keeps two copies with a checksum and a counter
 * (fw_env.config names both), so that one call changes both variables or none.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DroverError } from '../../shared/base/errors.ts';
import { parseMark, type BootMark, type MarkStore } from './boot-mark.ts';
import { runBootProgram } from './run-program.ts';

const SLOT = 'drover_slot';
const OTHER = 'drover_other';

export class UBootMark implements MarkStore {
  readonly place: string;
  readonly #config: string;

  /** @param config such as `/etc/fw_env.config`: where the two copies of the environment are */
  constructor(config: string) {
    this.#config = config;
    this.place = `the environment of U-Boot (${config})`;
  }

  async read(): Promise<BootMark | null> {
    const text = await this.#print();
    const value = (name: string): string => new RegExp(`^${name}=(.*)$`, 'm').exec(text)?.[1] ?? '';
    return parseMark(`${value(SLOT)},${value(OTHER)}`);
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
   * With both copies damaged libubootenv fails, unless it has a default environment: then U-Boot
   * itself would boot with that one as well.
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
