/**
 * Notices that the rollout role has other keys, and decides what stays of each rollout. A stolen
 * key must not act through this controller: a record that was made from its progress is replaced by
 * the one before it, and its numbers start again. Sans-I/O.
 */

import type { Progress } from '../../shared/formats/progress.ts';
import { hasSay, isSameRole } from '../../shared/formats/trust-chain.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import type { AuditEntry } from './rollout-view.ts';
import type { RolloutRun } from './record.ts';
import type { AuditDraft } from './steps.ts';

export class KeyWatch {
  readonly #trust: TrustRoot;
  #known: Pick<TrustRoot, 'roles'>;

  constructor(trust: TrustRoot) {
    this.#trust = trust;
    this.#known = { roles: trust.roles };
  }

  /** True once after each change of the role. */
  haveChanged(): boolean {
    const { roles } = this.#trust;
    if (isSameRole(this.#known, { roles }, 'rollout')) return false;
    this.#known = { roles };
    return true;
  }
}

/** Progress as the carrier holds it, and the keys that signed it. */
export interface SignedProgress {
  readonly progress: Progress;
  readonly signers: readonly string[];
}

/** A rollout whose record was made from another controller's progress. */
export interface ForeignRecord {
  /** Our record before that; null when there was none. */
  readonly before: RolloutRun | null;
  readonly signers: readonly string[];
}

/**
 * The record with which it continues under the new keys; null to start again.
 * @param over null for a record that is all our own
 */
export function underNewKeys(
  run: RolloutRun,
  over: ForeignRecord | null,
  trust: TrustRoot,
): RolloutRun | null {
  const stays = over === null || hasSay(over.signers, trust.roles.rollout);
  const from = stays ? run : over.before;
  return from && { ...from, auditSeq: run.auditSeq, seq: 0, announcedSeq: 0 };
}

/** The audit entries that a step adds, numbered. */
export function entriesOf(
  run: RolloutRun,
  drafts: readonly AuditDraft[],
  at: string,
): { run: RolloutRun; entries: AuditEntry[] } {
  const { rollout, wave, threshold, status } = run;
  const entries = drafts.map((draft, index) => {
    const evidence = [...draft.evidence];
    const seq = run.auditSeq + index + 1;
    return { ...draft, evidence, seq, at, rollout, wave, threshold, status };
  });
  return { run: { ...run, auditSeq: run.auditSeq + entries.length }, entries };
}
