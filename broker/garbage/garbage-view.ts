/** Garbage as the API and Prometheus show it, one for each place where chunks are. Sans-I/O. */

import type { Problem } from '../../shared/base/errors.ts';

export interface GarbageView {
  /** `store`: our own; `engine`: what an engine of somebody else retains; `copies`: of that. */
  readonly place: 'store' | 'engine' | 'copies';
  readonly keep_s: number;
  /** Not needed, and waiting for the end of their keep time. */
  readonly pending_chunks: number;
  /** Since the start. */
  readonly removed_chunks: number;
  readonly removed_bytes: number;
  /** Why nothing is removed; null while all is well. */
  readonly problem: Problem | null;
}
