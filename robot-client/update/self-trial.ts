/**
 * Decides about an agent on trial: how long the trial lasts, that it ended because the agent did
 * not come up, and whether an agent that reached no broker is to blame. Sans-I/O.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { insteadProblem, type AgentProcess } from '../self/launch.ts';
import type { MachineEvent } from './machine.ts';
import type { Job, MachineState } from './state.ts';

/**
 * The event of a start in place of the agent on trial: drover-launch has given that one up. Null
 * when nothing was on trial, or when the agent on trial runs.
 */
export function notUpEvent(
  { phase, job }: Pick<MachineState, 'phase' | 'job'>,
  { running, launch }: AgentProcess,
): MachineEvent | null {
  const { instead } = launch;
  if (phase !== 'probation' || !job || running === job.version) return null;
  if (instead?.version !== job.version) return null;
  return { kind: 'boots_exhausted', problem: insteadProblem(instead) };
}

interface TrialContext {
  readonly self?: { readonly wasHeard: boolean } | undefined;
  state(): Pick<MachineState, 'retry'>;
}

/** An agent has to be confirmed before drover-launch ends it for not showing itself. */
export const trialMs = ({ healthTimeoutMs }: Job, { self }: TrialContext): number =>
  self ? Math.min(healthTimeoutMs, LIMITS.agentTrialMsMax) : healthTimeoutMs;

/**
 * The problem of a trial that failed. The broker was reached right before the switch, by the agent
 * before. A trial without any report may have met a link that was lost at this moment; several of
 * them, each begun with a link, leave no other explanation than the new agent.
 */
export function selfFailure(problem: Problem, job: Job, { self, state }: TrialContext): Problem {
  if (!self || self.wasHeard || problem.code !== 'HEALTH_DEADLINE') return problem;
  const { retry } = state();
  const before = retry?.payloadSha256 === job.payloadSha256 ? retry.attempts : 0;
  const isLast = before + 1 >= LIMITS.agentTrialsMax;
  const which = `trial ${before + 1} of ${LIMITS.agentTrialsMax}`;
  const code = isLast ? 'AGENT_SILENT' : 'AGENT_UNHEARD';
  return toProblem(new DroverError(code, `${problem.message} (${which})`));
}
