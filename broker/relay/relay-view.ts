/**
 * The state of the upstream link as the API shows it: names with underscores, instants as text.
 * Sans-I/O.
 */

import { instantText } from '../../shared/base/durations.ts';
import type { Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import type { BundleView } from './missing.ts';

export interface UpstreamStatus {
  readonly name: string;
  /** Without credentials. */
  readonly url: string;
  readonly isUp: boolean;
  /**
   * State of the connection for chunks: without it control messages arrive, and releases do not.
   */
  readonly areChunksUp: boolean;
  /** Of the last change of `isUp`. */
  readonly sinceMs: EpochMs;
  readonly problem: Problem | null;
  /** Messages that wait for the link. */
  readonly backlog: { readonly states: number; readonly events: number; readonly dropped: number };
  readonly bundles: readonly BundleView[];
  /** Distinct missing chunks over all bundles. */
  readonly missing: number;
  readonly bytesPulled: number;
}

export interface UpstreamView {
  readonly name: string;
  readonly url: string;
  readonly up: boolean;
  readonly chunks_up: boolean;
  readonly since: string;
  readonly problem: Problem | null;
  readonly backlog: UpstreamStatus['backlog'];
  readonly chunks_missing: number;
  readonly bytes_pulled: number;
  readonly bundles: readonly BundleView[];
}

export function showUpstream(status: UpstreamStatus): UpstreamView {
  const { name, url, isUp, areChunksUp, sinceMs, problem, backlog, bundles, missing, bytesPulled } =
    status;
  const since = instantText(sinceMs);
  const amounts = { chunks_missing: missing, bytes_pulled: bytesPulled };
  return {
    name,
    url,
    up: isUp,
    chunks_up: areChunksUp,
    since,
    problem,
    backlog,
    ...amounts,
    bundles,
  };
}
