/**
 * Decides whether an export may be imported: its order relative to what the site has, and whether
 * its announcement and its bundles belong together. A claim of a stick without a signature can
 * delay a site by a day and no longer. Sans-I/O.
 */

import { type Signer, keyIdOf } from '../../shared/crypto/ed25519.ts';
import {
  assertFresh,
  openAnnouncement,
  type Announcement,
} from '../../shared/formats/announcement.ts';
import { proofOf, signersOf } from '../../shared/formats/envelope.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { hasSay } from '../../shared/formats/trust-chain.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { seqAt } from '../../shared/rules/freshness.ts';
import type { Authority, ParcelIndex } from './parcel.ts';
import { bundleKey } from './plan-export.ts';

/**
 * The announcement of the file, when a key that the site trusts signed it; null when the site signs
 * its own and knows none of the keys.
 * @param isResigned the site announces with a key of its own
 * @throws DroverError ENVELOPE_*, FLEET_WRONG, ANNOUNCEMENT_*, PARCEL_DAMAGED
 */
export function judgeAnnouncement(
  bytes: Uint8Array,
  site: { readonly trust: TrustRoot; readonly isResigned: boolean; readonly now: EpochMs },
  index: ParcelIndex,
): Announcement | null {
  let announcement: Announcement;
  try {
    announcement = openAnnouncement(bytes, site.trust);
  } catch (error) {
    const isStranger = error instanceof DroverError && error.code === 'ENVELOPE_KEY_UNKNOWN';
    if (isStranger && site.isResigned) return null;
    throw error;
  }
  if (!site.isResigned) assertFresh(announcement, 0, site.now);
  if (announcement.seq === index.seq) return announcement;
  const numbers = `got ${index.seq}, want ${announcement.seq}`;
  throw new DroverError('PARCEL_DAMAGED', `read file: its seq is not that inside (${numbers})`);
}

/**
 * The lowest seq that may still be imported.
 * @param signers the site's own keys; what they signed counts only for files that were imported
 *   into it
 */
export function importFloor(
  current: Uint8Array | null,
  trust: TrustRoot,
  signers: readonly Pick<Signer, 'publicKey'>[],
): number {
  if (current === null) return 0;
  const announcement = openAnnouncement(current, trust);
  // An announcement that is published unchanged must follow what robots of this site have accepted.
  if (signers.length === 0) return announcement.seq;
  if (announcement.imported !== undefined) return announcement.imported.seq;
  const own = signers.map(({ publicKey }) => keyIdOf(publicKey));
  const isOwn = signersOf(current, trust.roles.rollout).some((key) => own.includes(key));
  return isOwn ? 0 : announcement.seq;
}

/** The newest file behind the current announcement; null when none is. */
export const newestTaken = (current: Uint8Array | null, trust: TrustRoot): number | null =>
  current && (openAnnouncement(current, trust).imported?.seq ?? null);

/**
 * The floor of imports after a rotation of keys. It is kept, so that no older file can be imported
 * again; but a floor that a replaced key signed counts no further than now.
 * @param current the announcement that is replaced, signed under the root before
 */
export function importedAfterRotation(
  current: Uint8Array,
  roots: { readonly before: TrustRoot; readonly after: TrustRoot },
  now: EpochMs,
): { readonly seq: number } | null {
  const { imported } = openAnnouncement(current, roots.before);
  if (imported === undefined) return null;
  const { signers } = proofOf(current, roots.before.roles.rollout);
  const aheadMs = hasSay(signers, roots.after.roles.rollout) ? LIMITS.aheadMsMax : 0;
  return { seq: Math.min(imported.seq, seqAt('announcement', now + aheadMs)) };
}

/** [P-13.5] @throws DroverError FLEET_WRONG, PARCEL_OLD, PARCEL_INVALID */
export function assertOrder(
  index: ParcelIndex,
  { trust, floor, taken = null }: { trust: TrustRoot; floor: number; taken?: number | null },
  proof: { readonly isProven: boolean; readonly now: EpochMs },
): void {
  if (index.fleet !== trust.fleet) {
    const fleets = `got ${index.fleet}, want ${trust.fleet}`;
    throw new DroverError('FLEET_WRONG', `import file: it is for another fleet (${fleets})`);
  }
  if (index.seq < floor && taken !== null && index.seq >= taken) {
    // Not a newer file, but an announcement of the site itself.
    throw new DroverError(
      'PARCEL_OLD',
      `import file: this site announces with a key of its own, and did so later (got seq ${index.seq}, want at least ${floor})`,
      {
        facts: { got: index.seq, want: floor },
        hint: 'name that key with --key: the file is not older than the last one that was taken',
      },
    );
  }
  if (index.seq < floor) {
    throw new DroverError(
      'PARCEL_OLD',
      `import file: older than what this site has (got seq ${index.seq}, want at least ${floor})`,
      { facts: { got: index.seq, want: floor } },
    );
  }
  const latest = Math.floor((proof.now + LIMITS.parcelClockMsMax) / 1000);
  if (proof.isProven || index.seq <= latest) return;
  throw new DroverError(
    'PARCEL_INVALID',
    `import file: nobody signed its order, and it claims to come from the future (got seq ${index.seq}, want at most ${latest})`,
  );
}

export const isOrderProven = (authority: Authority, announcement: Announcement | null): boolean =>
  authority === 'trusted' || announcement !== null;

/** @throws DroverError PARCEL_INCOMPLETE, PARCEL_DAMAGED */
export function assertTogether(
  announcement: Announcement,
  manifests: readonly Uint8Array[],
  isResigned: boolean,
): void {
  const announced = new Set(announcement.rollouts.map((one) => bundleKey(one.manifest)));
  const held = new Set(manifests.map(bundleKey));
  if ([...held].some((key) => !announced.has(key))) {
    throw new DroverError('PARCEL_DAMAGED', 'read file: it holds a bundle that is not announced');
  }
  const missing = announcement.rollouts.find((one) => !held.has(bundleKey(one.manifest)));
  if (missing === undefined || isResigned) return;
  throw new DroverError(
    'PARCEL_INCOMPLETE',
    `import file: the bundle of rollout ${missing.id} is not in it`,
  );
}
