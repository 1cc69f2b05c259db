/**
 * Applies an operator command to a rollout. Sans-I/O. A halt is final: to go on, publish a fixed
 * version, because the robots that were asked to go back have blocked this one. No command opens a
 * wave whose gate has not passed, except `force-open`.
 */

import type { ErrorCode } from '../../shared/base/error-catalogue.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { printable } from '../../shared/base/printable.ts';
import {
  countApproval,
  isApproved,
  needsSeveral,
  type ApproverRules,
} from '../../shared/rules/approvers.ts';
import { approvalOf } from './approval.ts';
import { soakEndMs } from './gate-times.ts';
import { checkSigned, type Signing } from './signed-approval.ts';
import { runWord, stagesOf, usersOf, type RolloutPlan, type RolloutRun } from './record.ts';
import type { RolloutCommand } from './rollout-view.ts';
import { entry, stay, type AuditKind, type RolloutStep } from './steps.ts';
import { stopped } from './transitions.ts';

export interface OperatorCommand extends Signing {
  readonly command: RolloutCommand;
  readonly who: string;
  readonly reason: string;
  /** The wave of the command; absent from clients that do not name it. */
  readonly wave?: number | undefined;
}

export interface CommandContext {
  /** Null when it is no longer announced. */
  readonly plan: RolloutPlan | null;
  readonly now: EpochMs;
}

const AUDIT: Readonly<Record<RolloutCommand, AuditKind>> = {
  pause: 'paused',
  resume: 'resumed',
  abort: 'aborted',
  rollback: 'rolling_back',
  approve: 'approved',
  'force-open': 'forced',
};

/** After these the rollout continues, so the reasons that robots see are cleared. */
const GOES_ON: readonly RolloutCommand[] = ['resume', 'approve', 'force-open'];

/**
 * A repeated approval changes nothing and leaves no second entry, so its signature is not read.
 * @throws DroverError ROLLOUT_FINAL, ROLLOUT_COMMAND_INVALID, APPROVAL_TOO_EARLY,
 *   APPROVER_IS_PUBLISHER, APPROVER_UNKNOWN, and as `checkSigned`
 */
export function obey(run: RolloutRun, said: OperatorCommand, heard: CommandContext): RolloutStep {
  const next = change(run, said, heard);
  if (next === run) return { run, audit: [], isNews: false };
  const signed = checkSigned(run, said, heard);
  const why = said.reason === '' ? '' : `: ${said.reason}`;
  const isOfWave = said.command === 'approve' || said.command === 'force-open';
  const which = isOfWave ? ` of wave ${run.wave}` : '';
  const by = signed === null ? '' : `, signed by key ${signed.keyId}`;
  const text = `${said.command}${which} by ${said.who}${countOf(next, said, heard)}${by}${why}`;
  const reasons = GOES_ON.includes(said.command) ? [] : [text.slice(0, 500)];
  return {
    run: { ...next, reasons },
    audit: [
      {
        ...{ kind: AUDIT[said.command], by: said.who, text, evidence: [] },
        ...(signed !== null && { signed: signed.text }),
      },
    ],
    isNews: true,
  };
}

/** ` (1 of 2)` for an approval of a wave that needs several users. */
function countOf(run: RolloutRun, { command }: OperatorCommand, { plan }: CommandContext): string {
  if (command !== 'approve' || plan === null || !needsSeveral(plan.rollout)) return '';
  return ` (${usersOf(run, run.wave).length} of ${plan.rollout.approvers})`;
}

type Refuse = (code: ErrorCode, why: string) => never;

function change(run: RolloutRun, said: OperatorCommand, heard: CommandContext): RolloutRun {
  const { command } = said;
  const refuse: Refuse = (code, why) => {
    throw new DroverError(code, `${command} rollout ${run.rollout}: ${why}`);
  };
  assertGoesOn(run, said);
  const isOver = run.status === 'halted' || run.status === 'rolling_back';
  if (command === 'rollback') {
    if (run.recall) return refuse('ROLLOUT_FINAL', 'its robots go back already');
    return stopped(run, true);
  }
  if (isOver) return refuse('ROLLOUT_FINAL', `it is ${runWord(run)}`);
  switch (command) {
    case 'pause':
      return pause(run, heard.now);
    case 'resume':
      if (run.status !== 'paused')
        return refuse('ROLLOUT_COMMAND_INVALID', `it is ${runWord(run)}`);
      return resume(run, heard);
    case 'abort':
      return stopped(run, false);
    case 'approve':
      return approve(run, said, heard, refuse);
    case 'force-open':
      return forceOpen(run, said, heard, refuse);
  }
}

/** While paused it takes only commands that end the pause, and a repeated approval. */
function assertGoesOn(run: RolloutRun, { command, wave }: OperatorCommand): void {
  const isAgain = command === 'approve' && run.approved.includes(wave ?? run.wave);
  const isStopped = run.status === 'paused' && !isAgain;
  if (!isStopped || !['pause', 'approve', 'force-open'].includes(command)) return;
  const id = run.rollout;
  const why = command === 'pause' ? 'it is paused already' : 'it is paused';
  throw new DroverError('ROLLOUT_COMMAND_INVALID', `${command} rollout ${id}: ${why}`, {
    hint: `to let it go on: drover rollout resume ${id}`,
  });
}

