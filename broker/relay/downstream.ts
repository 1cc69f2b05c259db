/**
 * Decides whether a relay forwards a control message of its upstream to its robots, byte for byte.
 * The upstream is not trusted: a message that robots would refuse is not forwarded, floors of `seq`
 * never fall, and nothing unsigned (such as an empty message that clears a topic) removes something
 * signed. Sans-I/O.
 */

import { bytesEqual } from '../../shared/crypto/bytes.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { EpochMs, RolloutId } from '../../shared/base/ids.ts';
import { openProgress } from '../../shared/formats/progress.ts';
import type { Topic } from '../../shared/formats/topics.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { vouchForSigned } from '../control/ingest.ts';

export type DownPlan =
  /** Robots get the message; `floor` is made durable first. */
  | { readonly kind: 'hand-on'; readonly floor: { rollout: RolloutId; seq: number } | null }
  /** Documents that were refused under the older root are judged again. */
  | { readonly kind: 'hand-on-trust'; readonly version: number }
  /** The same bytes are stored already, or there is nothing to clear. */
  | { readonly kind: 'known' }
  /** A trust root that follows one which has not arrived yet. */
  | { readonly kind: 'later' }
  /** Progress of a rollout that is not announced any more, and that was cleared upstream. */
  | { readonly kind: 'clear' }
  /** The topic is not one that an upstream sends. */
  | { readonly kind: 'ignore' };

export interface DownInput {
  readonly topic: Topic;
  readonly payload: Uint8Array;
  /** The message that is retained here on that topic. */
  readonly stored: Uint8Array | null;
  /** Highest `seq` of this rollout's progress that was ever forwarded; 0 for none. */
  readonly floor: number;
  /** True when the rollout of this progress is announced here. */
  readonly isAnnounced: boolean;
  readonly trust: TrustRoot;
  readonly now: EpochMs;
}

const KNOWN: DownPlan = { kind: 'known' };

/**
 * [P-5.8]
 * @throws DroverError of the document, its signatures, its freshness, SEQ_CONFLICT,
 *   TRUST_VERSION_WRONG
 */
export function planDown(input: DownInput): DownPlan {
  const { topic, payload, stored } = input;
  if (stored && bytesEqual(stored, payload)) return KNOWN;
  switch (topic.kind) {
    case 'updates':
      vouchForSigned(input);
      return { kind: 'hand-on', floor: null };
    case 'progress':
      return planProgress(input, topic.rollout);
    case 'trust':
      return planTrust(input, topic.version);
    default:
      return { kind: 'ignore' };
  }
}

function planProgress(input: DownInput, rollout: RolloutId): DownPlan {
  const { payload, stored, floor, isAnnounced, trust } = input;
  if (payload.byteLength === 0) {
    if (!stored) return KNOWN;
    if (!isAnnounced) return { kind: 'clear' };
    const why = 'it was cleared while it is announced, and no key said so';
    throw new DroverError('ANNOUNCEMENT_INVALID', `take progress of ${rollout}: ${why}`);
  }
  vouchForSigned(input);
  const { seq } = openProgress(payload, trust);
  if (seq >= floor) return { kind: 'hand-on', floor: { rollout, seq } };
  const why = `older than one seen before (got seq ${seq}, want at least ${floor})`;
  throw new DroverError('ANNOUNCEMENT_REPLAYED', `take progress of ${rollout}: ${why}`, {
    facts: { got: seq, want: floor },
  });
}

function planTrust(input: DownInput, version: number): DownPlan {
  if (input.payload.byteLength === 0) return KNOWN; // a root that was accepted stays
  if (version > input.trust.version + 1) return { kind: 'later' };
  vouchForSigned(input);
  return { kind: 'hand-on-trust', version };
}
