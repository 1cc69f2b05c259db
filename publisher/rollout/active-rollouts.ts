/**
 * Reads the current announcement, on which the next one is built. Signatures are verified first.
 * Rollouts are kept as they were written, with fields of a later version of Drover, because leaving
 * one out would change what somebody else signed. Sans-I/O.
 */

import {
  openAnnouncement,
  openAnnouncementPayload,
  parsePlanned,
  type Announcement,
  type AnnouncementFields,
  type RolloutFields,
} from '../../shared/formats/announcement.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { openLease } from '../../shared/formats/lease.ts';
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
 * As if a plan were announced, for the plan that comes after it in a dry run.
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
  | { readonly kind: 'leads'; readonly controller: string }
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
    const { issued_at: sinceMs, controller } = openLease(lease, trust);
    const isFresh = now - sinceMs < LIMITS.leaseMsMax;
    return isFresh ? { kind: 'leads', controller } : { kind: 'silent', sinceMs };
  } catch (error) {
    onInvalid(error);
    return { kind: 'none' };
  }
}
