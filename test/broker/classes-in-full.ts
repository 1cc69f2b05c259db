/** Classifies every robot for a rollout from the start: tests compare the kept counts with it. */

import type { RobotRecord } from '../../broker/control/fleet.ts';
import type { ClassCounts, Classified } from '../../broker/rollout/views.ts';

export const classesInFull =
  (fleet: { robots(): readonly RobotRecord[] }) =>
  ({ classOf }: Classified): ClassCounts =>
    fleet.robots().flatMap((record) => {
      const one = classOf(record);
      return one ? [[one, 1] as const] : [];
    });
