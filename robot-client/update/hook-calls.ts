/** Calls the integrator's hooks for one update, with the environment and time-out of each. */

import { LIMITS } from '../../shared/base/limits.ts';
import { runHook, type HookName, type HookResult } from '../install/hooks.ts';
import type { Layout } from '../install/layout.ts';
import { endOrphan, forgetNote, noteOf } from '../modules/orphans.ts';
import type { EffectContext } from './effect-context.ts';
import type { Job } from './state.ts';

export const hookTimeoutOf = (on: EffectContext): number =>
  on.hookTimeoutMs ?? LIMITS.hookTimeoutMsDefault;

/**
 * Hooks before which a `stop` that a killed agent left running is ended: it would stop what was
 * started again. A `start` is never ended so, since the application may be in its group.
 */
const CHANGES: readonly HookName[] = ['stop', 'start'];

export async function hookOf(
  job: Pick<Job, 'version' | 'previousVersion'>,
  on: EffectContext,
  name: HookName,
  version: string = job.version,
  timeoutMs: number = hookTimeoutOf(on),
): Promise<HookResult> {
  const { root } = on.layout;
  const note = await noteOf(root, 'stop');
  if (note !== undefined && CHANGES.includes(name)) {
    await endOrphan(note, root, 'DROVER_TARGET_VERSION=');
  }
  const result = await runHook({
    folder: on.hooksFolder,
    name,
    timeoutMs,
    signal: on.signal,
    noteFile: name === 'stop' ? note : undefined,
    env: hookEnvironment({
      component: on.component,
      layout: on.layout,
      version,
      previousVersion: job.previousVersion,
      targetVersion: job.version,
    }),
  });
  if (name === 'stop' && result.kind !== 'timedOut') await forgetNote(note);
  return result;
}

/** Environment of every hook; documented in docs/robot-integration.md. */
export function hookEnvironment(input: {
  component: string;
  layout: Layout;
  version: string;
  previousVersion: string | null;
  targetVersion: string;
}): Record<string, string> {
  return {
    DROVER_COMPONENT: input.component,
    DROVER_ROOT: input.layout.root,
    DROVER_ACTIVE_DIR: input.layout.active,
    DROVER_VERSION: input.version,
    DROVER_PREVIOUS_VERSION: input.previousVersion ?? '',
    DROVER_TARGET_VERSION: input.targetVersion,
  };
}