const pause = (run: RolloutRun, now: EpochMs): RolloutRun => ({
  ...run,
  status: 'paused',
  waitsFor: null,
  pausedAtMs: now,
  // Without an effect it is checked again: a robot may have come meanwhile.
  pausedFrom: run.status === 'complete' && !run.noEffect ? 'complete' : 'rolling',
  settled: false,
  noEffect: false,
});

/**
 * The soak stood still: the time before the pause counts, the pause does not. A complete rollout is
 * complete again: all its waves have passed, and no robot is left to wait for.
 */
function resume(run: RolloutRun, { plan, now }: CommandContext): RolloutRun {
  if (run.pausedFrom === 'complete') {
    return { ...run, status: 'complete', waitsFor: null, pausedAtMs: null, pausedFrom: 'rolling' };
  }
  const { soakSinceMs, pausedAtMs } = run;
  const pausedMs = pausedAtMs === null ? 0 : Math.max(0, now - pausedAtMs);
  const since = soakSinceMs === null ? null : soakSinceMs + pausedMs;
  const soakS = plan && stagesOf(plan).find((one) => one.wave === run.wave)?.soakS;
  const untilMs = soakEndMs(since, soakS ?? 0);
  // Its soak may have ended before the pause: the gate says in its next pass what is missing.
  const waitsFor = untilMs === null ? 'robots' : now < untilMs ? 'soak' : 'evidence';
  return { ...run, status: 'rolling', waitsFor, soakSinceMs: since, pausedAtMs: null };
}

/** Approves a wave whose gate passed. It opens nothing: the gate runs once more. */
function approve(
  run: RolloutRun,
  { wave, user = null }: OperatorCommand,
  { plan }: CommandContext,
  refuse: Refuse,
): RolloutRun {
  const approval = approvalOf(run, plan, wave ?? null);
  switch (approval.state) {
    case 'given':
      return run;
    case 'early':
      return refuse('APPROVAL_TOO_EARLY', approval.text);
    case 'none':
      return refuse('ROLLOUT_COMMAND_INVALID', approval.text);
    case 'due':
      if (plan && needsSeveral(plan.rollout)) {
        return countUser(run, { rules: plan.rollout, user, refuse });
      }
      return approved(run);
  }
}

const approved = (run: RolloutRun): RolloutRun => ({
  ...run,
  approved: [...run.approved, run.wave].slice(-LIMITS.wavesMax),
});

/** Idempotent for each user; the wave is approved when enough of them have said so. */
function countUser(
  run: RolloutRun,
  { rules, user, refuse }: { rules: ApproverRules; user: string | null; refuse: Refuse },
): RolloutRun {
  const counted = countApproval(rules, usersOf(run, run.wave), user);
  if (counted.kind === 'again') return run;
  if (counted.kind === 'refused') return refuse(counted.code, counted.why);
  const others = run.approvedBy.filter(({ wave }) => wave !== run.wave);
  const mine = { wave: run.wave, users: [...counted.users] };
  const next = { ...run, approvedBy: [...others, mine].slice(-LIMITS.wavesMax) };
  return counted.isEnough ? approved(next) : next;
}

/** Ends the open wave without a verdict. It names its wave, so that a retry opens no other. */
function forceOpen(
  run: RolloutRun,
  said: OperatorCommand,
  { plan }: CommandContext,
  refuse: Refuse,
): RolloutRun {
  const { wave, reason } = said;
  const invalid = (why: string): never => refuse('ROLLOUT_COMMAND_INVALID', why);
  if (plan === null) return invalid('it is no longer announced');
  if (reason.trim() === '') return invalid('a reason is required');
  if (wave === undefined) return invalid(`the wave is required (wave ${run.wave} is open)`);
  if (run.forced.includes(wave)) {
    const who = `drover rollout history ${run.rollout} says by whom and when`;
    return invalid(`wave ${wave} was forced open already: ${who}`);
  }
  if (run.status !== 'rolling') return invalid(`it is ${runWord(run)}`);
  if (wave !== run.wave) return invalid(`wave ${run.wave} is open (got ${wave})`);
  return { ...run, forced: [...run.forced, wave].slice(-LIMITS.wavesMax) };
}

/**
 * Takes back what users have approved who may not approve any more, in the moment before the next
 * wave would open. A wave that is open stays open.
 * @param mayApprove undefined where the broker knows no users
 */
export function lapse(
  run: RolloutRun,
  plan: RolloutPlan | undefined,
  mayApprove: ((user: string) => boolean) | undefined,
): RolloutStep {
  const isBefore = run.status === 'rolling' || run.status === 'paused';
  if (!plan || !mayApprove || !isBefore || !needsSeveral(plan.rollout)) return stay(run);
  const users = usersOf(run, run.wave);
  const gone = users.filter((user) => !mayApprove(user));
  if (gone.length === 0) return stay(run);
  const left = users.filter((user) => !gone.includes(user));
  const others = run.approvedBy.filter(({ wave }) => wave !== run.wave);
  const mine = left.length > 0 ? [{ wave: run.wave, users: left }] : [];
  const isStill = isApproved(plan.rollout, left);
  const approved = isStill ? run.approved : run.approved.filter((wave) => wave !== run.wave);
  const names = gone.map((user) => printable(user, LIMITS.idLengthMax)).join(', ');
  const text = `approval of wave ${run.wave} by ${names} counts no more: no user who may approve (${left.length} of ${plan.rollout.approvers})`;
  const next = { ...run, approved, approvedBy: [...others, ...mine] };
  return { run: next, audit: [entry('awaiting_approval', text)], isNews: true };
}
