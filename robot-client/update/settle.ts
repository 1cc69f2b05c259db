/**
 * Runs while no update is active: asks which version really runs, and switches to the version that
 * `active` names. They may differ when the state comes from a backup, or when a person changed a
 * link or a board. The robot is asked first (`ready`), as before a swap; apply-strategy.ts decides.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../../shared/base/backoff.ts';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { readSlots } from '../install/read-slots.ts';
import { versionOf } from '../install/slots.ts';
import { inPlaceProblem } from '../self/launch.ts';
import { clearStarts } from '../self/own-release.ts';
import type { SelfSide } from '../self/self-side.ts';
import { decideAgreement, type ApplyStrategy, type ApplyTarget } from './apply-strategy.ts';
import { strategyOf } from './slot-strategy.ts';
import type { EffectContext } from './effect-context.ts';
import { noteStopped, startIfStopped, stopOrHold } from './hook-calls.ts';
import type { MachineEvent } from './machine.ts';
import { settleSlots } from './slot-effects.ts';
import { stopWhileHeld } from './lease-guard.ts';
import { stepProblem, ready } from './swap-effects.ts';

/**
 * Resolves when both agree, or when there is nothing to ask.
 * @returns an event when the state has to change first; else null
 */
export async function settle(on: EffectContext): Promise<MachineEvent | null> {
  for (let nth = 0; ; nth += 1) {
    const found = await settled(on);
    if (found !== null && 'kind' in found) return found;
    on.onModule?.(found);
    if (found === null) return null;
    const bounds = { minMs: LIMITS.retryDelayMsMin, maxMs: LIMITS.stuckRetryMsMax };
    await sleep(backoffMs(nth, bounds, 0.5), undefined, { signal: on.signal });
  }
}

/** Checks once, and repairs a difference. @returns null when both agree now */
async function settled(on: EffectContext): Promise<MachineEvent | Problem | null> {
  try {
    const slots = await readSlots(on.disk, on.layout);
    const version = versionOf(slots.active);
    if (version === null) return null;
    if (on.self) return await settleSelf(on.self, version, on);
    const back = versionOf(slots.rollback);
    const { installed } = on.state();
    const isKnown = installed?.version === version;
    const target = {
      ...{ version, previousVersion: back === version ? null : back },
      ...(isKnown && { manifest: installed.manifest }),
    };
    const strategy = await strategyOf({ version, strategy: isKnown ? installed.strategy : '' }, on);
    if (strategy.byReboot) return await settleSlots(version, on);
    const found = decideAgreement(await strategy.said(target), version);
    if (found.kind === 'agrees') {
      await startIfStopped(on, target);
      return null;
    }
    on.onModule?.(found.problem);
    return found.kind === 'unknown' ? found.problem : await mend(on, strategy, target);
  } catch (thrown) {
    on.signal.throwIfAborted();
    if (!(thrown instanceof DroverError)) throw thrown;
    return toProblem(thrown);
  }
}

/**
 * An agent that runs in place of the one that `active` names tries that one again after a while: the
 * disk, or the options, that kept it down may be right by then.
 */
async function settleSelf(
  self: SelfSide,
  active: string,
  on: EffectContext,
): Promise<Problem | null> {
  if (self.running === active) return null;
  const problem = inPlaceProblem(self.launch, active, self.running);
  on.onModule?.(problem);
  await sleep(LIMITS.agentAgainMs, undefined, { signal: on.signal });
  if (!self.launch.isLaunched) return problem;
  const target = { version: active, previousVersion: null };
  const what = `start agent ${active} again`;
  const busy = await ready(target, on, { what, isUrgent: false, kind: 'swap' });
  if (busy) return busy;
  await clearStarts(on.disk, on.layout, null);
  await self.restart(active, on.signal);
  return problem;
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
      await noteStopped(on.disk, on.layout, target.version);
      await stopOrHold(target, on);
    });
    const failed = lost?.problem ?? (await stepProblem(on, () => strategy.switchTo(target)));
    const unstarted = await stepProblem(on, () => startIfStopped(on, target));
    return failed ?? unstarted;
  } finally {
    // An aborted effect must not release the claim of the rollback that replaced it.
    if (!on.signal.aborted) on.claim?.release();
    on.onMending?.(false);
  }
}
