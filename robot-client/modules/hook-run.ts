/**
 * Runs a hook so that nothing of it piles up. At its time-out, and when it is aborted, the
 * processes of its session are killed: `timeout` makes a group of its own, and a hook that is asked
 * each second would leave one more with every run. A process with a session of its own is a
 * daemon, such as the server of `adb`, and lives on. `start` loses its group alone, since the
 * application that it starts must live on.
 */

import { LIMITS } from '../../shared/base/limits.ts';
import { runHook, type HookResult, type HookRun } from '../install/hooks.ts';
import { endAll } from './orphans.ts';
import { nameRun, processesOf, RUN_VARIABLE, type NotedRun, type OurRun } from './processes.ts';

/** Runs that ended and left processes in their session, the oldest first, by root and hook. */
const runsWithRest = new Map<string, readonly NotedRun[]>();

/** Rejects with the signal's reason only; whatever the hook does is a result. */
export async function runHookToEnd(run: HookRun): Promise<HookResult> {
  if (run.name === 'start') return await runHook(run);
  const root = run.env['DROVER_ROOT'] ?? null;
  const name = await nameRun();
  const of = { root, marker: `${RUN_VARIABLE}=`, isSessionOnly: true };
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
    else if (hasRest) await noteRest(`${root} ${run.name}`, { leader, name });
    return result;
  } catch (reason) {
    await endRun();
    throw reason;
  }

  /** A hook that leaves a process with each run keeps a few; the first may be a daemon. */
  async function noteRest(key: string, ended: NotedRun): Promise<void> {
    const oursOf = (noted: NotedRun): OurRun => ({ ...of, ...noted, isFresh: false });
    let all = [...(runsWithRest.get(key) ?? []), ended];
    if (all.length > LIMITS.hookRestMax) {
      const lives = await Promise.all(all.map(async (one) => await processesOf(oursOf(one))));
      all = all.filter((_, nth) => (lives[nth]?.length ?? 0) > 0);
    }
    if (all.length > LIMITS.hookRestMax) {
      const [over] = all.splice(1, 1);
      if (over) await endAll(oursOf(over));
      run.onOutput?.(`hook ${run.name}`, 'ended processes that one of its runs left behind');
    }
    runsWithRest.set(key, all);
  }
}
