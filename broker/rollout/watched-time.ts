/**
 * Computes the time for which a rollout was watched. A soak is evidence only for hours in which a
 * controller ran. So a clock that is corrected, an appliance whose clock starts in 1970 and a
 * broker that was off must neither end a soak early nor lengthen it: what the wall clock moves
 * beyond the elapsed time moves the times of a record along. Sans-I/O.
 */

import { formatDurationMs } from '../../shared/base/durations.ts';
import type { EpochMs, MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { RolloutRun } from './record.ts';
import type { RolloutStep } from './steps.ts';

/** When a rollout was reconciled last: by the wall clock and by the monotonic clock. */
export interface Moment {
  /** 0 when unknown. */
  readonly now: EpochMs;
  /** Null when another process did it. */
  readonly mono: MonoMs | null;
}

/** Milliseconds that were not watched; negative when the clock was set back, 0 when negligible. */
export function unwatchedMs(last: Moment, at: { now: EpochMs; mono: MonoMs }): number {
  if (last.now === 0) return 0;
  const passed = last.mono === null ? 0 : at.mono - last.mono;
  const step = Math.round(at.now - last.now - passed); // a monotonic clock has fractions
  return Math.abs(step) < LIMITS.clockStepMsMin ? 0 : step;
}

/**
 * True when a record is due to be saved only for its time: a start then knows when it was watched.
 */
export const isTimeDue = (run: RolloutRun, now: EpochMs): boolean =>
  isOn(run) && Math.abs(now - run.watchedAtMs) >= LIMITS.watchedSaveMs;

const isOn = ({ status, withdrawn }: RolloutRun): boolean =>
  (status === 'rolling' || status === 'paused') && !withdrawn;

/**
 * A record whose soak, pause, places and batches continue from where they were. The moment at which
 * the wave opened stays, as in the history: nothing is counted from it.
 */
export function moveTimes(run: RolloutRun, byMs: number): RolloutStep {
  const move = (at: EpochMs): EpochMs => Math.max(0, at + byMs);
  const moveSome = (at: EpochMs | null): EpochMs | null => (at === null ? null : move(at));
  const moveBegun = (at: number): number => (at === 0 ? 0 : Math.max(1, at + byMs));
  const { pending } = run.evidence;
  const [sinceMs, tasksSinceMs] = [moveBegun(pending.sinceMs), moveBegun(pending.tasksSinceMs)];
  const moved: RolloutRun = {
    ...run,
    soakSinceMs: moveSome(run.soakSinceMs),
    pausedAtMs: moveSome(run.pausedAtMs),
    places: run.places.map((place) => ({ ...place, untilMs: move(place.untilMs) })),
    evidence: { ...run.evidence, pending: { ...pending, sinceMs, tasksSinceMs } },
  };
  const isTold = isOn(run) && Math.abs(byMs) >= LIMITS.clockStepToldMs;
  const audit = {
    kind: 'clock_moved',
    by: 'controller',
    text: tellOf(byMs),
    evidence: [],
  } as const;
  return { run: moved, audit: isTold ? [audit] : [], isNews: false };
}

const MINUTE_MS = 60_000;

function tellOf(byMs: number): string {
  const grainMs = Math.abs(byMs) < 10 * MINUTE_MS ? 1_000 : MINUTE_MS;
  const span = formatDurationMs(Math.round(Math.abs(byMs) / grainMs) * grainMs);
  const what =
    byMs > 0 ? `${span} by the clock were not watched` : `the clock was put back by ${span}`;
  return `${what}: the soak goes on from where it was`;
}
