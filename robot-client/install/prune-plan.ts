/**
 * Decides what may be removed from a root: only what Drover made (a recipe or a seal proves it),
 * and nothing that a slot leads to or through; while a slot is not understood, nothing at all. An
 * entry that is not needed and stays is reported with the reason. Sans-I/O.
 */

import { compareVersions, isVersion } from '../../shared/base/version.ts';
import { inWords, type PathKind } from './disk-port.ts';
import type { ReleaseCheck } from './seal.ts';
import {
  foreignProblem,
  isInUse,
  leadsThrough,
  versionOf,
  type Lead,
  type Slots,
} from './slots.ts';

export interface FoundEntry {
  readonly name: string;
  /** Without links in the folders above it. */
  readonly path: string;
  readonly kind: PathKind;
  readonly id: string | null;
}

export interface RootFacts {
  readonly slots: Slots;
  /** Targets of the slots of other components; null for one that cannot be read. */
  readonly siblings?: readonly (Lead | null)[];
  readonly releases: readonly FoundEntry[];
  readonly staging: readonly FoundEntry[];
  /** Versions with a recipe, and those with a seal. */
  readonly recipes: readonly string[];
  readonly seals: readonly string[];
  /** Versions that have a seal of their adoption, which is no record. */
  readonly adopted: readonly string[];
  /** Name in staging/ that is needed still. */
  readonly keepStaging: string | null;
  /** Versions in system slots: one of them runs, whatever the links say. */
  readonly held?: readonly string[];
  /** Release that is kept because what the slots lead to is not whole. */
  readonly spare?: string | null;
}

export interface Left {
  readonly name: string;
  readonly why: string;
}

export interface PrunePlan {
  readonly releases: readonly string[];
  readonly staging: readonly string[];
  readonly recipes: readonly string[];
  readonly seals: readonly string[];
  readonly adopted: readonly string[];
  /** Entries of releases/ that no slot needs. */
  readonly left: readonly Left[];
}

const NONE: readonly string[] = [];
const NOTHING: PrunePlan = {
  ...{ releases: NONE, staging: NONE, recipes: NONE, seals: NONE, adopted: NONE },
  left: [],
};

export function planPrune(facts: RootFacts): PrunePlan {
  const { slots } = facts;
  if (foreignProblem(slots)) return NOTHING;
  const unused = facts.releases.filter(({ path, id }) => !isInUse(slots, path, id));
  const removed: string[] = [];
  const left: Left[] = [];
  for (const entry of unused) {
    const why = whyKept(entry, facts);
    if (why === null) removed.push(entry.name);
    else left.push({ name: entry.name, why });
  }
  const stays = new Set(facts.releases.map(({ name }) => name));
  for (const name of removed) stays.delete(name);
  const lost = [slots.active, slots.rollback].flatMap((slot) =>
    slot.kind === 'lost' && slot.version !== null ? [slot.version] : [],
  );
  const isSpare = (name: string): boolean =>
    isVersion(name) && !stays.has(name) && !lost.includes(name) && !isHeld(name, facts);
  return {
    releases: removed,
    staging: facts.staging.filter((entry) => isOldJob(entry, facts)).map(({ name }) => name),
    recipes: facts.recipes.filter(isSpare),
    seals: facts.seals.filter(isSpare),
    adopted: facts.adopted.filter(isSpare),
    left,
  };
}

/** Why an entry stays for the sake of another component of this robot; null when none needs it. */
function whyOfSibling({ path, id }: FoundEntry, { siblings = [] }: RootFacts): string | null {
  if (siblings.some((lead) => lead && leadsThrough(lead, path, id))) {
    return 'active or rollback of another component of this robot leads there';
  }
  return siblings.includes(null)
    ? 'kept while active or rollback of another component cannot be looked at'
    : null;
}

const isHeld = (version: string, { held = [] }: RootFacts): boolean => held.includes(version);

/** Null for a release that Drover made and that nothing needs any more. */
function whyKept(entry: FoundEntry, facts: RootFacts): string | null {
  const { name, kind } = entry;
  const { slots, recipes, seals, adopted } = facts;
  if (kind !== 'folder') return `${inWords(kind)}, which Drover did not make`;
  if (!isVersion(name)) return 'its name is no version: Drover did not make it';
  if (!recipes.includes(name) && !seals.includes(name)) {
    // It can be linked again by `recover`, like a release of Drover's.
    if (adopted.includes(name)) return 'it was adopted, and what was adopted is never removed';
    return 'no recipe or seal says that Drover made it or adopted it';
  }
  if (isHeld(name, facts)) return 'a system slot holds its image';
  if (name === facts.spare) return 'kept as the last whole one: what the slots lead to is not';
  if (versionOf(slots.active) === null) return 'kept while active leads to no release';
  if (slots.rollback.kind === 'lost') return 'kept while the release of rollback is gone';
  return whyOfSibling(entry, facts);
}

/** Folders of jobs have names of their own; anything else in staging/ is not Drover's. */
function isOldJob({ name, path, kind, id }: FoundEntry, facts: RootFacts): boolean {
  if (kind !== 'folder' || name === facts.keepStaging || !isJobFolder(name)) return false;
  const isLedTo = facts.siblings?.some((lead) => lead && leadsThrough(lead, path, id)) ?? false;
  return !isInUse(facts.slots, path, id) && !isLedTo;
}

/** The names that `stagingFolder` and an adoption by copy give. */
export const isJobFolder = (name: string): boolean =>
  /^(?:[0-9a-f]{32}|adopt-(?:active|rollback))$/.test(name);

/** Facts that decide which release is kept although no slot leads to it. */
export interface SpareFacts {
  /** `absent` for a slot that leads to no release. */
  readonly active: ReleaseCheck['kind'];
  readonly rollback: ReleaseCheck['kind'];
  /** Releases that are whole, that Drover made and that no slot leads to. */
  readonly whole: readonly string[];
  /** Versions that failed here: whole, but not known to work. */
  readonly failed: readonly string[];
}

/**
 * The newest release known to be whole is kept while those in the slots are not whole.
 * @returns null when the slots suffice, or no other release is whole
 */
export function chooseSpare({ active, rollback, whole, failed }: SpareFacts): string | null {
  if (rollback === 'whole') return null;
  const isShort = active !== 'whole' || rollback === 'damaged';
  if (!isShort) return null;
  const newestFirst = [...whole].sort((one, other) => compareVersions(other, one));
  const works = newestFirst.find((version) => !failed.includes(version));
  // A failed version is better than none while the active release is not known to be whole.
  return works ?? (active === 'whole' ? null : (newestFirst[0] ?? null));
}
