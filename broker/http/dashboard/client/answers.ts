/** Shapes of the answers of the API that the page reads (docs/http.md). Types only. */

import type { CommandPreview } from '../../../rollout/command-preview.ts';
import type { AuditEntry, RolloutWords, RunView } from '../../../rollout/rollout-view.ts';
import type { RolloutRobot, Standing, WaveCounts } from '../../../rollout/rollout-robots.ts';
import type { RolloutView } from '../../../rollout/views.ts';

export type { AuditEntry, CommandPreview, RolloutRobot, RunView, Standing, WaveCounts };

export interface UserAnswer {
  readonly user: string | null;
  readonly role: string | null;
  readonly needs_sign_in: boolean;
  readonly csrf: string | null;
}

export interface ProblemAnswer {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  /** Of a component: the version that it is about, and when it came. */
  readonly version?: string | null;
  readonly at?: string | null;
  /** It asks for nothing any more. */
  readonly past?: boolean;
}

export interface RolloutOnPage extends RolloutView {
  readonly run: RunView | null;
  readonly led: string;
  readonly words: RolloutWords;
}

/** The answer about an id, which may be the name of a set. */
export interface SetOnPage {
  /** Absent for a rollout. */
  readonly rollouts?: readonly RolloutOnPage[];
}

export interface RolloutRobotsAnswer {
  readonly robots: readonly RolloutRobot[];
  readonly total: number;
  readonly next: string | null;
  readonly counts: Readonly<Record<Standing, number>>;
  readonly awaited: number;
  readonly waves: readonly WaveCounts[];
}

export interface HistoryOnPage {
  readonly entries: readonly AuditEntry[];
}

export interface CommandsAnswer {
  readonly commands: readonly CommandPreview[];
  readonly led: string;
}

interface Transfer {
  readonly bytes_done: number;
  readonly bytes_total: number;
}

export interface ComponentAnswer {
  readonly name: string;
  readonly version: string | null;
  /** Code of why it is not known that `version` runs. */
  readonly version_doubt: string | null;
  readonly previous_version: string | null;
  readonly phase: string;
  readonly target_version: string | null;
  readonly rollout: string | null;
  readonly transfer: Transfer | null;
  readonly waiting_for: string | null;
  readonly last_error: ProblemAnswer | null;
  readonly strategy: string | null;
  readonly failure_log?: FailureLogAnswer | null;
}

/** The log of a failed update that a robot keeps. */
export interface FailureLogAnswer {
  readonly rollout: string;
  readonly version: string;
  readonly code: string;
  readonly at: string;
}

/** Logs that have come to the broker. */
export interface LogsAnswer {
  readonly logs: readonly { readonly component: string; readonly failed_at: string }[];
}

export interface RobotAnswer extends Omit<ComponentAnswer, 'name'> {
  readonly robot_id: string;
  readonly name: string | null;
  readonly online: boolean;
  readonly via: string | null;
  readonly last_seen: string | null;
  readonly arch: string | null;
  readonly model: string | null;
  readonly agent: string | null;
  readonly tags: readonly string[];
  readonly components: readonly ComponentAnswer[];
  readonly twins: ProblemAnswer | null;
  readonly clock: ProblemAnswer | null;
  readonly via_problem: ProblemAnswer | null;
  /** Only in the answer about one robot. */
  readonly events?: readonly EventAnswer[];
}

export interface EventAnswer {
  readonly at: string;
  /** The step in words: component, version, phases, and the code of its problem. */
  readonly text: string;
  readonly problem: ProblemAnswer | null;
}

export interface EngineAnswer {
  readonly engine: { readonly up: boolean; readonly problem: ProblemAnswer | null };
}

export interface UpstreamAnswer {
  readonly upstream: {
    readonly up: boolean;
    readonly since: string;
    readonly backlog: { readonly states: number; readonly events: number };
    readonly chunks_missing: number;
    readonly problem: ProblemAnswer | null;
  } | null;
}
