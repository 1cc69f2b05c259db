/**
 * Decides how something that Drover did not make becomes a release: what a first start adopts by
 * itself, and what `drover-robot adopt` does with each kind. adopt.ts carries it out. Sans-I/O.
 */

import { isVersion } from '../../shared/base/version.ts';
import type { Slot, SlotName, Slots } from '../install/slots.ts';

/** Version of a tree without a given version: below every real one. */
export const ADOPTED_VERSION_DEFAULT = '0.0.0';
/** Version of a plain `rollback/` beside it: below that. */
const ROLLBACK_VERSION = '0.0.0-rollback';
/** Numbers tried for a name that an earlier adoption may have used. */
const NAMES_TRIED_MAX = 100;

export type AdoptionStep =
  /** The folder itself moves to releases/. */
  | { readonly slot: SlotName; readonly how: 'move'; readonly version: string }
  /** A copy of something outside of releases/, which may be needed where it is. */
  | {
      readonly slot: SlotName;
      readonly how: 'copy';
      readonly version: string;
      readonly from: string;
    }
  /** A link in releases/ leads to where the slot led, also in releases/; nothing moves. */
  | { readonly slot: SlotName; readonly how: 'link'; readonly version: string; readonly to: string }
  /**
   * Something that cannot be a release is renamed beside the slot; `active` then leads to the
   * release of `rollback`.
   */
  | { readonly slot: SlotName; readonly how: 'aside'; readonly next: string | null };

/**
 * A robot from before Drover has plain folders, and nothing in releases/. Anything else that is not
 * Drover's waits for a person.
 * @returns the version for each plain folder; null when there is nothing to adopt
 */
export function planFirstStart(
  slots: Slots,
  releases: readonly string[],
  version: string,
): { readonly version: string; readonly rollbackVersion: string | null } | null {
  if (!isPlainFolder(slots.active) || releases.some(isVersion)) return null;
  const rollbackVersion = isPlainFolder(slots.rollback)
    ? freeVersion([version], ROLLBACK_VERSION)
    : null;
  return { version, rollbackVersion };
}

export function planAdoption(
  slots: Slots,
  releases: readonly string[],
  version: string,
): AdoptionStep[] {
  const active = freeVersion(releases, version);
  const rollback = freeVersion([...releases, active], ROLLBACK_VERSION);
  const spare = slots.rollback.kind === 'release' ? slots.rollback.version : null;
  return [
    ...planSlot('rollback', slots.rollback, rollback, null),
    ...planSlot('active', slots.active, active, spare),
  ];
}

function planSlot(
  slot: SlotName,
  found: Slot,
  version: string,
  spare: string | null,
): readonly AdoptionStep[] {
  // A link that an older `adopt` made.
  if (found.kind === 'release' && found.isOutside) {
    return [{ slot, how: 'copy', version, from: found.end.path }];
  }
  if (found.kind !== 'foreign') return [];
  switch (found.problem.code) {
    case 'SLOT_FOLDER':
    case 'ADOPT_IMPOSSIBLE':
      return [{ slot, how: 'move', version }];
    case 'SLOT_OUTSIDE':
      return found.end === null ? [] : [{ slot, how: 'copy', version, from: found.end }];
    case 'SLOT_NAME':
      return found.end === null ? [] : [{ slot, how: 'link', version, to: found.end }];
    case 'SLOT_DANGLING':
    case 'SLOT_LOOP':
    case 'SLOT_NO_RELEASE':
      return [{ slot, how: 'aside', next: spare }];
    default:
      return [];
  }
}

const isPlainFolder = (slot: Slot): boolean =>
  slot.kind === 'foreign' && slot.problem.code === 'SLOT_FOLDER';

/** That version, or a similar one that no release has. */
function freeVersion(taken: readonly string[], wanted: string): string {
  if (!taken.includes(wanted)) return wanted;
  const [base = wanted] = wanted.split('+');
  const stem = base.includes('-') ? `${base}.adopted` : `${base}-adopted`;
  for (let nth = 1; nth < NAMES_TRIED_MAX; nth += 1) {
    if (!taken.includes(`${stem}.${nth}`)) return `${stem}.${nth}`;
  }
  return `${stem}.${NAMES_TRIED_MAX}`;
}

/** @param isDone false to describe what would be done */
export function describeAdoption(step: AdoptionStep, isDone: boolean): string {
  const { slot } = step;
  const say = (would: string, done: string): string => `${slot}: ${isDone ? done : would}`;
  if (step.how === 'aside') {
    const { next } = step;
    const [lead, led] =
      next === null
        ? ['', '']
        : [`, and lead ${slot} to releases/${next}`, `; ${slot} leads to releases/${next}`];
    return say(`rename it to ${slot}.aside${lead}`, `was renamed to ${slot}.aside${led}`);
  }
  const release = `releases/${step.version}`;
  switch (step.how) {
    case 'move':
      return say(
        `move the folder to ${release}, and make ${slot} a link to it`,
        `the folder was moved to ${release}, and ${slot} is a link to it`,
      );
    case 'copy':
      return say(
        `copy ${step.from} to ${release}, and lead ${slot} there; the original stays as it is`,
        `${step.from} was copied to ${release}, and ${slot} leads there; the original stays as it is`,
      );
    case 'link':
      return say(
        `make ${release} a link to ${step.to}, and lead ${slot} there`,
        `${release} is a link to ${step.to}, and ${slot} leads there`,
      );
  }
}
