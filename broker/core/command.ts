/**
 * What the word of a person makes of a rollout. Pure. A halt is final: whoever wants to go on
 * publishes a fixed version, because the robots that were asked to go back have blocked this one.
 */

import type { ErrorCode } from '../../shared/error-catalogue.ts';
import { DroverError } from '../../shared/errors.ts';
import { LIMITS } from '../../shared/limits.ts';
import type { RolloutRun } from './rollout-run.ts';
import type { RolloutCommand } from './rollout-view.ts';
import { stopped, type AuditKind, type Step } from './steer.ts';

export interface Said {
  readonly command: RolloutCommand;
  readonly who: string;
  readonly reason: string;
}

const AUDIT: Readonly<Record<RolloutCommand, AuditKind>> = {
  pause: 'paused',
  resume: 'resumed',
  abort: 'aborted',
  rollback: 'rolled_back',
  approve: 'approved',
};

/** @throws DroverError ROLLOUT_FINAL, ROLLOUT_COMMAND_INVALID */
export function obey(run: RolloutRun, said: Said): Step {
  const next = change(run, said);
  const why = said.reason === '' ? '' : `: ${said.reason}`;
  const text = `${said.command} by ${said.who}${why}`;
  const reasons = said.command === 'resume' || said.command === 'approve' ? [] : [text];
  return {
    run: { ...next, reasons: reasons.map((one) => one.slice(0, 500)) },
    audit: [{ kind: AUDIT[said.command], by: said.who, text, evidence: [] }],
    isNews: true,
  };
}

function change(run: RolloutRun, { command }: Said): RolloutRun {
  const refuse = (code: ErrorCode, why: string): never => {
    throw new DroverError(code, `${command} rollout ${run.rollout}: ${why}`);
  };
  const isOver = run.status === 'halted' || run.status === 'rolling_back';
  switch (command) {
    case 'pause':
      if (isOver) return refuse('ROLLOUT_FINAL', `it is ${run.status}`);
      if (run.status === 'paused') return refuse('ROLLOUT_COMMAND_INVALID', 'it is paused already');
      return { ...run, status: 'paused', waitsFor: null };
    case 'resume':
      if (isOver) return refuse('ROLLOUT_FINAL', `it is ${run.status}`);
      if (run.status !== 'paused') return refuse('ROLLOUT_COMMAND_INVALID', `it is ${run.status}`);
      return { ...run, status: 'rolling', waitsFor: run.soakSinceMs === null ? 'robots' : 'soak' };
    case 'abort':
      if (isOver) return refuse('ROLLOUT_FINAL', `it is ${run.status}`);
      return stopped(run, false);
    case 'rollback':
      if (run.recall) return refuse('ROLLOUT_FINAL', 'its robots go back already');
      return stopped(run, true);
    case 'approve':
      if (isOver) return refuse('ROLLOUT_FINAL', `it is ${run.status}`);
      return approve(run, refuse);
  }
}

/** Approval opens what a person was asked for, or takes the place of evidence that does not come. */
function approve(run: RolloutRun, refuse: (code: ErrorCode, why: string) => never): RolloutRun {
  const waits =
    run.waitsFor === 'approval' || run.waitsFor === 'evidence' || run.waitsFor === 'robots';
  if (run.status !== 'rolling' || !waits) {
    const why = run.waitsFor === 'soak' ? 'its soak is not over' : `it is ${run.status}`;
    return refuse('ROLLOUT_COMMAND_INVALID', `nothing waits for a person (${why})`);
  }
  const approved = [...run.approved.filter((wave) => wave !== run.wave), run.wave];
  return { ...run, approved: approved.slice(-LIMITS.wavesMax) };
}
