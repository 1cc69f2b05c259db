/**
 * Finds rollouts by the name of their set, and says which ids there are where one is unknown. The
 * id of a rollout comes before a set of the same name. Sans-I/O.
 */

import type { RolloutSet } from '../../shared/formats/announcement.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';

/** An announced rollout, as far as it is asked for by a name. */
export interface Announced {
  readonly id: string;
  readonly set?: RolloutSet | null | undefined;
}

/** The announced rollouts of a set, in its order; none for a name that is no set, or is an id. */
export function rolloutsOfSet(name: string, announced: readonly Announced[]): string[] {
  if (announced.some(({ id }) => id === name)) return [];
  const set = announced.find((one) => one.set?.id === name)?.set;
  const ids = set?.members.map(({ rollout }): string => rollout) ?? [];
  return ids.filter((id) => announced.some((one) => one.id === id));
}

/** @param what of the message: `find rollout x` */
export function unknownRollout(
  what: string,
  name: string,
  announced: readonly Announced[],
): DroverError {
  const members = rolloutsOfSet(name, announced);
  if (members.length > 0) {
    const why = `it is a set, and this is asked of one of its rollouts: ${members.join(', ')}`;
    return new DroverError('NOT_FOUND', `${what}: ${why}`, { hint: `ask for ${members[0]}` });
  }
  return new DroverError('NOT_FOUND', `${what}: it is not announced`, {
    hint: hintOf(name, announced),
  });
}

function hintOf(name: string, announced: readonly Announced[]): string {
  const sets = new Set(announced.flatMap(({ set }) => set?.id ?? []));
  const ids = [...new Set([...announced.map(({ id }) => id), ...sets])];
  if (ids.length === 0) return 'no rollout is announced; drover publish announces one';
  const sorted = ids.toSorted((a, b) => likeness(b, name) - likeness(a, name));
  const more = ids.length > LIMITS.examplesMax ? ', …' : '';
  const named = sorted.slice(0, LIMITS.examplesMax).join(', ');
  return `announced: ${named}${more}; drover rollout list shows all`;
}

/** The length of the beginning that both share, and more when one is in the other. */
function likeness(id: string, name: string): number {
  if (name === '') return 0;
  const isWithin = id.includes(name) || name.includes(id);
  let shared = 0;
  while (shared < id.length && id[shared] === name[shared]) shared += 1;
  return shared + (isWithin ? LIMITS.idLengthMax : 0);
}
