/**
 * Decides what a relay does with a control message of its upstream: hand it on to its robots byte
 * for byte, or not. The upstream is not believed: what robots would refuse is not handed on, floors
 * of `seq` never fall, and nothing that is unsigned (such as an empty message that clears a topic)
 * takes away what was signed. Sans-I/O.
 */

import { bytesEqual } from '../../shared/crypto/bytes.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { EpochMs, RolloutId } from '../../shared/base/ids.ts';
import { openProgress } from '../../shared/formats/progress.ts';
import type { Topic } from '../../shared/formats/topics.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { vouchForSigned } from '../control/ingest.ts';

export type DownPlan =
  /** Robots get it; before that `floor` is on the disk. */
  | { readonly kind: 'hand-on'; readonly floor: { rollout: RolloutId; seq: number } | null }
  /** What was refused under the root before it is looked at again then. */
  | { readonly kind: 'hand-on-trust'; readonly version: number }
  /** The same bytes stand here already, or there is nothing to clear. */
  | { readonly kind: 'known' }
  /** A trust root that follows one which has not come yet. */
  | { readonly kind: 'later' }
  /** Progress of what is announced no more, and cleared upstream. */
  | { readonly kind: 'clear' }
  /** Not a topic that comes from above. */
  | { readonly kind: 'ignore' };

export interface DownInput {
  readonly topic: Topic;
  readonly payload: Uint8Array;
  /** What is retained here on that topic. */
  readonly stored: Uint8Array | null;
  /** Highest `seq` of this rollout's progress that was ever handed on; 0 for none. */
  readonly floor: number;
  /** The rollout of this progress is announced here. */
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
