/**
 * A verb about an id that may be the name of a set: it is asked of each rollout of the set, and the
 * answers stand one below the other.
 */

import type { Painter } from '../../shared/base/tints.ts';
import { toProblem } from '../../shared/base/errors.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { word } from '../../shared/rules/rollout-words.ts';
import type { ApiClient } from '../rollout/api-client.ts';
import { parseRolloutOrSet, type RolloutAnswer } from '../rollout/rollout-answer.ts';
import { rolloutPath } from './rollout-options.ts';

/** The answer about one rollout: for `--json`, and as lines. */
export interface ToldOfOne {
  readonly fields: object;
  readonly lines: readonly string[];
  readonly paint?: Painter;
}

interface Asked {
  readonly api: ApiClient;
  readonly id: string;
  readonly json: boolean;
}

/** Prints the answer about a rollout, or about each rollout of a set. */
export async function forEachNamed(
  { api, id, json }: Asked,
  read: (id: string) => Promise<ToldOfOne>,
): Promise<void> {
  const named = await readNamed(api, id);
  const output = makeOutput(json);
  if (named === null || named.set === null) {
    const { fields, lines, paint } = await read(id);
    return output.result(fields, lines, paint);
  }
  const all: { component: string | null; fields: object }[] = [];
  const lines: string[] = [];
  for (const one of named.rollouts) {
    const told = await read(one.id);
    all.push({ component: one.component, fields: told.fields });
    lines.push(...(lines.length > 0 ? [''] : []), `${titleOf(one)}:`, ...told.lines);
  }
  const rollouts = all.map(({ component, fields }) => ({ component, ...fields }));
  output.result({ set: named.set, rollouts }, lines);
}

/** `third-app, app 2.0.0` */
export const titleOf = ({ id, component, version }: RolloutAnswer): string =>
  `${word(id)}, ${word(component ?? 'unknown')} ${word(version ?? '?')}`;

/** Null for an id that this broker does not know: the verb itself says so. */
async function readNamed(
  api: ApiClient,
  id: string,
): Promise<ReturnType<typeof parseRolloutOrSet> | null> {
  try {
    return parseRolloutOrSet(await api.get(rolloutPath(id)));
  } catch (error) {
    if (toProblem(error).code === 'NOT_FOUND') return null;
    throw error;
  }
}

/**
 * The rollouts that a command about an id is about: those of the set that it names, or that it is
 * in. The one that was named comes first.
 */
export async function readTogether(
  api: ApiClient,
  id: string,
): Promise<{ readonly set: string | null; readonly rollouts: readonly RolloutAnswer[] }> {
  const named = parseRolloutOrSet(await api.get(rolloutPath(id)));
  const [first] = named.rollouts;
  if (named.set !== null || first.set === null) return named;
  const others: RolloutAnswer[] = [];
  for (const { rollout } of first.set.members) {
    if (rollout === first.id) continue;
    const found = await readNamed(api, rollout);
    others.push(...(found?.rollouts ?? []));
  }
  return { set: first.set.id, rollouts: [first, ...others] };
}
