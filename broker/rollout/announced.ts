/**
 * Describes the announced rollouts from the stored control messages, and warns before something
 * expires.
 */

import type { Announcement } from '../../shared/formats/announcement.ts';
import { nullIfRefused, toProblem, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { peekProgress, type Progress } from '../../shared/formats/progress.ts';
import { PROGRESS_FILTER } from '../../shared/formats/topics.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { clockProblem } from '../../shared/rules/clock-off.ts';
import { describeExpiry, type ExpiryView } from '../control/expiry.ts';
import type { Fleet } from '../control/fleet.ts';
import { factsOfAnnounced, type RolloutFacts } from './rollout-facts.ts';
import type { RolloutClasses } from './rollout-classes.ts';
import { classifiedOf, describeRollouts, type RolloutView } from './views.ts';
import { readAnnouncement, type ControlStore } from '../control/control-store.ts';

/** With a trust file only verified announcements are stored. */
export async function readRollouts(parts: {
  readonly trust: TrustRoot | null;
  readonly control: ControlStore;
  readonly classes: RolloutClasses;
}): Promise<RolloutView[]> {
  const { trust, control, classes } = parts;
  await classes.catchUp(classifiedOf(readAnnouncement(control)));
  const announcement = readAnnouncement(control); // another may have arrived meanwhile
  const progress = readProgress(control);
  const verified = trust !== null;
  return describeRollouts({ announcement, progress, verified, classes: (one) => classes.of(one) });
}

function readProgress(control: ControlStore): Map<string, Progress> {
  const progress = new Map<string, Progress>();
  for (const { payload } of control.match(PROGRESS_FILTER)) {
    const one = nullIfRefused(() => peekProgress(payload));
    if (one) progress.set(one.rollout, one);
  }
  return progress;
}

/** Null for a rollout that is not announced. */
export function readFacts(
  id: string,
  { control, fleet }: { readonly control: ControlStore; readonly fleet: Fleet },
): RolloutFacts | null {
  const progress = readProgress(control).get(id) ?? null;
  const announcement = readAnnouncement(control);
  return factsOfAnnounced(id, { announcement, progress, robots: fleet.robots() });
}

export interface ExpiryParts {
  readonly trust: TrustRoot | null;
  readonly control: ControlStore;
  readonly fleet: Fleet;
  /** Null when this broker leads no rollouts. */
  readonly lead: { problem(): Problem | null } | null;
  /** The announcement on the engine that was refused because it has expired; else null. */
  expired?(): Announcement | null;
}

/**
 * When the trust root and the announcement expire, by this machine's clock, and who renews them.
 */
export function readExpiry({ trust, control, fleet, lead, expired }: ExpiryParts): ExpiryView {
  const announcement = readAnnouncement(control) ?? expired?.() ?? null;
  const problem = lead?.problem() ?? null;
  const renews = lead !== null && problem === null;
  const view = describeExpiry({ trust, announcement, renews, now: Date.now() });
  // First: with a wrong clock the other problems need not be true.
  const clock = clockProblem(fleet.clocksAheadMs());
  const problems = [...(clock ? [toProblem(clock)] : []), ...view.problems];
  return { ...view, problems: problem ? [...problems, problem] : problems };
}

/**
 * Logs, at most once a day each, what expires soon or has expired, and a wrong clock.
 * @returns a function that stops it
 */
export function watchExpiry(view: () => ExpiryView, log: Log): () => void {
  const toldMs = new Map<string, number>();
  const tell = (): void => {
    const now = performance.now();
    for (const problem of view().problems) {
      const before = toldMs.get(problem.code);
      if (before !== undefined && now - before < LIMITS.expiryTellMs) continue;
      toldMs.set(problem.code, now);
      const isOver = problem.code.endsWith('_EXPIRED');
      log[isOver ? 'error' : 'warn']({ problem }, problem.message);
    }
  };
  tell();
  const timer = setInterval(tell, LIMITS.expirySeekMs);
  timer.unref();
  return () => clearInterval(timer);
}
