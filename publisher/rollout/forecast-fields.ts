/** The forecast of a rollout as fields of a `--json` answer. Sans-I/O. */

import { EXAMPLES, isStandstill, OUTLOOKS, type Forecast, type Outlook } from './forecast.ts';

/** Left out of an answer while no robot has it. */
const isRare = (one: Outlook): boolean =>
  isStandstill(one) || RARE.some((answer) => answer === one);
const RARE = ['SET_INCOMPLETE', 'MANIFEST_INVALID', 'REQUIRES_UNMET', 'REQUIRES_UNKNOWN'] as const;

/** The same for `--json`. */
export function forecastFields(found: Forecast | null): object | null {
  if (found === null) return null;
  const { known, notTargeted, lacking, robots, unreported, clockAhead, machineUnasked } = found;
  const { setUnasked, imageUnasked, budgetUnasked, startUnasked } = found;
  const counts = Object.fromEntries(
    OUTLOOKS.filter((one) => !isRare(one) || robots[one].length > 0).map((one) => [
      one,
      robots[one].length,
    ]),
  );
  const examples = Object.fromEntries(
    OUTLOOKS.filter((one) => robots[one].length > 0).map((one) => [
      one,
      robots[one].slice(0, EXAMPLES),
    ]),
  );
  const missing = unreported.length > 0 && { unreported: unreported.slice(0, EXAMPLES) };
  const clocks = clockAhead.length > 0 && { clock_ahead: clockAhead.slice(0, EXAMPLES) };
  const unasked = machineUnasked.length > 0 && {
    machine_unasked: machineUnasked.slice(0, EXAMPLES),
  };
  return {
    known,
    not_targeted: notTargeted,
    ...(lacking.length > 0 && { lack_component: lacking.slice(0, EXAMPLES) }),
    ...counts,
    examples,
    ...missing,
    ...clocks,
    ...unasked,
    ...(setUnasked.length > 0 && { set_unasked: setUnasked.slice(0, EXAMPLES) }),
    ...(budgetUnasked.length > 0 && { budget_unasked: budgetUnasked.slice(0, EXAMPLES) }),
    ...(startUnasked.length > 0 && { start_unasked: startUnasked.slice(0, EXAMPLES) }),
    ...(imageUnasked.length > 0 && { set_image_unasked: imageUnasked.slice(0, EXAMPLES) }),
  };
}
