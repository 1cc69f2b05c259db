/** A loop device on what `qemu-storage-daemon` exports over FUSE. */

import { attachLoop, runTool } from '../helpers/block-device.ts';
import { startChild, type Child } from '../helpers/child.ts';
import type { Scope } from '../helpers/scope.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/**
 * @param at an empty file, which is mounted over
 * @param args of the daemon; its node `top` is exported
 */
export async function exportLoop(
  scope: Scope,
  at: string,
  args: readonly string[],
): Promise<{ daemon: Child; device: string }> {
  const shown = `type=fuse,id=e,node-name=top,mountpoint=${at},writable=on`;
  const daemon = startChild(scope, 'qemu-storage-daemon', [...args, '--export', shown]);
  await waitUntil('the export of qemu-storage-daemon', () => {
    if (daemon.ended) throw new Error(daemon.describe());
    return runTool('stat', '-f', '-c', '%T', at).startsWith('fuse');
  });
  return { daemon, device: attachLoop(at) };
}
