/**
 * Decides whether the fleet waits for what an idle robot counts. While a rollout that is announced
 * is not over, its gate compares robots by the hour, those that take no part in it as well. When
 * all are over, a heartbeat now and then is enough: what is worth a look (a crash, a transition) is
 * reported at once anyway. A robot that has just been updated is watched on: late robots are judged
 * after a rollout is complete, and hours that come late must not make a crash look more frequent.
 * Sans-I/O.
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
  // Without a word of a controller nothing is known to be over.
  const isGoingOn = (announcement?.rollouts ?? []).some(({ id }) => {
    const status = progress.get(id)?.status;
    return status !== 'complete' && status !== 'halted';
  });
  if (isGoingOn) return true;
  return components.some(({ state: { phase, lastUpdate } }) => {
    if (phase !== 'idle') return true;
    if (lastUpdate === null) return false;
    // Either way: a clock that was put back must not end the watch before its time.
    return Math.abs(now - lastUpdate.endedAtMs) < LIMITS.watchedAfterUpdateMs;
  });
}
