/**
 * Rules of a publisher for sets: rollouts that robots take together or not at all leave the list
 * together, and are planned one after another into one announcement. Sans-I/O.
 */

import type {
  AnnouncementFields,
  Rollout,
  RolloutFields,
  RolloutSet,
} from '../../shared/formats/announcement.ts';
import { moduleOf, SLOT_IMAGE } from '../../shared/formats/apply-strategy.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { AGENT_COMPONENT } from '../../shared/rules/agent-bundle.ts';
import { parseRolloutId, type Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';

/** `set-k3f9` */
export function setIdFor(random: () => number): string {
  const suffix = Math.floor(random() * 36 ** 4).toString(36);
  return `set-${suffix.padStart(4, '0')}`;
}

/** `set-k3f9-system`: the rollout of one component in a set. */
export function memberIdFor(setId: string, component: string): string {
  const id = `${setId}-${component}`;
  if (id.length <= LIMITS.idLengthMax) return id;
  const most = LIMITS.idLengthMax - component.length - 1;
  throw new DroverError(
    'USAGE',
    `publish --together: the id of the set is too long (got ${setId.length} characters, want at most ${most} for ${component})`,
  );
}

export interface SetPart {
  readonly rolloutId: string;
  readonly component: string;
  readonly version: string;
  readonly payloadSha256: Sha256Hex;
  /** `apply_strategy` of its manifest. */
  readonly strategy: string;
}

/**
 * @throws DroverError USAGE for one bundle, too many, or two of one component; AGENT_IN_SET for an
 *   agent; SET_MIXED for two system images, or a module beside one
 */
export function planSet(id: string, parts: readonly SetPart[]): RolloutSet {
  if (parts.length < 2 || parts.length > LIMITS.setMembersMax) {
    const want = `want 2 to ${LIMITS.setMembersMax}`;
    throw new DroverError('USAGE', `publish --together: ${parts.length} bundles (${want})`);
  }
  const names = parts.map(({ component }) => component);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) {
    const why = `two bundles of component ${twice}: a set has one of each`;
    throw new DroverError('USAGE', `publish --together: ${why}`);
  }
  if (names.includes(AGENT_COMPONENT)) {
    const why = `${AGENT_COMPONENT} cannot be part of a set: the agent restarts in the middle`;
    throw new DroverError('AGENT_IN_SET', `publish --together: ${why}`);
  }
  const image = imageIn(parts);
  return {
    id: parseRolloutId(id),
    ...(image !== undefined && { image }),
    members: parts.map(({ rolloutId, component, version, payloadSha256 }) => ({
      ...{ rollout: parseRolloutId(rolloutId), component, version },
      payload_sha256: payloadSha256,
    })),
  };
}

/** Component of the one system image; undefined for none. */
function imageIn(parts: readonly SetPart[]): string | undefined {
  const [image, second] = parts.filter(({ strategy }) => strategy === SLOT_IMAGE);
  if (!image) return undefined;
  const module = parts.find(({ strategy }) => moduleOf(strategy) !== null);
  const why =
    (second && `${image.component} and ${second.component} are system images`) ??
    (module && `${module.component} is applied by ${module.strategy}, beside a system image`);
  if (why !== undefined) throw new DroverError('SET_MIXED', `publish --together: ${why}`);
  return image.component;
}

export const inSet = (rollout: RolloutFields, set: RolloutSet): RolloutFields => ({
  ...rollout,
  set: { ...set, members: set.members.map((one) => ({ ...one })) },
});

/**
 * Ids of the announced rollouts that end as well when those of `ending` do: robots take no part of
 * a set alone. A set of which one is still needed by older robots (`stones`) stays as a whole.
 */
export function endingSets(
  active: readonly Pick<Rollout, 'id' | 'set'>[],
  ending: ReadonlySet<string>,
  stones: ReadonlySet<string>,
): { readonly ending: ReadonlySet<string>; readonly stones: ReadonlySet<string> } {
  const [ends, stays] = [new Set(ending), new Set(stones)];
  for (const { set } of active) {
    const ids = set?.members.map(({ rollout }) => rollout) ?? [];
    if (ids.some((id) => stones.has(id))) {
      for (const id of ids) {
        if (ends.delete(id)) stays.add(id);
      }
    } else if (ids.some((id) => ending.has(id))) {
      for (const id of ids) ends.add(id);
    }
  }
  return { ending: ends, stones: stays };
}

/** Rollout ids of the set that a rollout is in; itself alone when it is in none. */
export const membersWith = (rollout: Pick<Rollout, 'id' | 'set'>): string[] =>
  rollout.set?.members.map((one) => one.rollout) ?? [rollout.id];

/** The ids, or names of sets, to end that are still announced before the next plan. */
export const stillActive = (ids: readonly string[], fields: AnnouncementFields): string[] =>
  ids.filter((id) => fields.rollouts.some((one) => one.id === id || one.set?.id === id));
