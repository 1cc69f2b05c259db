/**
 * Decides the stages relay and announce: the kind of a published message, whether it may be stored,
 * and how long it may be. intake.ts carries that out before PUBACK. Sans-I/O.
 */

import { openAnnouncement } from '../../shared/formats/announcement.ts';
import { verifyRollout } from '../../shared/formats/bundle-signature.ts';
import { bytesEqual } from '../../shared/crypto/bytes.ts';
import { openEnvelope, PAYLOAD_TYPES, proofOf } from '../../shared/formats/envelope.ts';
import { DroverError, nullIfRefused } from '../../shared/base/errors.ts';
import type { EpochMs, Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { openProgress } from '../../shared/formats/progress.ts';
import { mayRetain, parseTopic, type Topic } from '../../shared/formats/topics.ts';
import {
  assertFollows,
  openTrustUpdate,
  peekTrustUpdate,
} from '../../shared/formats/trust-chain.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import {
  clockOf,
  isAhead,
  judgeOrder,
  NO_FLOOR,
  raisedFloor,
  type SeqDocument,
  type SeqKind,
} from '../../shared/rules/freshness.ts';

export type IngestPlan =
  | { readonly kind: 'chunk'; readonly hash: Sha256Hex }
  | { readonly kind: 'control'; readonly topic: Exclude<Topic, { kind: 'chunk' }> };

/** @throws DroverError ACCESS_DENIED, CHUNK_TOO_LARGE, DOCUMENT_TOO_LARGE */
export function planIngest(
  topicText: string,
  payloadBytes: number,
  isRetained = false,
): IngestPlan {
  const topic = parseTopic(topicText);
  if (!topic) {
    throw new DroverError(
      'ACCESS_DENIED',
      `take message: no topic of Drover (got ${topicText.slice(0, 120)})`,
    );
  }
  if (isRetained && !mayRetain(topicText)) {
    throw new DroverError('ACCESS_DENIED', `take message on ${topicText}: it is never retained`);
  }
  const [code, bytesMax] = boundOf(topic);
  if (payloadBytes > bytesMax) {
    throw new DroverError(
      code,
      `take message on ${topicText}: too large (got ${payloadBytes} bytes, want at most ${bytesMax})`,
    );
  }
  return topic.kind === 'chunk' ? { kind: 'chunk', hash: topic.hash } : { kind: 'control', topic };
}

function boundOf(topic: Topic): readonly ['CHUNK_TOO_LARGE' | 'DOCUMENT_TOO_LARGE', number] {
  switch (topic.kind) {
    case 'chunk':
      return ['CHUNK_TOO_LARGE', LIMITS.chunkBytesMax];
    case 'updates':
    case 'trust':
      return ['DOCUMENT_TOO_LARGE', LIMITS.controlMessageBytesMax];
    case 'log-entry':
      return ['DOCUMENT_TOO_LARGE', LIMITS.manifestBytesMax];
    case 'log-checkpoint':
      return ['DOCUMENT_TOO_LARGE', LIMITS.logNoteBytesMax];
    case 'robot': {
      const { failureLogMessageBytesMax, reportBytesMax } = LIMITS;
      const isLog = topic.leaf === 'logs';
      return ['DOCUMENT_TOO_LARGE', isLog ? failureLogMessageBytesMax : reportBytesMax];
    }
    default:
      return ['DOCUMENT_TOO_LARGE', LIMITS.reportBytesMax];
  }
}

export interface VouchInput {
  readonly topic: Topic;
  readonly payload: Uint8Array;
  /** The message that is retained on that topic now. */
  readonly stored: Uint8Array | null;
  readonly trust: TrustRoot;
  readonly now: EpochMs;
}

/**
 * A broker with a trust file relays only what a robot would accept. Robots do not rely on it; it
 * keeps a mistake or a stolen password from disturbing a whole fleet.
 * @throws DroverError of the document, its signatures, its freshness, SEQ_CONFLICT
 */
export function vouchForSigned({ topic, payload, stored, trust, now }: VouchInput): void {
  if (topic.kind === 'updates') {
    if (payload.byteLength === 0) {
      throw new DroverError(
        'ANNOUNCEMENT_INVALID',
        'take announcement: an empty one clears nothing here',
      );
    }
    const announcement = openAnnouncement(payload, trust);
    const before = stored && nullIfRefused(() => openAnnouncement(stored, trust));
    assertInOrder('announcement', announcement, before, { payload, stored, trust, now });
    for (const rollout of announcement.rollouts) verifyRollout(rollout, trust);
  }
  if (topic.kind === 'trust') vouchForTrust({ version: topic.version, payload, stored, trust });
  if (topic.kind === 'progress' && payload.byteLength > 0) {
    const progress = openProgress(payload, trust);
    if (progress.rollout !== topic.rollout) {
      throw new DroverError(
        'ANNOUNCEMENT_INVALID',
        `take progress: of another rollout (got ${progress.rollout}, want ${topic.rollout})`,
      );
    }
    const before = stored && nullIfRefused(() => openProgress(stored, trust));
    assertInOrder('progress', progress, before, { payload, stored, trust, now });
  }
}

/**
 * The next root needs signatures of this one. An older root is carried for robots that are still to
 * follow: nothing here can verify more than that it is whole, and it is never replaced.
 */
function vouchForTrust(input: {
  version: number;
  payload: Uint8Array;
  stored: Uint8Array | null;
  trust: TrustRoot;
}): void {
  const { version, payload, stored, trust } = input;
  if (version > trust.version) {
    assertFollows(version, trust);
    openTrustUpdate(payload, trust);
    return;
  }
  if (stored && bytesEqual(stored, payload)) return;
  const root = peekTrustUpdate(payload);
  openEnvelope(payload, PAYLOAD_TYPES.trust, root.roles.root);
  const isWhole = root.version === version && root.fleet === trust.fleet;
  if (isWhole && !stored) return;
  throw new DroverError(
    'TRUST_VERSION_WRONG',
    `take trust update: version ${version} is in force or was (got another document for it)`,
  );
}

type Dated = Pick<SeqDocument, 'seq' | 'issued_at' | 'expires_at'>;

/**
 * The floor is the stored document, for the keys that signed it: none when they no longer count.
 * @param before the stored document, null when it does not hold under the current root
 * @throws DroverError ANNOUNCEMENT_*, SEQ_CONFLICT
 */
function assertInOrder(
  kind: SeqKind,
  document: Dated,
  before: Dated | null,
  { payload, stored, trust, now }: Omit<VouchInput, 'topic'>,
): void {
  const role = trust.roles.rollout;
  const saidOf = ({ seq, issued_at, expires_at }: Dated, bytes: Uint8Array): SeqDocument => ({
    ...{ kind, seq, issued_at, expires_at },
    ...proofOf(bytes, role),
  });
  const known = before && stored && saidOf(before, stored);
  const wasAhead = known !== null && isAhead(known, now);
  const floor = known ? raisedFloor(NO_FLOOR, known, wasAhead ? 'ahead' : 'counts') : NO_FLOOR;
  const life = known && !wasAhead ? { fromMs: known.issued_at, untilMs: known.expires_at } : null;
  const clock = clockOf(now, trust, life);
  judgeOrder(saidOf(document, payload), { floor, keys: role.keys, clock, now, isStrict: true });
}
