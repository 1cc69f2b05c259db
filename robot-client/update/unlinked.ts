/**
 * Decides about a root with releases when neither a link nor a state says which of them ran. That
 * is reported, and never taken for "nothing is installed". Sans-I/O.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { compareVersions } from '../../shared/base/version.ts';
import { expectedOf, isUnderWay, type MachineState } from './state.ts';
import { withExpected, type Slot, type Slots } from '../install/slots.ts';

/** True for a slot that leads to nothing, and not by a link that Drover did not make. */
export const leadsNowhere = ({ kind }: Slot): boolean => kind === 'absent' || kind === 'lost';

/** True when no slot shows what ran: a `rollback` that Drover did not make shows nothing. */
export const leadNowhere = ({ active, rollback }: Slots): boolean =>
  leadsNowhere(active) && rollback.kind !== 'release';

const HINT =
  'drover-robot recover --root DIR --no-boot links the release that is whole; of several: drover-robot recover --root DIR --release VERSION --no-boot; or publish a version';

/** @param versions releases in the root */
export function unlinkedProblem(versions: readonly string[]): Problem {
  const which = versions.join(', ');
  const message = `read active: the link is gone, and nothing says which release it led to (there: ${which})`;
  return toProblem(new DroverError('RELEASE_LOST', message, { hint: HINT }));
}

/** True while the state has unlinked releases, and nothing was linked since. */
export const isUnlinked = (slots: Slots, { unlinked }: Pick<MachineState, 'unlinked'>): boolean =>
  unlinked.length > 0 && leadNowhere(slots);

/** The slots as a component sees them: a missing `active` that should exist is lost. */
export function slotsWith(slots: Slots, state: MachineState): Slots {
  const { phase, unlinked } = state;
  if (
    isUnderWay(phase) ||
    phase === 'stuck' ||
    phase === 'probation' ||
    !isUnlinked(slots, state)
  ) {
    return withExpected(slots, expectedOf(state));
  }
  const problem = unlinkedProblem(unlinked);
  return { ...slots, active: { kind: 'lost', version: null, problem } };
}

export interface UnlinkedFacts {
  /** Releases that are whole. */
  readonly whole: readonly string[];
  /** Versions that other files name as what ran, the best first. */
  readonly named: readonly string[];
}

/** The release to link; null when there is none, or several and nothing names one. */
export function chooseUnlinked({ whole, named }: UnlinkedFacts): string | null {
  const known = named.find((version) => whole.includes(version));
  return known ?? (whole.length === 1 ? (whole[0] ?? null) : null);
}

/** The problem when a person has to choose among several. Newest first. */
export function askWhich(whole: readonly string[]): Problem {
  const versions = [...whole].sort((one, other) => compareVersions(other, one));
  const message = `read active: the link is gone, and several releases are whole: ${versions.join(', ')}`;
  const hint = `choose the one that ran: drover-robot recover --root DIR --release ${versions[0]} --no-boot; or publish a version`;
  return toProblem(new DroverError('RELEASE_LOST', message, { hint }));
}
