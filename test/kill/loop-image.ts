/**
 * A real ext4 file system in a file, mounted over a loop device. Linux and root only: where either
 * is missing a test is skipped, and fails where CI=true. It is unmounted even when the test file is
 * ended early, since a mount would outlive the folder that holds it.
 */

import { spawnSync } from 'node:child_process';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { findPeer } from '../helpers/peer.ts';
import { tempFolder } from '../helpers/temp-folder.ts';

const IMAGE_BYTES = 256 * 1024 * 1024;
const PROGRAMS = ['strace', 'mkfs.ext4', 'e2fsck', 'mount', 'umount', 'losetup'];
const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;

/** A test beside this one may hold a second mount in a namespace, such as that of a container. */
const DETACH_MS = 180_000;

function run(program: string, ...args: string[]): void {
  const { status, stdout, stderr } = spawnSync(program, args, { env: { PATH } });
  if (status === 0) return;
  throw new Error(`${program} ${args.join(' ')}: exit ${status}\n${stdout}${stderr}`);
}

export class LoopImage {
  readonly #image: string;
  readonly folder: string;
  #isMounted = false;

  private constructor(image: string, folder: string) {
    this.#image = image;
    this.folder = folder;
  }

  /** Null when there can be none here and the test was skipped. */
  static async open(t: TestContext): Promise<LoopImage | null> {
    const why = whyNot();
    if (why !== null) {
      if (process.env['CI'] === 'true') throw new Error(why);
      t.skip(why);
      return null;
    }
    let made: LoopImage | null = null;
    const unmount = (): void => made?.unmount();
    process.once('exit', unmount);
    // Hooks run in the order they were given: the folder above the mount is removed after this.
    t.after(unmount);
    const home = await tempFolder(t);
    const image = new LoopImage(join(home, 'ext4.img'), join(home, 'disk'));
    made = image;
    await mkdir(image.folder);
    const file = await open(image.#image, 'w');
    await file.truncate(IMAGE_BYTES);
    await file.close();
    run('mkfs.ext4', '-q', image.#image);
    image.mount();
    return image;
  }

  mount(): void {
    run('mount', '-o', 'loop', this.#image, this.folder);
    this.#isMounted = true;
  }

  unmount(): void {
    if (!this.#isMounted) return;
    run('umount', this.folder);
    this.#isMounted = false;
  }

  /** Unmounts, checks the file system whole, mounts again. @throws Error with what is wrong */
  check(): void {
    this.unmount();
    this.#awaitDetached();
    run('e2fsck', '-fn', this.#image);
    this.mount();
  }

  /** The kernel lets go of the file with the last mount, and that may be in another namespace. */
  #awaitDetached(): void {
    const until = performance.now() + DETACH_MS;
    while (loopDevices().includes(this.#image)) {
      if (performance.now() > until) throw new Error(`${this.#image}: still mounted by somebody`);
      spawnSync('sleep', ['0.05'], { env: { PATH } });
    }
  }
}

function loopDevices(): string {
  return spawnSync('losetup', ['--list'], { env: { PATH }, encoding: 'utf8' }).stdout;
}

function whyNot(): string | null {
  if (process.platform !== 'linux') return 'loop devices need Linux';
  if (process.getuid?.() !== 0) return 'a loop device is mounted by root only';
  const missing = PROGRAMS.find((program) => findPeer(program) === null);
  return missing === undefined ? null : `${missing} is not installed: bash test/install-peers.sh`;
}
