/** Runs the interlock until it opens: a loop around `decideInterlock`, without rules of its own. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { decideInterlock, type InterlockFacts, type InterlockRules } from './interlock.ts';
import { describeHook } from '../install/hooks.ts';
import type { HookResult } from '../install/hooks.ts';

export interface ReadyInput extends Pick<InterlockFacts, 'what' | 'ignoresWindows'> {
  readonly rules: InterlockRules;
  readonly signal: AbortSignal;
  now(): EpochMs;
  /** The application's last POST /ready; null without one. */
  said(): InterlockFacts['said'];
  askHook(): Promise<HookResult>;
  /** Null when nothing is waited for any more. */
  onWaiting(reason: string | null, wakeAtMs: EpochMs | null): void;
}

/** @returns null when the robot is ready; the problem when the rules give up */
export async function untilReady(input: ReadyInput): Promise<Problem | null> {
  let busySinceMs: number | null = null;
  let hook: InterlockFacts['hook'] = null;
  for (;;) {
    input.signal.throwIfAborted();
    const now = input.now();
    const busyMs = busySinceMs === null ? 0 : performance.now() - busySinceMs;
    const { what, ignoresWindows } = input;
    const facts = { what, ignoresWindows, said: input.said(), hook, busyMs, now };
    const decision = decideInterlock(input.rules, facts);
    if (decision.kind === 'askHook') {
      hook = answerOf(await input.askHook());
      continue;
    }
    if (decision.kind !== 'wait') {
      input.onWaiting(null, null);
      return decision.kind === 'giveUp' ? decision.problem : null;
    }
    input.onWaiting(decision.reason, decision.wakeAtMs);
    // Hours outside of the maintenance window do not count towards the deadline.
    busySinceMs = decision.isBusy ? (busySinceMs ?? performance.now()) : null;
    hook = null;
    // The clock may be corrected meanwhile, so a long wait is split.
    const waitMs = Math.min(Math.max(0, decision.wakeAtMs - now), LIMITS.windowLookMs);
    await sleep(waitMs, undefined, { signal: input.signal });
  }
}

function answerOf(result: HookResult): InterlockFacts['hook'] {
  const words = describeHook(result);
  if (result.kind === 'ok' || result.kind === 'absent') return { kind: 'ready', words };
  return { kind: result.kind === 'busy' ? 'busy' : 'broken', words };
}
