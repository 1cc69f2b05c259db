/**
 * Decides whether an approval of a wave is due, given, or too early, and when it can be given. The
 * command and the API both use this function. Sans-I/O.
 */

import { instantText } from '../../shared/base/durations.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { approverWords, needsSeveral } from '../../shared/rules/approvers.ts';
import { soakEndMs } from './gate-times.ts';
import { toSign, type ToSign } from './signed-approval.ts';
import {
  isUnopened,
  runWord,
  stagesOf,
  usersOf,
  type RolloutPlan,
  type RolloutRun,
} from './record.ts';

export interface Approval {
  readonly wave: number;
  /**
   * `due`: the gate passed and the wave waits for it; `early`: the gate has not passed; `given`: it
   * was given before, and nothing is left to do; `none`: the rollout is not rolling, or has no such
   * wave.
   */
  readonly state: 'due' | 'early' | 'given' | 'none';
  /** One sentence. */
  readonly text: string;
  /** Different users that the wave needs; 1 for any person. */
  readonly needed: number;
  /** Users that have approved it so far; empty where one person is enough. */
  readonly by: readonly string[];
  /** User that may not approve it; null where one person is enough. */
  readonly publisher: string | null;
  /** Fields that a signed approval of the open wave has to name; null when it is not announced. */
  readonly to_sign: {
    readonly fleet: string;
    readonly release: string;
    readonly wave: number;
    readonly opened_at: string;
  } | null;
}

/** @param wave null for the open wave */
export function approvalOf(
  run: RolloutRun,
  plan: RolloutPlan | null,
  wave: number | null,
): Approval {
  const meant = wave ?? run.wave;
  const rules = plan && needsSeveral(plan.rollout) ? plan.rollout : null;
  const by = rules ? usersOf(run, meant) : [];
  const answer = (state: Approval['state'], text: string): Approval => ({
    wave: meant,
    state,
    text,
    needed: rules?.approvers ?? 1,
    by,
    publisher: rules?.published_by ?? null,
    to_sign: plan && told(toSign(run, plan)),
  });
  if (run.approved.includes(meant)) return answer('given', `wave ${meant} is approved already`);
  if (plan === null) return answer('none', 'it is no longer announced');
  const stages = stagesOf(plan);
  if (!stages.some((one) => one.wave === meant)) return answer('none', `it has no wave ${meant}`);
  if (meant < run.wave)
    return answer('none', `wave ${meant} ended before, wave ${run.wave} is open`);
  if (run.status !== 'rolling') {
    const first = run.status === 'paused' ? `; first: drover rollout resume ${run.rollout}` : '';
    return answer('none', `it is ${runWord(run)}${first}`);
  }
  if (meant > run.wave) return answer('early', `wave ${meant} is not open, wave ${run.wave} is`);
  if (run.waitsFor === 'approval') {
    const whose = rules ? `; ${approverWords(rules, by)}` : '';
    return answer('due', `wave ${meant} passed its gate${whose}`);
  }
  if (isUnopened(run)) {
    const why = 'a controller that has just started looks at the robots first';
    return answer('early', `no wave is open yet: ${why}`);
  }
  const isLast = stages.at(-1)?.wave === meant;
  const itself = isLast ? 'it is the last one' : 'the next one opens by itself after that';
  const asks = plan.rollout.approve_after.includes(meant) && !isLast;
  const then = asks ? 'an approval can be given after that' : `it needs no approval: ${itself}`;
  return answer(
    'early',
    `wave ${meant} has not passed its gate: it waits ${waitOf(run, plan)}; ${then}`,
  );
}

const told = ({ fleet, release, wave, opened_at: at }: ToSign): Approval['to_sign'] => ({
  ...{ fleet, release, wave },
  opened_at: new Date(at).toISOString(),
});

function waitOf(run: RolloutRun, plan: RolloutPlan): string {
  const stage = stagesOf(plan).find((one) => one.wave === run.wave);
  const soakS = stage?.soakS ?? 0;
  const untilMs: EpochMs | null = soakEndMs(run.soakSinceMs, soakS);
  if (run.waitsFor === 'unable') return 'for robots that cannot take it before they are mended';
  if (untilMs === null) return `for robots to end their update, then for a soak of ${soakS} s`;
  if (run.waitsFor === 'robots') return 'for robots to end their update';
  if (run.waitsFor === 'evidence') return 'for evidence';
  return `for its soak until ${instantText(untilMs)}, or for evidence`;
}
