/** Finds the folders outside the roots that this process uses, and creates the one for locks. */

import type { Log } from '../../shared/base/ports.ts';
import { ownFolders, type OwnFolders } from '../install/outside-root.ts';
import { openRuntime } from '../install/path-lock.ts';

/** For commands that change nothing: no folder is created. */
export const findOwnFolders = (): OwnFolders => ownFolders(process.env, process.getuid?.() === 0);

/** Creates the folder for locks; where that fails only the roots are locked. */
export function openOwnFolders(log: Log): OwnFolders {
  const found = findOwnFolders();
  const { own, problem } = openRuntime(found);
  if (own.runtime === null) {
    const reason = problem ?? { message: 'neither RUNTIME_DIRECTORY nor XDG_RUNTIME_DIR is set' };
    log.info({ reason: reason.message }, 'no folder for locks by path: the roots alone are locked');
  }
  return own;
}
