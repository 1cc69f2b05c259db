/**
 * Decides what `active` and `rollback` are, from what was found on the disk. A link counts by where
 * it really leads, however it is spelled. Anything that Drover did not make is `foreign`: it is
 * reported, and nothing is swapped, rolled back or removed over it. Sans-I/O.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { ForeignSlotCode } from '../../shared/rules/standstill.ts';
import { isVersion } from '../../shared/base/version.ts';
import { linkTarget, versionOfLink } from './layout.ts';
import type { PathKind } from './disk-port.ts';

export type SlotName = 'active' | 'rollback';

/** The end of a path after every link on the way. */
export type PathEnd =
  | {
      readonly kind: 'there';
      readonly what: Exclude<PathKind, 'link' | 'absent'>;
      /** Without links, from `/` on. */
      readonly path: string;
      /** Device and inode: equal for two paths that a bind mount makes to one folder. */
      readonly id: string;
    }
  /** `path` is what is not there, or the link that is one too many. */
  | { readonly kind: 'absent'; readonly path: string }
  | { readonly kind: 'loop'; readonly path: string }
  | {
      readonly kind: 'unreadable';
      readonly why: string;
      /** A name on the way is not UTF-8: it may lead to a whole release. */
      readonly isUnspelled?: boolean;
    };

export interface SlotFacts {
  readonly name: SlotName;
  /** `unreadable` when the slot itself cannot be read. */
  readonly kind: PathKind | 'unreadable';
  /** Text of the link; null when the slot is none. */
  readonly text: string | null;
  readonly end: PathEnd;
  /** Links that are followed and folders that are left by `..`, without links in the paths. */
  readonly way: readonly string[];
}

export interface ReleasesFacts {
  /** `releases/` without links; null when it cannot be found. */
  readonly path: string | null;
  /** Names in `releases/` that lead to where the slot ends. */
  readonly namesOfEnd: readonly string[];
}

export type Slot =
  | { readonly kind: 'absent' }
  | {
      readonly kind: 'release';
      readonly version: string;
      /** The text of the link is the one that Drover writes. */
      readonly isOurs: boolean;
      /** It leads out of releases/, where others may remove it unaware of Drover. */
      readonly isOutside: boolean;
      readonly end: { readonly path: string; readonly id: string };
      readonly way: readonly string[];
    }
  /**
   * A link of Drover's to a release that is gone, or a link that is gone; null when its target is
   * unknown.
   */
  | { readonly kind: 'lost'; readonly version: string | null; readonly problem: Problem }
  | {
      readonly kind: 'foreign';
      readonly problem: Problem;
      /** Folder that the link leads to, without links; null when it leads to none. */
      readonly end: string | null;
    };

export interface Slots {
  readonly active: Slot;
  readonly rollback: Slot;
}

export const NO_SLOTS: Slots = { active: { kind: 'absent' }, rollback: { kind: 'absent' } };

const NO_WAY_BACK_HINT =
  'what runs goes on, and cannot go back: stop the agent and type drover-robot recover --root DIR --no-boot, which leads rollback to an older whole release or removes the link; the next version brings a way back';

