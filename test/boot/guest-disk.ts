/**
 * The disk of examples/ab-grub, made once for a test file, and what a test does to it while the
 * machine is off: other images in a slot, other bytes in the memory of GRUB.
 */

import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { copyFile, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { encodeGrubEnv } from '../../robot-client/boot/grub-env.ts';
import type { BootMark } from '../../robot-client/boot/boot-mark.ts';
import { GRUB_COPIES } from '../../robot-client/boot/grub.ts';
import { requirePeer } from '../helpers/peer.ts';
import { repositoryFile } from '../helpers/repository.ts';

const run = promisify(execFile);
const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
const MiB = 1024 * 1024;
/** As make-image.sh lays the disk out. */
const BOOT_AT = 2 * MiB;
const DATA_AT = 362 * MiB;
export const SLOT_AT = { A: 10 * MiB, B: 186 * MiB } as const;
/** Of the boot partition, which is small. */
const BLOCK_BYTES = 1024;

const PROGRAMS = [
  ...['qemu-system-x86_64', 'grub-mkimage', 'busybox', 'sfdisk', 'mkfs.ext4', 'debugfs'],
  ...['apt-get', 'dpkg-deb', 'flock'],
];

export function canBoot(t: TestContext): boolean {
  if (process.arch !== 'x64') {
    t.skip('the example is for a PC');
    return false;
  }
  return PROGRAMS.every((program) => requirePeer(t, program) !== null);
}

/** Runs make-image.sh. @returns the folder with its files */
export async function makeImage(into: string, ...more: readonly string[]): Promise<string> {
  const script = repositoryFile('examples/ab-grub/make-image.sh');
  await run('bash', [script, into, ...more], { env: { ...process.env, PATH } });
  return into;
}

/** @param atByte where the file system begins in the file */
async function runDebugfs(file: string, commands: readonly string[], atByte = 0): Promise<string> {
  const script = `${file}.debugfs`;
  await writeFile(script, `${commands.join('\n')}\n`);
  const args = ['-w', '-f', script, `${file}?offset=${atByte}`];
  const { stdout, stderr } = await run('debugfs', args, { env: { PATH } });
  // debugfs ends with 0 whatever went wrong.
  const wrong = stderr.split('\n').slice(1).join('\n').trim();
  if (wrong !== '') throw new Error(`debugfs ${commands.join('; ')}: ${wrong}`);
  return stdout;
}

export class GuestDisk {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** A copy of its own, which shares its holes. */
  static async copy(from: string, to: string): Promise<GuestDisk> {
    await copyFile(from, to, constants.COPYFILE_FICLONE);
    return new GuestDisk(to);
  }

  /** Commands of debugfs on the boot partition. */
  async debugfs(...commands: readonly string[]): Promise<string> {
    return await this.#debugfs(BOOT_AT, commands);
  }

  /** Files of the data partition, by name; each is read from the path beside it. */
  async putData(files: Readonly<Record<string, string>>): Promise<void> {
    const commands = Object.entries(files).map(([name, from]) => `write ${from} /${name}`);
    await this.#debugfs(DATA_AT, commands);
  }

  async #debugfs(atByte: number, commands: readonly string[]): Promise<string> {
    return await runDebugfs(this.path, commands, atByte);
  }

  async writeAt(bytes: Uint8Array, atByte: number): Promise<void> {
    const handle = await open(this.path, 'r+');
    try {
      await handle.write(bytes, 0, bytes.byteLength, atByte);
    } finally {
      await handle.close();
    }
  }

  /** The image of a slot, written over what stands there. */
  async fillSlot(slot: 'A' | 'B', image: string): Promise<void> {
    await this.writeAt(await readFile(image), SLOT_AT[slot]);
  }

  /** The offset on the disk of the bytes of a file of the boot partition. */
  async placeOf(path: string): Promise<number> {
    const listed = await this.debugfs(`blocks ${path}`);
    const block = Number(listed.trim().split(/\s+/).at(-1));
    if (!Number.isSafeInteger(block)) throw new Error(`${path}: no block (${listed})`);
    return BOOT_AT + block * BLOCK_BYTES;
  }

  async readCopies(folder = '/grub'): Promise<Buffer[]> {
    const copies: Buffer[] = [];
    for (const name of GRUB_COPIES) {
      const to = `${this.path}.copy`;
      await this.debugfs(`dump ${folder}/${name} ${to}`);
      copies.push(await readFile(to));
    }
    return copies;
  }

  async setMark(mark: BootMark): Promise<void> {
    for (const name of GRUB_COPIES) await this.setCopy(name, encodeGrubEnv(mark));
  }

  async setCopy(name: string, bytes: Uint8Array): Promise<void> {
    await this.writeAt(bytes, await this.placeOf(`/grub/${name}`));
  }

  /** Writes a file of the boot partition, a new one or in place of the old. */
  async putFile(path: string, bytes: Uint8Array | string): Promise<void> {
    const from = `${this.path}.file`;
    await writeFile(from, bytes);
    await this.debugfs(`rm ${path}`).catch(() => undefined); // it need not be there
    await this.debugfs(`write ${from} ${path}`);
  }
}

export const imageIn = (folder: string): string => join(folder, 'slot.img');

/** A copy of an image of a slot that says it is another version. */
export async function relabelImage(from: string, to: string, version: string): Promise<void> {
  await copyFile(from, to, constants.COPYFILE_FICLONE);
  await writeFile(`${to}.version`, `${version}\n`);
  await runDebugfs(to, ['rm /etc/version', `write ${to}.version /etc/version`]);
}
