/**
 * Names who leads the rollouts that a broker shows, in answers of its API, and refuses words to a
 * controller that is not there: the broker answers so, and a dry run of `drover rollout` foretells
 * it. Sans-I/O.
 */

import { DroverError } from '../base/errors.ts';

/** `above`: this is a relay, which leads none. */
export type Led = 'here' | 'above' | 'nobody';

export const isUnled = (led: string | null): led is Exclude<Led, 'here'> =>
  led === 'above' || led === 'nobody';

export function noController(what: string, led: Exclude<Led, 'here'>): DroverError {
  if (led === 'nobody') return new DroverError('NO_CONTROLLER', `${what}: this broker leads none`);
  return new DroverError('NO_CONTROLLER', `${what}: a relay leads none, the broker above may`, {
    hint: 'say it to the broker above, for all of its sites: the same command with --api URL of that broker',
  });
}