export function classifySlot(facts: SlotFacts, releases: ReleasesFacts): Slot {
  const { name, kind, text, end, way } = facts;
  const foreign = (code: ForeignSlotCode, why: string): Slot => ({
    kind: 'foreign',
    problem: toProblem(new DroverError(code, `read ${name}: ${why}`)),
    end: end.kind === 'there' && end.what === 'folder' ? end.path : null,
  });
  if (kind === 'absent') return { kind: 'absent' };
  if (end.kind === 'unreadable') {
    return foreign(end.isUnspelled ? 'SLOT_NOT_UTF8' : 'SLOT_UNREADABLE', end.why);
  }
  if (kind === 'unreadable') return foreign('SLOT_UNREADABLE', 'cannot be looked at');
  if (kind === 'folder') return foreign('SLOT_FOLDER', 'a plain folder and not a link');
  if (kind !== 'link') return foreign('SLOT_NO_RELEASE', 'neither a link nor a folder');
  if (end.kind === 'loop') return foreign('SLOT_LOOP', `${text} leads round in a circle`);
  if (end.kind === 'absent') {
    const lost = versionOfLink(text);
    if (lost === null || !isVersion(lost)) {
      return foreign('SLOT_DANGLING', `${text} leads to nothing (${end.path} is not there)`);
    }
    const message = `read ${name}: its release ${lost} is gone`;
    const more = name === 'rollback' ? { hint: NO_WAY_BACK_HINT } : {};
    return {
      kind: 'lost',
      version: lost,
      problem: toProblem(new DroverError('RELEASE_LOST', message, more)),
    };
  }
  if (end.what !== 'folder') return foreign('SLOT_NO_RELEASE', `${text} leads to no folder`);
  const version = versionAt(end.path, releases);
  if (version === null) {
    const isInside = releases.path !== null && isWithin(releases.path, end.path);
    return isInside
      ? foreign('SLOT_NAME', `${text} leads to ${end.path}, whose name is no version`)
      : foreign('SLOT_OUTSIDE', `${text} leads to ${end.path}, outside of releases/`);
  }
  const { path, id } = end;
  const isOurs = text === linkTarget(version);
  const isOutside = releases.path !== null && !isWithin(releases.path, path);
  return { kind: 'release', version, isOurs, isOutside, end: { path, id }, way };
}

/** It may be a whole release: it is neither lost nor a person's. */
export const isUnknown = (slot: Slot): boolean =>
  slot.kind === 'foreign' && ['SLOT_UNREADABLE', 'SLOT_NOT_UTF8'].includes(slot.problem.code);

/**
 * A slot that leads through the other one is lost with it: absent, or with a release that is gone.
 * It is not a stranger's link, and the release that boots can be found again.
 * @param on `root` without links
 */
export function withLostTogether(
  slots: Slots,
  on: { readonly root: string; readonly facts: Readonly<Record<SlotName, SlotFacts>> },
): Slots {
  const read = (name: SlotName, other: SlotName): Slot => {
    const [slot, through] = [slots[name], slots[other]];
    if (slot.kind !== 'foreign' || slot.problem.code !== 'SLOT_DANGLING') return slot;
    if (through.kind !== 'absent' && through.kind !== 'lost') return slot;
    const { end, way } = on.facts[name];
    const place = `${on.root}/${other}`;
    const isThrough = way.includes(place) || (end.kind === 'absent' && end.path === place);
    if (!isThrough) return slot;
    const version = through.kind === 'lost' ? through.version : null;
    const gone = version === null ? 'which is gone' : `whose release ${version} is gone`;
    const message = `read ${name}: it leads through ${other}, ${gone}`;
    return {
      kind: 'lost',
      version,
      problem: toProblem(new DroverError('RELEASE_LOST', message)),
    };
  };
  return { active: read('active', 'rollback'), rollback: read('rollback', 'active') };
}

/** The release that a folder is: by its place, or by a name in releases/ that leads to it. */
function versionAt(path: string, releases: ReleasesFacts): string | null {
  const base = releases.path === null ? null : `${releases.path}/`;
  const name = base !== null && path.startsWith(base) ? path.slice(base.length) : null;
  if (name !== null && isVersion(name)) return name;
  return releases.namesOfEnd.find(isVersion) ?? null;
}

