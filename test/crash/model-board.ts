/**
 * A module for a disk that is only a model: a board whose flash is a file beside the root. Burning
 * it takes several operations, after each of which the power may fail; in between it holds nothing
 * complete, as a real one. It fails when it is called in a way that modules need not support.
 */

import type { Disk } from '../../robot-client/install/disk-port.ts';
import type { Modules, VerbResult, VerbRun } from '../../robot-client/modules/module-folder.ts';
import { moduleStrategy } from '../../shared/formats/apply-strategy.ts';
import { file, folder, imageAt, type FolderImage } from './disk-image.ts';

const BOARD = 'board';
export const BOARD_STRATEGY = moduleStrategy(BOARD);
const FLASH = '/board/flash';
const WHOLE = 'whole ';

/** As it comes from the factory, or with a version on it. */
export const boardWith = (version: string | null): FolderImage =>
  folder({ flash: file(version === null ? '' : WHOLE + version) });

/** Null for nothing that is complete. */
export function flashIn(image: FolderImage): string | null {
  const found = imageAt(image, FLASH);
  return found?.kind === 'file' ? versionIn(found.bytes) : null;
}

function versionIn(bytes: Uint8Array): string | null {
  const text = new TextDecoder().decode(bytes);
  return text.startsWith(WHOLE) ? text.slice(WHOLE.length) : null;
}

export class ModelBoard implements Modules {
  readonly names = [BOARD];
  readonly #disk: Disk;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  async look(): Promise<void> {}

  has = (): Promise<boolean> => Promise.resolve(true);

  async run({ verb, env, signal }: VerbRun): Promise<VerbResult> {
    signal?.throwIfAborted();
    const { DROVER_VERSION: version = '', DROVER_PREVIOUS_VERSION: previous = '' } = env;
    const runs = await this.#runs();
    switch (verb) {
      case 'version':
        return { result: OK, stdout: runs ?? '' };
      case 'stage':
        return await this.#burn(null, env['DROVER_PAYLOAD_DIR'] ?? '');
      case 'switch':
        return await this.#burn(version, env['DROVER_PAYLOAD_DIR'] ?? '');
      case 'revert':
        return await this.#burn(previous, env['DROVER_PREVIOUS_DIR'] ?? '');
      case 'verify':
        return runs === version ? { result: OK, stdout: '' } : failed(`${runs} runs`);
      default:
        return { result: OK, stdout: '' };
    }
  }

  async #runs(): Promise<string | null> {
    return versionIn((await this.#disk.readFile(FLASH, 1024)) ?? new Uint8Array());
  }

  /** @param version null to look whether the release is whole, without burning it */
  async #burn(version: string | null, folderOf: string): Promise<VerbResult> {
    const named = await this.#disk.readFile(`${folderOf}/VERSION.txt`, 1024);
    const text = named ? new TextDecoder().decode(named) : '';
    if (version === null)
      return text === '' ? failed('no VERSION.txt') : { result: OK, stdout: '' };
    if (version !== text) return failed(`told to burn ${version}, found ${text}`);
    const flash = await this.#disk.open(FLASH, 'create');
    await flash.sync();
    if (version !== '') {
      await flash.write(new TextEncoder().encode('half'), 0);
      await flash.sync();
      await flash.write(new TextEncoder().encode(WHOLE + version), 0);
      await flash.sync();
    }
    await flash.close();
    return { result: OK, stdout: '' };
  }
}

const OK = { kind: 'ok', output: '' } as const;
const failed = (output: string): VerbResult => ({
  result: { kind: 'failed', exitCode: 1, signal: null, output },
  stdout: '',
});
