/**
 * The facts by which a robot judges what is announced, and the answers that it can give. Sans-I/O.
 */

import type { PublicKeyHex } from '../../shared/crypto/ed25519.ts';
import type { Problem } from '../../shared/base/errors.ts';
import type { EpochMs, RobotId } from '../../shared/base/ids.ts';
import type { Progress } from '../../shared/formats/progress.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import type { LocalTime } from '../../shared/rules/start-time.ts';
import type { LogPolicy } from '../../shared/tlog/policy.ts';
import type { PatchFacts } from './delta.ts';
import type { Neighbour } from './requires-check.ts';
import type { Elsewhere } from './blocks.ts';
import type { Job, MachineState } from './state.ts';

export interface RobotFacts {
  readonly robot: RobotId;
  readonly component: string;
  readonly arch: string;
  readonly tags: readonly string[];
  /** Names of the machine; absent when the robot does not read them. */
  readonly compatible?: readonly string[] | undefined;
  /** Version that `active` leads to; null when nothing is installed. */
  readonly version: string | null;
  /** Payload that it was installed from; null or absent when unknown. */
  readonly payloadSha256?: string | null;
  readonly blocked: MachineState['blocked'];
  /** The highest version that it confirmed; absent when unknown. */
  readonly highest?: string | null;
  readonly ran?: readonly string[];
  /** Keys that signed the announcement. */
  readonly announcedBy?: readonly PublicKeyHex[];
  readonly trust: TrustRoot;
  /** Newest accepted progress of each rollout. */
  readonly progress: ReadonlyMap<string, Progress>;
  /** When this robot first saw that each rollout is complete. */
  readonly completeSince: ReadonlyMap<string, EpochMs>;
  /** Announced rollouts whose progress was requested a moment ago; absent means none. */
  readonly unanswered?: ReadonlySet<string>;
  /** Rollout of the update in progress; null when there is none. */
  readonly joined: string | null;
  /** Wall clock of its site; UTC when it is left out. */
  readonly localTime?: LocalTime | undefined;
  /** The robot takes only bundles that this policy accepts as logged; null or absent for any. */
  readonly logPolicy?: LogPolicy | null;
  /** Bases that it can patch from; null when it takes no deltas. */
  readonly patching?: PatchFacts | null;
  /** The components of this robot; null for one that cannot be read now. */
  readonly others?: ReadonlyMap<string, OtherFacts | null>;
  readonly now: EpochMs;
}

/** The facts about another component of the robot: a set is judged for all. */
export type OtherFacts = Pick<
  RobotFacts,
  'component' | 'version' | 'payloadSha256' | 'blocked' | 'highest' | 'ran' | 'joined'
> &
  Partial<Pick<RobotFacts, 'arch' | 'compatible'>> &
  Neighbour & {
    /** The computer of the robot that it is on; absent for this one. */
    readonly elsewhere?: Elsewhere;
  };

/** The accepted documents at one instant. */
export interface HeardFacts extends Pick<
  RobotFacts,
  'progress' | 'completeSince' | 'announcedBy' | 'unanswered'
> {
  /** Keys that signed the progress of each rollout. */
  readonly toldBy?: ReadonlyMap<string, readonly PublicKeyHex[]>;
}

/** The decision about one bundle. */
export type Verdict =
  | { readonly kind: 'take'; readonly job: Job }
  /** It runs here already. */
  | { readonly kind: 'runs'; readonly version: string }
  /** Meant for this robot, but not yet. */
  | {
      readonly kind: 'wait';
      readonly version: string;
      readonly problem: Problem;
      readonly untilMs: EpochMs | null;
      /** It waits for nothing that could come: the rollout was stopped for good. */
      readonly isOver?: boolean;
    }
  | { readonly kind: 'refuse'; readonly version: string | null; readonly problem: Problem }
  | { readonly kind: 'notForUs' };

export interface Decision {
  /** The one verdict that counts for the component. */
  readonly verdict: Verdict;
  readonly rollout: string | null;
  /** Set when the robot is too old for what is announced and nothing else helps it. */
  readonly wantedPackage: { readonly version: string; readonly minCurrentVersion: string } | null;
}

/** Of rollouts that are for other robots, or were. */
export const FOR_OTHERS = ['ARCH_WRONG', 'COMPATIBLE_WRONG', 'NOT_NEWER'] as const;
