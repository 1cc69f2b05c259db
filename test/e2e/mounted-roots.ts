/**
 * Mounts real file systems under roots of a robot; says how long to wait for the reports about
 * them.
 */

import { mkdir, open } from 'node:fs/promises';
import type { TestContext } from 'node:test';
import { requireBlockDevices, runTool, unmountFolder } from '../helpers/block-device.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import type { BrokerChild } from './broker-child.ts';
import type { ComponentStatus, Robot } from './site.ts';

const IMAGE_BYTES = 128 * 1024 * 1024;
/** An agent looks again after this at the latest, and a loaded machine takes its time. */
export const MEND_MS = 90_000;

/** Mounts for one test. Made before any folder: what is mounted goes before what holds it. */
export function mounts(t: TestContext) {
  const folders: string[] = [];
  const unmount = (): void => folders.splice(0).forEach(unmountFolder);
  t.after(unmount);
  process.once('exit', unmount);
  return {
    ext4: async (folder: string): Promise<void> => {
      const file = await open(`${folder}.img`, 'w');
      await file.truncate(IMAGE_BYTES);
      await file.close();
      await mkdir(folder, { recursive: true });
      runTool('mkfs.ext4', '-q', `${folder}.img`);
      runTool('mount', '-o', 'loop', `${folder}.img`, folder);
      folders.push(folder);
    },
    tmpfs: async (folder: string, options: string): Promise<void> => {
      await mkdir(folder, { recursive: true });
      runTool('mount', '-t', 'tmpfs', '-o', options, 'tmpfs', folder);
      folders.push(folder);
    },
    /** Binds one path at another as well: the same device and the same inodes. */
    bind: async (from: string, to: string): Promise<void> => {
      await mkdir(to, { recursive: true });
      runTool('mount', '--bind', from, to);
      folders.push(to);
    },
  };
}

export const canMount = (t: TestContext): boolean =>
  requireBlockDevices(t, ['mkfs.ext4', 'mount', 'umount']);

export const remount = (folder: string, how: 'ro' | 'rw'): void =>
  void runTool('mount', '-o', `remount,${how}`, folder);

/** Components of a robot as the fleet knows them. */
export async function heard({ httpUrl }: BrokerChild, id = 'r1'): Promise<ComponentStatus[]> {
  const answer = await fetch(`${httpUrl}/robots/${id}`);
  if (!answer.ok) return [];
  const found = (await answer.json()) as { components?: ComponentStatus[] };
  return found.components ?? [];
}

export async function untilHeard(
  [robot, broker]: [Robot, BrokerChild],
  name: string,
  code: string | null,
): Promise<void> {
  let last: unknown;
  await waitUntil(
    `the fleet to hear ${code} of ${name}`,
    async () => {
      if (robot.child.ended) throw new Error(`the agent ended\n${robot.child.describe()}`);
      last = await heard(broker, robot.id);
      const found = (last as ComponentStatus[]).find((one) => one.name === name);
      return found !== undefined && (found.last_error?.code ?? null) === code;
    },
    { timeoutMs: MEND_MS, look: () => `${JSON.stringify(last)}\n${robot.child.describe()}` },
  );
}
