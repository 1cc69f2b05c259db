/**
 * The steps that bring a release into effect, in addition to the link `active`. The effects of the
 * TABLE call them. There is one implementation for each kind of `apply_strategy`. Each step may be
 * interrupted at any time and is then called again. docs/decisions/0020-apply-strategies.md
 * explains why.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { HookResult } from '../install/hooks.ts';
import type { Job } from './state.ts';

/**
 * Facts about an update that a step needs. `manifest` is that of `version`, in base64; it is left
 * out where the state was lost.
 */
export type ApplyTarget = Pick<Job, 'version' | 'previousVersion'> & Partial<Pick<Job, 'manifest'>>;

/** The release that runs, as far as the strategy knows. */
export type RunsNow =
  /** The release that `active` leads to: there is nothing else to ask. */
  | { readonly kind: 'active' }
  /** Null: no complete release. */
  | { readonly kind: 'version'; readonly version: string | null }
  | { readonly kind: 'unknown'; readonly why: string };

export interface ApplyStrategy {
  /** A reboot brings the release into effect, in phase `rebooting` (slot-effects.ts). */
  readonly byReboot?: boolean;
  /** Phase `checking`, before a byte is downloaded. @throws DroverError: refused */
  check(job: Job): Promise<void>;
  /** Phase `staging`: the release is complete and verified. @throws DroverError: refused */
  stage(job: Job): Promise<void>;
  /**
   * Called before the application is stopped for a switch, or a way back, to `to`: the step can be
   * done on this machine, and the bytes that it needs are whole. Changes nothing.
   * @param to version that is to run; null for none
   * @throws DroverError COMPATIBLE_WRONG, MODULE_MISSING, RELEASE_DAMAGED
   */
  prepare(target: ApplyTarget, to: string | null): Promise<void>;
  /** Phase `swapping`: afterwards the version runs, and then `active` is set to it. */
  switchTo(target: ApplyTarget): Promise<void>;
  /** Called at a start in phase `probation`: the version on probation must run. */
  resume(target: ApplyTarget): Promise<void>;
  /** True when the version was confirmed already, before a power cut. Absent: never. */
  isProven?(target: ApplyTarget): Promise<boolean>;
  /** Called with each `health` of phase `probation`; `absent` when there is nothing to ask. */
  verify(target: ApplyTarget, timeoutMs: number): Promise<HookResult>;
  /** Called when the version is confirmed: data for an immediate way back may be deleted. */
  confirm(target: ApplyTarget): Promise<void>;
  /**
   * Phase `rolling_back`: afterwards `to` runs, and then `active` is set to it.
   * @param to version to go back to; null for none, as before a first install
   */
  revert(target: ApplyTarget, to: string | null): Promise<void>;
  /**
   * Reports which version runs while no update is active. Rejects only with the reason of the
   * signal.
   */
  said(target: ApplyTarget): Promise<RunsNow>;
}

const nothing = (): Promise<void> => Promise.resolve();

/** `atomic_swap`: only the link has to change. */
export const BY_LINK_ALONE: ApplyStrategy = {
  check: nothing,
  stage: nothing,
  prepare: nothing,
  switchTo: nothing,
  resume: nothing,
  verify: () => Promise.resolve({ kind: 'absent' }),
  confirm: nothing,
  revert: nothing,
  said: () => Promise.resolve({ kind: 'active' }),
};

/** Decision about the running version while no update is active. */
export type Agreement =
  | { readonly kind: 'agrees' }
  /** The version that `active` names is applied. */
  | { readonly kind: 'differs'; readonly problem: Problem }
  /** The module is asked again: the agent does not switch on a guess. */
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
