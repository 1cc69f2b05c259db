/**
 * Runs a hook so that nothing of it piles up. At its time-out, and when it is aborted, not only its
 * process group is killed but each process that it started: `timeout` makes a group of its own, and
 * a hook that is asked each second would leave one more with every run. `start` is left out, since
 * the application that it starts must live on.
 */

import { LIMITS } from '../../shared/base/limits.ts';
import { runHook, type HookResult, type HookRun } from '../install/hooks.ts';
import { endAll } from './orphans.ts';
import { nameRun, RUN_VARIABLE } from './processes.ts';

/**
 * Runs that ended and left processes in their group, the oldest first, by root and hook. A daemon
 * that a hook starts once is one of them and stays; a hook that leaves one with each run keeps the
 * newest few.
 */
const runsWithRest = new Map<string, readonly string[]>();

/** Rejects with the signal's reason only; whatever the hook does is a result. */
export async function runHookToEnd(run: HookRun): Promise<HookResult> {
  if (run.name === 'start') return await runHook(run);
  const root = run.env['DROVER_ROOT'] ?? null;
  const name = await nameRun();
  const of = { root, marker: `${RUN_VARIABLE}=` };
  let leader = 0;
  let hasRest = false;
  const endRun = async (): Promise<void> =>
    void (await endAll({ ...of, leader, name, isFresh: true }));
  const env = { ...run.env, [RUN_VARIABLE]: name };
  try {
    const result = await runHook({
      ...{ ...run, env },
      onBegin: (pid) => (leader = pid),
      onRest: () => (hasRest = true),
    });
    if (result.kind === 'timedOut') await endRun();
    else if (hasRest) {
      const oldest = noteRest(`${root} ${run.name}`, name);
      if (oldest !== null) {
        await endAll({ ...of, leader: 0, name: oldest, isFresh: false });
        run.onOutput?.(`hook ${run.name}`, 'ended the oldest processes that its runs left behind');
      }
    }
    return result;
  } catch (reason) {
    await endRun();
    throw reason;
  }
}

/** @returns the run whose processes have to go; null while there are few */
function noteRest(key: string, name: string): string | null {
  const all = [...(runsWithRest.get(key) ?? []), name];
  const kept = all.slice(-LIMITS.hookRestMax);
  runsWithRest.set(key, kept);
  return all.length > kept.length ? (all[0] ?? null) : null;
}
