/**
 * The steps in which a release is brought into effect, beside the link `active`: what the effects
 * of the TABLE call. There is one implementation for each kind of `apply_strategy`. Each step may be
 * cut at any instant and is called again then. docs/decisions/0019-apply-strategies.md says why.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { HookResult } from '../install/hooks.ts';
import type { Job } from './state.ts';

/** What a step has to know of an update. */
export type ApplyTurn = Pick<Job, 'version' | 'previousVersion'>;

/** What really runs, as far as the strategy can tell. */
export type RunsNow =
  /** It is where `active` leads: there is nothing else to ask. */
  | { readonly kind: 'active' }
  /** Null: nothing that is complete. */
  | { readonly kind: 'version'; readonly version: string | null }
  | { readonly kind: 'unknown'; readonly why: string };

export interface ApplyStrategy {
  /** Phase `checking`, before a byte is downloaded. @throws DroverError: refused */
  check(turn: ApplyTurn): Promise<void>;
  /** Phase `staging`: the release is complete and verified. @throws DroverError: refused */
  stage(turn: ApplyTurn): Promise<void>;
  /** Phase `swapping`: afterwards the version runs, and `active` is led to it. */
  switchTo(turn: ApplyTurn): Promise<void>;
  /** A start in phase `probation`: what is on trial must be what runs. */
  resume(turn: ApplyTurn): Promise<void>;
  /** Beside each `health` of phase `probation`; `absent` where there is nothing to ask. */
  verify(turn: ApplyTurn, timeoutMs: number): Promise<HookResult>;
  /** The version is good: what was kept to go back at once may go. */
  confirm(turn: ApplyTurn): Promise<void>;
  /**
   * Phase `rolling_back`: afterwards `to` runs, and `active` is led to it.
   * @param to null for nothing, as before a first install
   */
  revert(turn: ApplyTurn, to: string | null): Promise<void>;
  /** At rest: what really runs. Never rejects but with the reason of the signal. */
  said(turn: ApplyTurn): Promise<RunsNow>;
}

const nothing = (): Promise<void> => Promise.resolve();

/** `atomic_swap`: the link is all there is. */
export const BY_LINK_ALONE: ApplyStrategy = {
  check: nothing,
  stage: nothing,
  switchTo: nothing,
  resume: nothing,
  verify: () => Promise.resolve({ kind: 'absent' }),
  confirm: nothing,
  revert: nothing,
  said: () => Promise.resolve({ kind: 'active' }),
};

/** What is to be done about what runs while nothing is updated. */
export type Agreement =
  | { readonly kind: 'agrees' }
  /** It is brought to what `active` names. */
  | { readonly kind: 'differs'; readonly problem: Problem }
  /** It is asked again: nothing is switched on a guess. */
  | { readonly kind: 'unknown'; readonly problem: Problem };

/** @param active version that `active` leads to */
export function decideAgreement(said: RunsNow, active: string): Agreement {
  if (said.kind === 'active') return { kind: 'agrees' };
  if (said.kind === 'unknown') {
    const message = `ask what runs of ${active}: ${said.why}`;
    return { kind: 'unknown', problem: toProblem(new DroverError('MODULE_UNKNOWN', message)) };
  }
  if (said.version === active) return { kind: 'agrees' };
  const counts = `(got ${said.version ?? 'nothing'}, want ${active})`;
  const message = `ask what runs: other than active names ${counts}`;
  return { kind: 'differs', problem: toProblem(new DroverError('MODULE_DIFFERS', message)) };
}
