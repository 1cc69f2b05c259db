/**
 * What becomes of a rollout that comes out of a backup. Sans-I/O. Since the backup it may have been
 * halted and its robots called back; rolling on would take them forward again. So it waits for a
 * person. What was over stays over, a recall goes on: going back is what the lost broker told too.
 */

import { obey } from './operator-commands.ts';
import type { AuditEntry } from './rollout-view.ts';
import type { RolloutRun } from './record.ts';

const RESTORE = 'restore';

/** Null: it may go on as it is. */
export function pauseRestored(
  before: RolloutRun,
  { backupAt, at }: { backupAt: string; at: string },
): { run: RolloutRun; audit: AuditEntry } | null {
  // What left the announcement is joined by nobody until a person announces it again.
  if (before.status !== 'rolling' || before.withdrawn) return null;
  const reason = `from a backup of ${backupAt}, it may have been halted since`;
  const { run, audit } = obey(
    before,
    { command: 'pause', who: RESTORE, reason },
    // Its soak stands still since the backup: the time between was watched by nobody here.
    { plan: null, now: Date.parse(backupAt) },
  );
  const [draft] = audit;
  if (!draft) throw new TypeError('pauseRestored: a pause is written down');
  const seq = run.auditSeq + 1;
  const { rollout, wave, threshold, status } = run;
  return {
    run: { ...run, auditSeq: seq },
    audit: { ...draft, seq, at, rollout, wave, threshold, status },
  };
}
