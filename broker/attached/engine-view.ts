/**
 * Converts the status of the engine and its chunks to the fields of the API: names with
 * underscores, times as text. Sans-I/O.
 */

import type { Problem } from '../../shared/base/errors.ts';
import type { EngineStatus } from '../mqtt/engine-port.ts';
import type { StoreState } from './store-state.ts';

export interface EngineView {
  readonly kind: EngineStatus['kind'];
  readonly profile: string;
  readonly url: string | null;
  readonly up: boolean;
  readonly since: string;
  readonly problem: Problem | null;
  readonly lacks: readonly string[];
}

export interface StoreView {
  readonly status: StoreState['status'];
  readonly chunks: number;
  readonly present: number;
  readonly restored: number;
  readonly lost: number;
  readonly checked_at: string | null;
  readonly problem: Problem | null;
}

export function showEngine(status: EngineStatus): EngineView {
  const { isUp, sinceMs, ...shown } = status;
  return { ...shown, up: isUp, since: new Date(sinceMs).toISOString() };
}

export function showStore({ checkedAtMs, ...state }: StoreState): StoreView {
  const checked_at = checkedAtMs === null ? null : new Date(checkedAtMs).toISOString();
  return { ...state, checked_at };
}
