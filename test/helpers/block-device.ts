/**
 * File systems in files, mounted over loop devices. Linux and root only. The calls are synchronous:
 * they must also work while a test file is being ended, since a mount outlives its process.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { findPeer } from './peer.ts';

const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
/** A file system that was just left may be busy for a moment. */
const UNMOUNT_TRIES = 40;

/** @throws Error with the output of a program that fails */
export function runTool(program: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { env: { PATH }, encoding: 'utf8' });
  if (status === 0) return stdout;
  throw new Error(`${program} ${args.join(' ')}: exit ${status}\n${stdout}${stderr}`);
}

const succeeds = (program: string, ...args: readonly string[]): boolean =>
  spawnSync(program, args, { env: { PATH } }).status === 0;

export function attachLoop(file: string): string {
  return runTool('losetup', '--find', '--show', file).trim();
}

/** Never throws: it is called when something else has failed. */
export function detachLoop(device: string): void {
  succeeds('losetup', '--detach', device);
}

/** `mountpoint` knows folders only, and a file may be mounted over as well. */
const isMounted = (path: string): boolean =>
  readFileSync('/proc/self/mounts', 'utf8').includes(` ${path} `);

/** Never throws: what stays busy is taken out of sight and goes with its last user. */
export function unmountFolder(folder: string): void {
  for (let tries = 0; tries < UNMOUNT_TRIES; tries += 1) {
    if (succeeds('umount', folder) || !isMounted(folder)) return;
    spawnSync('sleep', ['0.05'], { env: { PATH } });
  }
  succeeds('umount', '--lazy', folder);
}

/**
 * Tells whether a test can mount here: it is skipped otherwise, and fails where CI=true.
 *
 * @param programs all that the test runs
 * @param devices such as /dev/fuse
 */
export function requireBlockDevices(
  t: TestContext,
  programs: readonly string[],
  devices: readonly string[] = [],
): boolean {
  const why = whyNot(programs, devices);
  if (why === null) return true;
  if (process.env['CI'] === 'true') throw new Error(why);
  t.skip(why);
  return false;
}

function whyNot(programs: readonly string[], devices: readonly string[]): string | null {
  if (process.platform !== 'linux') return 'loop devices need Linux';
  if (process.getuid?.() !== 0) return 'a loop device is mounted by root only';
  const missing = programs.find((program) => findPeer(program) === null);
  if (missing !== undefined) return `${missing} is not installed: bash test/install-peers.sh`;
  const absent = ['/dev/loop-control', ...devices].find((device) => !existsSync(device));
  return absent === undefined ? null : `there is no ${absent} here`;
}
