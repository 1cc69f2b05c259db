/** The oracle of the kept counts: classifies every robot for a rollout. */

import type { RobotRecord } from '../../broker/control/fleet.ts';
import type { ClassCounts, Classified } from '../../broker/rollout/views.ts';

export const classesInFull =
  (fleet: { robots(): readonly RobotRecord[] }) =>
  ({ classOf }: Classified): ClassCounts =>
    fleet.robots().flatMap((record) => {
      const one = classOf(record);
      return one ? [[one, 1] as const] : [];
    });
