/**
 * Reads the current announcement, on which the next one is built. Signatures are verified first.
 * Rollouts are kept as they were written, also with fields of a later version of Drover: dropping a
 * field would change the rollout of another publisher. Sans-I/O.
 */

import { instantText } from '../../shared/base/durations.ts';
import {
  BUDGET_CAPABILITY,
  openAnnouncement,
  openAnnouncementPayload,
  parsePlanned,
  type Announcement,
  type AnnouncementFields,
  type RolloutFields,
} from '../../shared/formats/announcement.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { printable } from '../../shared/base/printable.ts';
import { APPROVERS_CAPABILITY, openLease, USERS_CAPABILITY } from '../../shared/formats/lease.ts';
import { needsSeveral } from '../../shared/rules/approvers.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { openProgress } from '../../shared/formats/progress.ts';
import { parseStrictJson } from '../../shared/formats/strict-json.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import type { LedStatus } from './overlap.ts';
import type { ActiveRollout } from './plan-announcement.ts';

export interface OpenedRollouts {
  readonly seq: number;
  readonly issued_at: EpochMs;
  readonly imported?: { seq: number };
  readonly rollouts: ActiveRollout[];
}

/** @throws DroverError ENVELOPE_*, ANNOUNCEMENT_INVALID, FLEET_WRONG, JSON_INVALID */
export function openActiveRollouts(bytes: Uint8Array, trust: TrustRoot): OpenedRollouts {
  const announcement = openAnnouncement(bytes, trust);
  const payload = openAnnouncementPayload(bytes, trust);
  // openAnnouncement has just parsed the same bytes, so they have this shape.
  const raw = parseStrictJson(payload, 'announcement', LIMITS.announcementBytesMax) as unknown as {
    rollouts: RolloutFields[];
  };
  return opened(announcement, raw.rollouts);
}

/**
 * Reads a plan as if it were announced: the next plan of the same dry run is made on it.
 * @throws DroverError ANNOUNCEMENT_INVALID, DOCUMENT_TOO_LARGE
 */
export const plannedRollouts = (fields: AnnouncementFields): OpenedRollouts =>
  opened(parsePlanned(fields), fields.rollouts);

function opened(
  { seq, issued_at, imported, rollouts: parsed }: Announcement,
  raw: readonly RolloutFields[],
): OpenedRollouts {
  const rollouts = parsed.map((rollout, at) => ({ rollout, written: raw[at] as RolloutFields }));
  return { seq, issued_at, ...(imported && { imported }), rollouts };
}

/**
 * @param messages retained progress messages, in any order
 * @param onInvalid called for each that this fleet's rollout key did not sign
 */
export function openStatuses(
  messages: Iterable<Uint8Array>,
  trust: TrustRoot,
  onInvalid: (error: unknown) => void,
): Map<string, LedStatus> {
  const statuses = new Map<string, LedStatus>();
  for (const bytes of messages) {
    try {
      const progress = openProgress(bytes, trust);
      statuses.set(progress.rollout, progress);
    } catch (error) {
      onInvalid(error);
    }
  }
  return statuses;
}

/** A controller that leads now, one that led once, or none that this fleet knows. */
export type LeaseHolder =
  | {
      readonly kind: 'leads';
      readonly controller: string;
      /** Undefined from one of 0.1. */
      readonly caps?: readonly string[] | undefined;
    }
  | { readonly kind: 'none' }
  | { readonly kind: 'silent'; readonly sinceMs: EpochMs };

/**
 * @param lease the message that is retained on `fleet/controller`; null for none
 * @param onInvalid called when this fleet's rollout key did not sign it
 */
export function openLeader(
  lease: Uint8Array | null,
  trust: TrustRoot,
  { now, onInvalid }: { now: EpochMs; onInvalid: (error: unknown) => void },
): LeaseHolder {
  if (lease === null) return { kind: 'none' };
  try {
    const { issued_at: sinceMs, controller, caps } = openLease(lease, trust);
    const isFresh = now - sinceMs < LIMITS.leaseMsMax;
    return isFresh ? { kind: 'leads', controller, caps } : { kind: 'silent', sinceMs };
  } catch (error) {
    onInvalid(error);
    return { kind: 'none' };
  }
}

/**
 * Checks, before a rollout is announced, that the controller which leads counts its users. One of
 * 0.1 reads past `approvers`: it would open a wave after one approval, and no message would say so.
 * @throws DroverError APPROVERS_UNSUPPORTED
 */
export function assertCountsUsers(leader: LeaseHolder, { approvers = 1 }: RolloutFields): void {
  if (!needsSeveral({ approvers })) return;
  const why = lackOf(leader);
  if (why === null) return;
  throw new DroverError('APPROVERS_UNSUPPORTED', `announce with --approvers ${approvers}: ${why}`);
}

/** Null for a controller that counts users. */
function lackOf(leader: LeaseHolder): string | null {
  if (leader.kind === 'none') return 'no rollout controller has been seen that would count users';
  if (leader.kind === 'silent') {
    const at = instantText(leader.sinceMs);
    return `no rollout controller leads that would count users; the last one was heard at ${at}`;
  }
  const who = printable(leader.controller, 64);
  if (leader.caps?.includes(APPROVERS_CAPABILITY) !== true) {
    return `${who}, which leads, is too old to count users: one person could open its waves`;
  }
  if (leader.caps.includes(USERS_CAPABILITY)) return null;
  return `the broker of ${who}, which leads, has no --credentials, so that it knows no users`;
}

/**
 * Checks, before a rollout with a budget is announced, that the controller which leads grants
 * places: under one of an earlier version robots would wait for ever.
 * @throws DroverError BUDGET_UNKNOWN
 */
export function assertGrantsPlaces(leader: LeaseHolder, { budget }: RolloutFields): void {
  if (!budget || leader.kind !== 'leads' || leader.caps?.includes(BUDGET_CAPABILITY)) return;
  const who = printable(leader.controller, 64);
  throw new DroverError(
    'BUDGET_UNKNOWN',
    `announce with --at-most ${budget.at_most}: ${who}, which leads, is too old to grant places`,
    { hint: 'update drover-broker first: robots would wait for a place for ever' },
  );
}
