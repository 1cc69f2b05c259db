/** All findings of `drover doctor`, from the facts that were collected. Sans-I/O. */

import { checkFleet } from './check-fleet.ts';
import { checkHere } from './check-here.ts';
import { checkReach } from './check-reach.ts';
import type { Facts } from './facts.ts';
import type { Finding } from './finding.ts';

export const examine = (facts: Facts): Finding[] => [
  ...checkHere(facts),
  ...checkReach(facts),
  ...checkFleet(facts),
];
