/**
 * The other computers of a robot as its agent uses them: an agent leads members, or is a member of
 * a leader, or has neither. The agent is the same program in all three; only its link differs.
 */

import type { ComponentStateFields, RobotEventFields } from '../../shared/formats/messages.ts';
import type { Held } from '../fleet/report.ts';
import type { PullLink } from '../update/download.ts';
import type { JointSide } from '../update/joint-set.ts';
import type { SetBoard } from '../update/set-board.ts';
import type { HeardFacts } from '../update/verdict.ts';
import type { GoneAnswer, GoneRequest } from './gone.ts';

/** The parts of the agent that it gives to the side of the other computers. */
export interface AgentSide {
  readonly board: SetBoard;
  /** The link of this computer to the fleet, for chunks. */
  readonly pulls: PullLink;
  /** The accepted documents. */
  heard(): HeardFacts;
  /** Stores an event, to be sent in the name of the robot. */
  tell(event: Omit<RobotEventFields, 'event_seq'>): Promise<void>;
  /** Sends a request of a member as one of the robot. */
  want(payload: Uint8Array): Promise<void>;
  /** Subscribes to orders again, from this version of the trust on: a member has an older one. */
  askOrders(nextTrust: number): Promise<void>;
  /** Another computer runs something else than before: orders are judged again. */
  onViews(): void;
  /** Something that the report shows has changed. */
  onNews(): void;
}

export interface Computers extends JointSide {
  /** Called once, before anything else. */
  attach(side: AgentSide): void;
  /** Called when the components of this computer were read. */
  open(): Promise<void>;
  close(): Promise<void>;
  /** An order of the fleet, as it came. */
  carry(topic: string, payload: Uint8Array): void;
  /** The components of other computers, for the report of the robot. */
  readonly told: readonly ComponentStateFields[];
  /** Changes when the counters of a member begin from zero. */
  readonly countedBy: string;
  /** Why it does not lead as it should: every component of this computer reports the first. */
  readonly problems: readonly Held[];
  /** A person says that other computers are gone for good. @throws DroverError */
  gone(request: GoneRequest): Promise<GoneAnswer>;
  /** Lines for `drover-robot explain`. */
  explain(): readonly string[];
}
