/** Calls the integrator's hooks for one update, with the environment and time-out of each. */

import { LIMITS } from '../../shared/base/limits.ts';
import { hookFailure, type HookName, type HookResult } from '../install/hooks.ts';
import type { Disk } from '../install/disk-port.ts';
import type { Layout } from '../install/layout.ts';
import { writeWhole } from '../install/small-file.ts';
import { runHookToEnd } from '../modules/hook-run.ts';
import { endOrphan, forgetNote, noteOf } from '../modules/orphans.ts';
import type { ApplyTarget } from './apply-strategy.ts';
import type { EffectContext } from './effect-context.ts';
import { selfHook } from './self-strategy.ts';
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
  const own = await selfHook(on, name, version);
  if (own !== null) return own;
  const { root } = on.layout;
  const note = CHANGES.includes(name) ? await noteOf(root, 'stop') : undefined;
  if (note !== undefined) await endOrphan(note, root, 'DROVER_TARGET_VERSION=');
  const result = await runHookToEnd({
    folder: on.hooksFolder,
    name,
    timeoutMs,
    signal: on.signal,
    onOutput: on.onOutput,
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

/**
 * Stops what runs, before a swap.
 * @param leaves version that is left; null for the system
 * @throws DroverError SWAP_FAILED, PROGRAM_UNSAFE, PATH_UNSAFE: the hook failed, what runs goes on
 */
export async function stopBefore(
  job: Job,
  on: EffectContext,
  leaves: string | null,
): Promise<void> {
  const stopped = await hookOf(job, on, 'stop', leaves ?? '');
  if (stopped.kind === 'ok' || stopped.kind === 'absent') return;
  const which = leaves ?? 'the system';
  throw hookFailure(stopped, 'SWAP_FAILED', `stop ${which}`, hookHint('stop', which));
}

/**
 * Stops a version before another one takes its place without a swap. A failed stop must not keep
 * the robot on a bad version: the hook logs it. A stop that was not run at all leaves the version
 * running: then nothing is switched, since nothing would stop it later.
 * @throws DroverError PROGRAM_UNSAFE
 */
export async function stopOrHold(
  job: Pick<Job, 'version' | 'previousVersion'>,
  on: EffectContext,
): Promise<void> {
  const stopped = await hookOf(job, on, 'stop');
  if (stopped.kind !== 'failed' || stopped.code !== 'PROGRAM_UNSAFE') return;
  throw hookFailure(stopped, 'ROLLBACK_FAILED', `stop ${job.version}`);
}

const hookHint = (name: HookName, version: string): string =>
  `run the ${name} hook by hand, in the folder of --hooks: the message has its last output; ${version} goes on, and the update is tried again by itself`;

/**
 * Starts a version that was stopped, or that comes back.
 * @throws DroverError with that code when it does not start; PROGRAM_UNSAFE, PATH_UNSAFE
 */
export async function startAgain(
  job: Pick<Job, 'version' | 'previousVersion'>,
  on: EffectContext,
  version: string,
  code: 'SWAP_FAILED' | 'ROLLBACK_FAILED' | 'START_FAILED',
): Promise<void> {
  const started = await hookOf(job, on, 'start', version);
  if (started.kind === 'ok' || started.kind === 'absent') return;
  throw hookFailure(started, code, `start ${version} again`);
}

const stoppedMark = ({ state }: Layout): string => `${state}/stopped`;

/**
 * Remembers that an application is stopped for work that may not go on: a repair by a module, or a
 * swap whose lease was lost. However that work and this agent end, the next agent starts the
 * application again. Durable when this resolves; call it before the application is stopped.
 */
export async function noteStopped(disk: Disk, layout: Layout, version: string): Promise<void> {
  await writeWhole(disk, stoppedMark(layout), new TextEncoder().encode(`${version}\n`));
}

/**
 * Starts an application that was stopped for such work.
 * @param target the version that runs
 * @throws DroverError START_FAILED; it is tried again with the next check
 */
export async function startIfStopped(on: EffectContext, target: ApplyTarget): Promise<void> {
  const { disk, layout } = on;
  if ((await disk.kind(stoppedMark(layout))) === 'absent') return;
  await startAgain(target, on, target.version, 'START_FAILED');
  await disk.removeTree(stoppedMark(layout));
  await disk.syncFolder(layout.state);
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
