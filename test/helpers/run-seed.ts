/** The number from which a run of the tests chooses its share of long walks; see share.ts. */

import { randomInt } from 'node:crypto';

export const SEED_VARIABLE = 'DROVER_TEST_SEED';
const SEEDS = 1_000_000;

/**
 * Given by the runner or by a person; else another one with every start.
 *
 * @throws Error when what was given is no whole number of 32 bits
 */
export function seedOfRun(): number {
  const given = Number(process.env[SEED_VARIABLE] || randomInt(SEEDS));
  if (Number.isInteger(given) && given >= 0 && given < 2 ** 32) return given;
  throw new Error(`${SEED_VARIABLE} is no seed (want a whole number from 0 to ${2 ** 32 - 1})`);
}
