/** The part of the error catalogue on the transparency log. Sans-I/O. */

import { refused, usage, type CatalogueEntry } from './catalogue-entry.ts';

export const LOG_CODES = {
  LOG_PROOF_MISSING: refused(
    'operator',
    'log the bundle and publish it again: drover log add BUNDLE, then drover publish BUNDLE --supersede ROLLOUT; if nobody of yours made it, a release key is in other hands',
  ),
  LOG_PROOF_INVALID: refused(
    'operator',
    'renew the proof and publish again: drover log add BUNDLE (after drover log witness, where witnesses are too few), then drover publish BUNDLE --supersede ROLLOUT; drover verify BUNDLE --require-log POLICY says whether it holds',
  ),
  LOG_POLICY_INVALID: usage(
    'mend the line of the policy: log VKEY, witness NAME VKEY, group NAME COUNT MEMBERS, quorum NAME; drover log key prints the keys',
  ),
  LOG_NOTE_INVALID: refused(
    'peer',
    'it is no signed note, checkpoint or key of one: give the file or name that drover log wrote or printed',
  ),
  LOG_ABSENT: refused(
    'operator',
    'name the broker that has the log; a first log begins with drover log add BUNDLE --new',
  ),
  LOG_EXISTS: usage('leave out --new: it begins a first log, and there is one'),
  LOG_INVALID: refused(
    'peer',
    'the log on this broker is not what its key signed: find out who writes fleet/log, then, when its signatures alone are bad, drover log add BUNDLE --since FILE (a checkpoint that you saved), else restore a backup',
  ),
  LOG_REWRITTEN: refused(
    'peer',
    'after a restore of the broker add the lost bundles again, in their order; else keep both checkpoints, which prove that the key of the log signed two histories, and treat that key as stolen',
  ),
  LOG_CONFLICT: refused(
    'operator',
    'somebody else wrote the log at the same moment: run the command again',
    'now',
  ),
  LOG_APPEND_ONLY: refused(
    'peer',
    'the broker keeps what the log holds: see who else writes fleet/log, and let drover log add and drover log witness write it',
  ),
  LOG_FULL: refused(
    'operator',
    'this log takes no more entries: ask the maintainers of Drover for a larger bound, with the number of your releases',
  ),
} as const satisfies Record<string, CatalogueEntry>;
