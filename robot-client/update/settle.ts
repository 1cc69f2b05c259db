/**
 * Runs while no update is active: asks which version really runs, and switches to the version that
 * `active` names. They may differ when the state comes from a backup, or when a person changed a
 * link or a board. The robot is asked first (`ready`), as before a swap; apply-strategy.ts decides.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../../shared/base/backoff.ts';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { describeHook } from '../install/hooks.ts';
import { readSlots } from '../install/read-slots.ts';
import { versionOf } from '../install/slots.ts';
import { writeWhole } from '../install/small-file.ts';
import { decideAgreement, type ApplyStrategy, type ApplyTarget } from './apply-strategy.ts';
import { strategyOf } from './module-strategy.ts';
import type { EffectContext } from './effect-context.ts';
import { hookOf } from './hook-calls.ts';
import { stopWhileHeld } from './lease-guard.ts';
import { stepProblem, ready } from './swap-effects.ts';

/** Resolves when both agree, or when there is nothing to ask. */
export async function settle(on: EffectContext): Promise<void> {
  for (let nth = 0; ; nth += 1) {
    const problem = await settled(on);
    on.onModule?.(problem);
    if (problem === null) return;
    const bounds = { minMs: LIMITS.retryDelayMsMin, maxMs: LIMITS.stuckRetryMsMax };
    await sleep(backoffMs(nth, bounds, 0.5), undefined, { signal: on.signal });
  }
}

/** Checks once, and repairs a difference. @returns null when both agree now */
async function settled(on: EffectContext): Promise<Problem | null> {
  try {
    const slots = await readSlots(on.disk, on.layout);
    const version = versionOf(slots.active);
    if (version === null) return null;
    const back = versionOf(slots.rollback);
    const { installed } = on.state();
    const isKnown = installed?.version === version;
    const target = {
      ...{ version, previousVersion: back === version ? null : back },
      ...(isKnown && { manifest: installed.manifest }),
    };
    const strategy = await strategyOf({ version, strategy: isKnown ? installed.strategy : '' }, on);
    const found = decideAgreement(await strategy.said(target), version);
    if (found.kind === 'agrees') return await startIfStopped(on, target);
    on.onModule?.(found.problem);
    return found.kind === 'unknown' ? found.problem : await mend(on, strategy, target);
  } catch (thrown) {
    on.signal.throwIfAborted();
    if (!(thrown instanceof DroverError)) throw thrown;
    return toProblem(thrown);
  }
}

/**
 * Works as a swap: the robot is ready, the application stops, the module switches, it starts again,
 * whatever became of the switch. A mark on the disk outlives a cut between stop and start.
 */
async function mend(
  on: EffectContext,
  strategy: ApplyStrategy,
  target: ApplyTarget,
): Promise<Problem | null> {
  await strategy.prepare(target, target.version);
  const what = `bring back ${target.version}`;
  const busy = await ready(target, on, { what, isUrgent: false, kind: 'swap' });
  if (busy) return busy;
  const relied = { holders: on.leases?.holders ?? [], what };
  on.onMending?.(true);
  try {
    const lost = await stopWhileHeld(on, relied, async () => {
      const mark = new TextEncoder().encode(`${target.version}\n`);
      await writeWhole(on.disk, stoppedMark(on), mark);
      await hookOf(target, on, 'stop');
    });
    const failed = lost?.problem ?? (await stepProblem(on, () => strategy.switchTo(target)));
    const unstarted = await startIfStopped(on, target);
    return failed ?? unstarted;
  } finally {
    // An aborted effect must not release the claim of the rollback that replaced it.
    if (!on.signal.aborted) on.claim?.release();
    on.onMending?.(false);
  }
}

/** Present while an application is stopped for a repair. */
const stoppedMark = ({ layout }: EffectContext): string => `${layout.state}/stopped`;

/**
 * Starts an application that a repair stopped.
 * @returns why it does not start; it is tried again with the next check
 */
async function startIfStopped(on: EffectContext, target: ApplyTarget): Promise<Problem | null> {
  if ((await on.disk.kind(stoppedMark(on))) === 'absent') return null;
  const started = await hookOf(target, on, 'start');
  if (started.kind !== 'ok' && started.kind !== 'absent') {
    const message = `start ${target.version} after a repair: ${describeHook(started)}`;
    return toProblem(new DroverError('MODULE_START_FAILED', message));
  }
  await on.disk.removeTree(stoppedMark(on));
  await on.disk.syncFolder(on.layout.state);
  return null;
}
