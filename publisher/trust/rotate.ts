/**
 * Publishes a new trust root to a fleet: first the update, which robots and brokers follow, then
 * the announcement, signed again by a key of the new root. The order matters, because a broker
 * takes nothing that its current root would refuse.
 */

import type { Signer } from '../../shared/crypto/ed25519.ts';
import {
  openAnnouncement,
  signAnnouncement,
  type Rollout,
} from '../../shared/formats/announcement.ts';
import { proofOf } from '../../shared/formats/envelope.ts';
import { verifyRollout } from '../../shared/formats/bundle-signature.ts';
import { bytesEqual } from '../../shared/crypto/bytes.ts';
import { DroverError, nullIfRefused } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { trustTopic } from '../../shared/formats/topics.ts';
import { hasSay, openTrustUpdate } from '../../shared/formats/trust-chain.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { importedAfterRotation } from '../airgap/plan-import.ts';
import { openActiveRollouts } from '../rollout/active-rollouts.ts';
import { seqUnderNextRoot } from '../rollout/next-seq.ts';
import { assertMayAnnounce, place } from '../rollout/announce.ts';
import type { AnnounceWith } from '../rollout/pending-announcement.ts';
import { AnnouncementBoard } from '../rollout/announcements.ts';
import { BrokerLink, type BrokerLinkOptions } from '../transfer/broker-link.ts';
import { Subscription } from '../rollout/subscription.ts';

export interface RotationJob extends Pick<AnnounceWith, 'announcementOut'> {
  readonly broker: BrokerLinkOptions;
  readonly update: Uint8Array;
  /** The root before the update. */
  readonly trust: TrustRoot;
  /** Rollout keys of the new root; without any, the announcement stays as it is. */
  readonly signers: readonly Signer[];
  /** Starts an empty list: a stolen key may have written the current announcement. */
  readonly fresh?: boolean;
  readonly dryRun: boolean;
  readonly log: Log;
}

export interface Rotated {
  readonly next: TrustRoot;
  /** The same update was on the broker before. */
  readonly wasThere: boolean;
  /** The result for the current announcement. */
  readonly announcement: 'none' | 'holds' | 'signed again' | 'not taken any more';
  /** Rollouts of bundles that no release key of the new root signed: no robot would take them. */
  readonly ended: readonly string[];
}

/**
 * @throws DroverError ENVELOPE_*, TRUST_INVALID, TRUST_VERSION_WRONG, FLEET_WRONG, SEQ_CONFLICT,
 *   BROKER_REFUSED, BROKER_UNREACHABLE, ACCESS_DENIED
 */
export async function publishTrustUpdate(job: RotationJob): Promise<Rotated> {
  const next = openTrustUpdate(job.update, job.trust);
  if (job.signers.length > 0) assertMayAnnounce({ ...job, trust: next });
  const link = await BrokerLink.open(job.broker, job.log);
  try {
    const board = await AnnouncementBoard.open(link);
    try {
      const { current } = board;
      const { announcement, bytes, ended } = await planAgain(current, job, next);
      const wasThere = await isKept(link, next.version, job.update);
      if (!job.dryRun) {
        await putUpdate(link, next.version, job.update);
        if (bytes) await place(bytes, { board, current }, job);
      }
      return { next, wasThere, announcement, ended };
    } finally {
      board.close();
    }
  } finally {
    await link.close();
  }
}

interface Again extends Pick<Rotated, 'announcement' | 'ended'> {
  /** The announcement to publish after the update; null for none. */
  readonly bytes: Uint8Array | null;
}

/** The current announcement, byte for byte, as far as it is valid under the new root. */
async function planAgain(
  current: Uint8Array | null,
  { trust, signers, fresh = false }: RotationJob,
  next: TrustRoot,
): Promise<Again> {
  const leave = (announcement: Rotated['announcement']): Again => ({
    ...{ announcement, ended: [], bytes: null },
  });
  if (current === null) return leave('none');
  if (!fresh && holdsUnder(current, next)) return leave('holds');
  if (signers.length === 0) return leave('not taken any more');
  const now = Date.now();
  // A thief of a key may have written anything there, and nothing of it may stop the rotation.
  const before = nullIfRefused(() => openActiveRollouts(current, trust));
  const kept = (before?.rollouts ?? []).filter(
    ({ rollout }) => !fresh && isSignedUnder(rollout, next),
  );
  const roots = { before: trust, after: next };
  const imported = nullIfRefused(() => importedAfterRotation(current, roots, now));
  const fields = {
    fleet: next.fleet,
    seq: seqUnderNextRoot(isSaidByStaying(current, roots) ? (before?.seq ?? 0) : 0, now),
    issued_at: new Date(now).toISOString(),
    expires_at: new Date(now + lifeOf(current, trust)).toISOString(),
    ...(imported && { imported }),
    rollouts: kept.map(({ written }) => written),
  };
  const ended = (before?.rollouts ?? []).filter((one) => !kept.includes(one));
  const names = ended.map(({ rollout }) => rollout.id);
  const bytes = await signAnnouncement(fields, signers);
  return { announcement: 'signed again', ended: names, bytes };
}

/** A thief's `seq` would hold up announcements, and robots whose clocks are behind, for a day. */
function isSaidByStaying(
  current: Uint8Array,
  { before, after }: { readonly before: TrustRoot; readonly after: TrustRoot },
): boolean {
  const proof = nullIfRefused(() => proofOf(current, before.roles.rollout));
  return proof !== null && hasSay(proof.signers, after.roles.rollout);
}

/** As long as the one before it, within bounds. */
function lifeOf(current: Uint8Array, trust: TrustRoot): number {
  const before = nullIfRefused(() => openAnnouncement(current, trust));
  const lifeMs = before ? before.expires_at - before.issued_at : 0;
  const isSane = lifeMs >= LIMITS.aheadMsMax && lifeMs <= LIMITS.keepUnannouncedMsMax;
  return isSane ? lifeMs : LIMITS.announcementLifeMsDefault;
}

/** Also every rollout of it: a broker that verifies takes all of an announcement or nothing. */
function holdsUnder(announcement: Uint8Array, trust: TrustRoot): boolean {
  const held = nullIfRefused(() => openAnnouncement(announcement, trust).rollouts);
  return held !== null && held.every((rollout) => isSignedUnder(rollout, trust));
}

const isSignedUnder = (rollout: Rollout, trust: TrustRoot): boolean =>
  nullIfRefused(() => verifyRollout(rollout, trust)) !== null;

/** Publishes and reads back: a broker may acknowledge what it does not keep. */
async function putUpdate(link: BrokerLink, version: number, update: Uint8Array): Promise<void> {
  const topic = trustTopic(version);
  await link.wire.send(topic, update, { retain: true, qos: 1 });
  if (await isKept(link, version, update)) return;
  throw new DroverError('BROKER_REFUSED', `publish ${topic}: acknowledged, but another is kept`, {
    hint: 'check that this user may write fleet/trust, and that no other update has this version',
  });
}

async function isKept(link: BrokerLink, version: number, update: Uint8Array): Promise<boolean> {
  const topic = trustTopic(version);
  let isThere = false;
  const subscription = await Subscription.open(link, {
    filters: [topic],
    onMessage: (on, payload) => {
      if (on === topic) isThere = bytesEqual(payload, update);
    },
  });
  try {
    await subscription.settle();
  } finally {
    subscription.close();
  }
  return isThere;
}
