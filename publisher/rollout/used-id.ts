/**
 * Refuses a rollout id that was used before. Controller and robots keep what they know of an id, so
 * a bundle under the id of another release would be complete, stopped or recalled from the start.
 * It is refused before anything is sent. Sans-I/O.
 */

import type { Rollout, RolloutFields } from '../../shared/formats/announcement.ts';
import type { Manifest } from '../../shared/formats/manifest.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { base64ToBytes } from '../../shared/crypto/bytes.ts';
import { isAbout, releaseOf } from '../../shared/rules/release-identity.ts';
import { manifestOf, type LedStatus, type Newcomer } from './overlap.ts';

const HINT =
  'give it an id of its own: leave --id out, or name another; its waves then start again';

/** @throws DroverError ROLLOUT_OVERLAP */
export function assertIdIsFree(
  active: readonly { readonly rollout: Rollout }[],
  next: Newcomer,
): void {
  const { rollout, manifest, statuses } = next;
  const same = active.find((one) => one.rollout.id === rollout.id);
  const theirs = same ? manifestOf(same.rollout) : null;
  const refuse = (why: string): never => {
    throw new DroverError('ROLLOUT_OVERLAP', `announce ${nameOf(manifest)}: ${why}`, {
      facts: { rollout: rollout.id },
      hint: HINT,
    });
  };
  if (theirs && nameOf(theirs) !== nameOf(manifest)) {
    refuse(`${nameOf(theirs)} goes by the id ${rollout.id}`);
  }
  const led = same ? undefined : statuses.get(rollout.id);
  if (!led) return;
  if (!isSameRelease(led, rollout)) {
    refuse(`the id ${rollout.id} was that of another release, which is ${led.status}`);
  }
  if (led.status === 'halted' || led.status === 'rolling_back') {
    refuse(`rollout ${rollout.id} was stopped, and stays so: no robot would take it`);
  }
}

/** A rollout of this id stays announced, as with `--alongside`: robots could not tell the two apart. */
export const idStays = ({ rollout, manifest }: Newcomer): DroverError =>
  new DroverError(
    'ROLLOUT_OVERLAP',
    `announce ${nameOf(manifest)}: rollout ${rollout.id} is announced already, and stays so`,
    {
      facts: { rollout: rollout.id },
      hint: `give it an id of its own: leave --id out, or name another; or replace that rollout: --supersede ${rollout.id}`,
    },
  );

const nameOf = ({ name, version }: Manifest): string => `${name} ${version}`;

/** A controller of 0.1 does not say which release it meant: nothing is assumed then. */
function isSameRelease(led: LedStatus, rollout: RolloutFields): boolean {
  const manifest = base64ToBytes(rollout.manifest);
  return led.release !== undefined && manifest !== null && isAbout(led, releaseOf(manifest));
}