/** True for the folder itself and everything below it. */
export function isWithin(folder: string, path: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

/**
 * Without `active` nothing is installed, unless something was: then its link is lost, which is
 * reported.
 * @param expected version that `active` led to; null when it may be absent
 */
export function withExpected(slots: Slots, expected: string | null): Slots {
  if (expected === null || slots.active.kind !== 'absent') return slots;
  const message = `read active: the link is gone; it led to ${expected}`;
  const problem = toProblem(new DroverError('RELEASE_LOST', message));
  return { ...slots, active: { kind: 'lost', version: expected, problem } };
}

/** Version of a slot that leads to a release; null for every other. */
export function versionOf(slot: Slot): string | null {
  return slot.kind === 'release' ? slot.version : null;
}

/** Why the slots must not be changed; null when they are Drover's own. */
export function foreignProblem({ active, rollback }: Slots): Problem | null {
  if (active.kind === 'foreign') return active.problem;
  return rollback.kind === 'foreign' ? rollback.problem : null;
}

/** There is a way back only from something. */
const LINK_GONE = toProblem(new DroverError('RELEASE_LOST', 'read active: the link is gone'));

/** Why `active` does not lead to a release although it should; null when it does, or need not. */
export function activeProblem({ active, rollback }: Slots): Problem | null {
  if (active.kind === 'foreign' || active.kind === 'lost') return active.problem;
  return active.kind === 'absent' && rollback.kind === 'release' ? LINK_GONE : null;
}

/** The problem of the slots for reports, including a release that is gone. */
export function slotProblem(slots: Slots): Problem | null {
  const foreign = foreignProblem(slots);
  if (foreign) return foreign;
  const { rollback } = slots;
  return activeProblem(slots) ?? (rollback.kind === 'lost' ? rollback.problem : null);
}

const OUTSIDE_HINT =
  'drover-robot adopt copies it into releases/; until then nobody may remove or change it there';

/** For releases that are links out of releases/: they boot, and Drover cannot protect them. */
export function outsideProblems(slots: Slots): Problem[] {
  return (['active', 'rollback'] as const).flatMap((name) => {
    const slot = slots[name];
    if (slot.kind !== 'release' || !slot.isOutside) return [];
    const message = `read ${name}: its release ${slot.version} is a link to ${slot.end.path}, outside of releases/`;
    return [toProblem(new DroverError('SLOT_OUTSIDE', message, { hint: OUTSIDE_HINT }))];
  });
}

/**
 * The slots by which it is decided what boots: a `rollback` that Drover did not make stays as it is,
 * and is no reason to boot what is not whole.
 */
export const withOwnRollback = (slots: Slots): Slots =>
  slots.rollback.kind === 'foreign' ? { ...slots, rollback: { kind: 'absent' } } : slots;

/** @throws DroverError SLOT_… when `active` is not Drover's; whatever `rollback` is */
export function assertOwnActive(slots: Slots): void {
  assertOwnSlots(withOwnRollback(slots));
}

/** @throws DroverError SLOT_… of the slot that is not Drover's */
export function assertOwnSlots(slots: Slots): void {
  const problem = foreignProblem(slots);
  if (problem) throw new DroverError(problem.code, problem.message);
}

/**
 * The version to go back to when an update replaces `active`: the active one, else the one in
 * `rollback`, else none.
 */
export function wayBackOf({ active, rollback }: Slots): string | null {
  return versionOf(active) ?? versionOf(rollback);
}

/** A path that leads somewhere: its end, when there is one, and what it comes by on the way. */
export interface Lead {
  readonly end: { readonly path: string; readonly id: string } | null;
  readonly way: readonly string[];
}

/** True when removing `path` (without links, with its `id`) would take something from a slot. */
export function isInUse(slots: Slots, path: string, id: string | null): boolean {
  const releases = [slots.active, slots.rollback].filter((slot) => slot.kind === 'release');
  return releases.some((slot) => leadsThrough(slot, path, id));
}

/** True when removing `path` (without links, with its `id`) would take something from what leads on. */
export function leadsThrough({ end, way }: Lead, path: string, id: string | null): boolean {
  if (end && id !== null && id === end.id) return true;
  return (end !== null && isWithin(path, end.path)) || way.some((hop) => isWithin(path, hop));
}
