/**
 * Keeps the rollouts of a set together: robots take all bundles of a set or none, so a rollout that
 * is stopped, by its gate or by a person, stops the others of its set. Sans-I/O.
 */

import type { ErrorCode } from '../../shared/base/error-catalogue.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { OperatorCommand } from './operator-commands.ts';
import type { RolloutPlan, RolloutRun } from './record.ts';
import { rolloutsOfSet, type Announced } from './set-names.ts';

/** A rollout of a set that did not take a command because of its signature. */
export interface RefusedMember {
  readonly rollout: string;
  readonly code: ErrorCode;
  readonly message: string;
}

/** Refusals that go away with another signature; others say that a rollout is past the command. */
const OF_SIGNATURES: readonly ErrorCode[] = [
  ...(['APPROVAL_UNSIGNED', 'APPROVAL_KEY_WRONG', 'APPROVAL_INVALID'] as const),
  ...(['APPROVAL_OF_ANOTHER', 'APPROVAL_CLOCK'] as const),
];

export interface SetOrder {
  readonly id: string;
  readonly said: OperatorCommand;
}

type Plans = ReadonlyMap<string, Pick<RolloutPlan, 'rollout'>>;
type Run = Pick<RolloutRun, 'status' | 'recall'>;

/** The other rollouts of the set that a rollout is in. */
export function othersOfSet(id: string, plans: Plans): string[] {
  const members = plans.get(id)?.rollout.set?.members ?? [];
  return members.map(({ rollout }) => rollout as string).filter((one) => one !== id);
}

/**
 * Gives a command to a rollout and the others of its set, or by its name to all rollouts of a set.
 * One that is past the command keeps its state.
 * @returns the others that wanted another signature
 * @throws DroverError of the rollout that was named, or of a set of which none takes the command
 */
export async function obeyTogether(
  name: string,
  plans: Plans,
  obey: (id: string) => Promise<void>,
): Promise<RefusedMember[]> {
  const ids = rolloutsOfSet(name, announcedIn(plans));
  if (ids.length === 0) await obey(name);
  const refused: RefusedMember[] = [];
  let [taken, refusal]: [number, unknown] = [0, null];
  for (const id of ids.length === 0 ? othersOfSet(name, plans) : ids) {
    try {
      await obey(id);
      taken += 1;
    } catch (error) {
      const { code, message } = asRefusal(error);
      if (OF_SIGNATURES.includes(code)) refused.push({ rollout: id, code, message });
      refusal ??= error;
    }
  }
  if (ids.length > 0 && taken === 0) throw refusal;
  return refused;
}

export const announcedIn = (plans: Plans): Announced[] =>
  [...plans.values()].map(({ rollout }) => rollout);

/** The orders by which rollouts follow another one of their set that was stopped or recalled. */
export function ordersOfSets(
  plans: Plans,
  tracked: ReadonlyMap<string, { readonly run: Run }>,
): SetOrder[] {
  const runOf = (id: string): Run | undefined => tracked.get(id)?.run;
  return [...plans].flatMap(([id, { rollout }]): SetOrder[] => {
    const own = runOf(id);
    if (!own || !rollout.set || own.recall) return [];
    const others = othersOfSet(id, plans);
    const recalled = others.find((one) => runOf(one)?.recall === true);
    const halted = others.find((one) => runOf(one)?.status === 'halted');
    const because = recalled ?? (own.status === 'halted' ? undefined : halted);
    if (because === undefined) return [];
    const command = recalled === undefined ? 'abort' : 'rollback';
    const what = recalled === undefined ? 'was halted' : 'goes back';
    const reason = `rollout ${because} of set ${rollout.set.id} ${what}`;
    return [{ id, said: { command, who: 'controller', reason } }];
  });
}

/** A rollout of a set may be past the command that another one obeyed. */
function asRefusal(error: unknown): DroverError {
  if (!(error instanceof DroverError)) throw error;
  return error;
}
