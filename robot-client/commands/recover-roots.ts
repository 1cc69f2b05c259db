/**
 * `recover` for a robot with several roots: it takes all locks first, then recovers one root after
 * another. A failure in one root does not keep the others from being recovered.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { realDisk } from '../install/disk.ts';
import { lockRoot } from '../install/lock.ts';
import { notMounted } from '../install/mount-memory.ts';
import type { OwnFolders } from '../install/outside-root.ts';
import type { ComponentRoot } from './given-roots.ts';
import { rootAbsent } from './options.ts';
import type { Recovery } from '../recover/recover-input.ts';
import { assertNoAgentRuns } from './serve-agent.ts';

export interface RecoverFailure {
  readonly component: string;
  readonly problem: Problem;
  readonly thrown: unknown;
}

/** @throws DroverError ROBOT_ALREADY_RUNNING when an agent works on one of them; none was touched */
export async function recoverRoots(
  roots: readonly ComponentRoot[],
  on: {
    socketPath: string;
    own: OwnFolders;
    /** False when a missing root is a failure, because the command is about it. */
    mayBeAbsent?: boolean;
    recover(one: ComponentRoot): Promise<Recovery>;
  },
): Promise<{ recoveries: Recovery[]; failures: RecoverFailure[] }> {
  const recoveries: Recovery[] = [];
  const failures: RecoverFailure[] = [];
  const note = ({ component }: ComponentRoot, thrown: unknown): void =>
    void failures.push({ component, problem: toProblem(thrown), thrown });
  const locked: ComponentRoot[] = [];
  for (const one of roots) {
    try {
      if ((await realDisk.kind(one.root)) === 'absent' && !notMounted(one.root, on.own)) {
        if (on.mayBeAbsent === false) throw rootAbsent('recover', one.root);
        recoveries.push(nothingThere(one));
        continue;
      }
      await lockRoot(one.root, on.own, false);
      locked.push(one);
    } catch (thrown) {
      if (thrown instanceof DroverError && thrown.code === 'ROBOT_ALREADY_RUNNING') throw thrown;
      note(one, thrown);
    }
  }
  await assertNoAgentRuns(on.socketPath);
  for (const one of locked) {
    try {
      recoveries.push(await on.recover(one));
    } catch (thrown) {
      note(one, thrown);
    }
  }
  return { recoveries, failures };
}

/** As before the first start of the agent: nothing is created, and the application may start. */
function nothingThere({ component, root }: ComponentRoot): Recovery {
  const { message, code, hint } = toProblem(rootAbsent('recover', root));
  const actions = [`${message} (${code}): ${hint}`];
  return { component, version: null, bootsForeign: false, phase: 'idle', actions, problems: [] };
}
