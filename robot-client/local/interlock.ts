/**
 * Decides whether the robot may be taken out of service now. Three things can hold an update that
 * is ready: the maintenance window, the application (POST /ready) and the `ready` hook. A busy
 * robot is not an error, so by default it is waited for without end; a site that wants a report
 * instead sets a deadline, after which the update is given up for now. Nothing here ever allows a
 * swap on a busy robot. Sans-I/O.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { formatDurationMs } from '../../shared/base/durations.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { LocalTime } from '../../shared/rules/start-time.ts';
import type { AfterSwitch } from './ready-lease.ts';
import { windowState, type MaintenanceWindow, type WallClock } from './windows.ts';

/** The site's rules for all updates. */
export interface InterlockRules {
  /** Empty for any time. */
  readonly windows: readonly MaintenanceWindow[];
  readonly wallClock: WallClock;
  /** Of the same zone, with the date; UTC when it is left out. */
  readonly localTime?: LocalTime | undefined;
  /** How long a robot may stay busy before the update is given up for now; null for no deadline. */
  readonly readyDeadlineMs: number | null;
  /** A busy robot is asked again after this. */
  readonly readyIntervalMs: number;
  /** The action when a ready lease is lost after the switch: stay in probation, or go back. */
  readonly leaseLostAfterSwitch: AfterSwitch;
}

export const ALWAYS_OPEN: InterlockRules = {
  windows: [],
  wallClock: () => ({ day: 0, minute: 0 }),
  readyDeadlineMs: null,
  readyIntervalMs: LIMITS.readyIntervalMs,
  leaseLostAfterSwitch: 'stay',
};

export interface InterlockFacts {
  /** The intended action, for the report: `swap to 1.2.0`. */
  readonly what: string;
  /** An emergency and a recall do not wait for a window. */
  readonly ignoresWindows: boolean;
  /** The application's last POST /ready; null without one. */
  readonly said: { readonly ready: boolean; readonly reason: string } | null;
  /** The answer of the `ready` hook; null when it did not run yet. */
  readonly hook: { readonly kind: 'ready' | 'busy' | 'broken'; readonly words: string } | null;
  /** How long the robot has been busy, on a monotonic clock. */
  readonly busyMs: number;
  readonly now: EpochMs;
}

export type InterlockDecision =
  | { readonly kind: 'go' }
  /** Everything else is open: run the `ready` hook and decide again. */
  | { readonly kind: 'askHook' }
  /** `isBusy`: the robot was asked and is not ready; false while the window is closed. */
  | {
      readonly kind: 'wait';
      readonly reason: string;
      readonly wakeAtMs: EpochMs;
      readonly isBusy: boolean;
    }
  | { readonly kind: 'giveUp'; readonly problem: Problem };

export function decideInterlock(rules: InterlockRules, facts: InterlockFacts): InterlockDecision {
  const { now, said, hook } = facts;
  if (!facts.ignoresWindows) {
    const window = windowState(rules.windows, rules.wallClock, now);
    if (window.kind === 'closed') {
      const windows = rules.windows.map(({ text }) => text).join('; ');
      const reason = `the maintenance window (${windows})`;
      return { kind: 'wait', reason, wakeAtMs: window.opensAtMs, isBusy: false };
    }
  }
  const isHeld = said?.ready === false;
  if (!isHeld && hook === null) return { kind: 'askHook' };
  if (!isHeld && hook?.kind === 'ready') return { kind: 'go' };
  // A broken interlock counts as closed.
  const reason =
    !isHeld && hook?.kind === 'broken'
      ? `the ready hook (${hook.words})`
      : `the robot is busy: ${isHeld ? said.reason : (hook?.words ?? '')}`;
  const { readyDeadlineMs: deadlineMs } = rules;
  if (deadlineMs === null || facts.busyMs < deadlineMs) {
    return { kind: 'wait', reason, wakeAtMs: now + rules.readyIntervalMs, isBusy: true };
  }
  const message = `${facts.what}: not ready within ${formatDurationMs(deadlineMs)}; ${reason}`;
  return { kind: 'giveUp', problem: toProblem(new DroverError('READY_DEADLINE', message)) };
}
