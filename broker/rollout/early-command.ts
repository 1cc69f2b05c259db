/**
 * Applies a command to an announced rollout that has no record yet: its controller has just
 * started, or does not lead. Commands that stop are carried out at once, because stopping is always
 * safe and an operator who notices a wrong publish stops it in the first seconds. The other
 * commands need the reports of the robots first. Sans-I/O.
 */

import { DroverError, type Problem } from '../../shared/base/errors.ts';
import { formatDurationMs } from '../../shared/base/durations.ts';
import { obey, type CommandContext, type OperatorCommand } from './operator-commands.ts';
import { beginRun, type RolloutPlan, type RolloutRun } from './record.ts';
import type { RolloutCommand } from './rollout-view.ts';
import type { RolloutStep } from './steps.ts';
import { announcedBy } from './transitions.ts';

const STOPS: readonly RolloutCommand[] = ['pause', 'abort', 'rollback'];

export interface TooEarly {
  /** Time until the first wave opens, in milliseconds. */
  readonly leftMs: number;
  /** Names the signer of the announcement. */
  readonly by: string;
}

/**
 * @returns the record that begins with this command, and its audit entries
 * @throws DroverError NOT_LED_YET for a command that does not stop
 */
export function obeyEarly(
  plan: RolloutPlan,
  said: OperatorCommand,
  { leftMs, by, now }: TooEarly & Pick<CommandContext, 'now'>,
): { readonly run: RolloutRun; readonly step: RolloutStep } {
  const { command } = said;
  const { id } = plan.rollout;
  if (!STOPS.includes(command)) {
    const why = `no wave is open yet, the controller gets to know its robots first (${inS(leftMs)})`;
    throw new DroverError('NOT_LED_YET', `${command} rollout ${id}: ${why}`);
  }
  const run = beginRun(plan, now);
  const step = obey(run, said, { plan, now });
  return { run, step: { ...step, audit: [announcedBy(plan, by), ...step.audit] } };
}

/** The refusal of a controller that may not act now. */
export function notLeading(
  what: string,
  leader: { kind: 'other'; controller: string } | { kind: 'none'; leftMs: number },
  keysProblem?: Problem | null,
): DroverError {
  // Shown instead of a takeover that cannot happen.
  if (keysProblem) {
    const { message, hint } = keysProblem;
    return new DroverError('NOT_LEADING', `${what}: this controller cannot: ${message}`, { hint });
  }
  if (leader.kind === 'other') {
    return new DroverError('NOT_LEADING', `${what}: ${leader.controller} leads, not this one`);
  }
  const why = `no controller leads yet, this one takes over unless another does`;
  return new DroverError('NOT_LED_YET', `${what}: ${why} (${inS(leader.leftMs)})`);
}

const inS = (ms: number): string =>
  `in about ${formatDurationMs(Math.max(1, Math.ceil(ms / 1000)) * 1000)}`;
