/**
 * Decides whether the fleet waits for the counters of an idle robot. While an announced rollout is
 * not over, its gate compares robots by the hour, including those that take no part in it. When all
 * are over, a rare heartbeat is enough: important events (a crash, a transition) are reported at
 * once anyway. A robot that was just updated stays watched: late robots are judged after a rollout
 * is complete, and hours that arrive late must not make a crash look more frequent. Sans-I/O.
 */

import type { Announcement } from '../../shared/formats/announcement.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Progress } from '../../shared/formats/progress.ts';
import type { ComponentView } from './report.ts';

export interface Heard {
  readonly announcement: Pick<Announcement, 'rollouts'> | null;
  readonly progress: ReadonlyMap<string, Pick<Progress, 'status'>>;
}

export function isWatched(
  { announcement, progress }: Heard,
  components: readonly Pick<ComponentView, 'state'>[],
  now: EpochMs,
): boolean {
  // Without a controller's progress nothing is known to be over.
  const isGoingOn = (announcement?.rollouts ?? []).some(({ id }) => {
    const status = progress.get(id)?.status;
    return status !== 'complete' && status !== 'halted';
  });
  if (isGoingOn) return true;
  return components.some(({ state: { phase, lastUpdate } }) => {
    if (phase !== 'idle') return true;
    if (lastUpdate === null) return false;
    // In both directions: a clock that was set back must not end the watch early.
    return Math.abs(now - lastUpdate.endedAtMs) < LIMITS.watchedAfterUpdateMs;
  });
}
