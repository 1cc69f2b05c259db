/**
 * A rollout as the HTTP API describes it, as far as sentences about it need it. The broker makes
 * it, and the command line reads it. Sans-I/O.
 */

/** The fields of a run that these sentences need, as the API sends them. */
export interface ToldRun {
  readonly status: string;
  readonly superseded_by: string | null;
  readonly waits_for: string | null;
  readonly soak_until: string | null;
  readonly evidence_until: string | null;
  readonly cannot_go_back: readonly string[];
  readonly leading: boolean;
  readonly attempts: { readonly unable: readonly string[] } | null;
}

/** The fields of a rollout that these sentences need, as the API sends them. */
export interface ToldRollout {
  readonly id: string;
  readonly status: string;
  readonly announced: boolean;
  readonly emergency: boolean;
  readonly waves: { percent: number; soak_s: number }[];
  readonly canaries: { tags: string[]; robots: string[] };
  readonly approve_after: number[];
  readonly robots: {
    readonly targeted: number;
    readonly running: number;
    readonly went_on: number;
    readonly in_progress: number;
    readonly failed: number;
    readonly waiting: number;
    readonly excluded: Readonly<Record<string, number>>;
  };
  readonly run: ToldRun | null;
  readonly led: string | null;
}
