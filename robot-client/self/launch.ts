/**
 * Facts that `drover-launch` passes to the agent that it starts: that it is there to start another
 * one, and why this agent runs in place of the one that `active` leads to. Sans-I/O.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { countOf, printable } from '../../shared/base/printable.ts';
import { isVersion } from '../../shared/base/version.ts';

/** Set to 1 by drover-launch. */
const LAUNCHED_VARIABLE = 'DROVER_AGENT_LAUNCHED';
/** `VERSION REASON`; empty when the agent of `active` runs. */
const INSTEAD_VARIABLE = 'DROVER_AGENT_INSTEAD';

/** Exit code of an agent that ends so that another release of it is started. */
export const RESTART_EXIT = 6;

/** The agent that was not started, or not any more. */
export interface Instead {
  readonly version: string;
  /** `missing`, `uncounted`, `damaged`, or a number of starts and how the last one ended. */
  readonly why: string;
}

export interface Launch {
  /** False for an agent that a person or another service manager started. */
  readonly isLaunched: boolean;
  readonly instead: Instead | null;
}

/** The agent that this process is. */
export interface AgentProcess {
  /** The release that runs; null for the installed agent. */
  readonly running: string | null;
  readonly launch: Launch;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Words that are not of drover-launch tell nothing. */
export function readLaunch(environment: Environment): Launch {
  const isLaunched = environment[LAUNCHED_VARIABLE] === '1';
  const text = isLaunched ? (environment[INSTEAD_VARIABLE] ?? '') : '';
  const [version = '', ...why] = text.trim().split(' ');
  if (!isVersion(version)) return { isLaunched, instead: null };
  return { isLaunched, instead: { version, why: printable(why.join(' ')) } };
}

/** Why a version did not come up, for the fleet. */
export function insteadProblem({ version, why }: Instead): Problem {
  const [first = '', ...last] = why.trim().split(' ');
  if (first === 'uncounted') {
    const text = `start agent ${version}: the start could not be counted on the disk`;
    return toProblem(new DroverError('BOOT_NOT_COUNTED', text));
  }
  return toProblem(new DroverError('AGENT_NOT_UP', `start agent ${version}: ${text(first, last)}`));
}

function text(first: string, last: readonly string[]): string {
  if (first === 'missing') return 'its program, or a Node.js to run it with, is gone';
  if (first === 'damaged') return 'the count of its starts is damaged, and it was never confirmed';
  if (last[0] === 'hung') return `it did not show itself within ${last[1] ?? '?'} s, and was ended`;
  const starts = /^\d$/.test(first) ? countOf(Number(first), 'start') : 'its starts';
  const end = last.length > 0 ? `; the last one: ${last.join(' ')}` : '';
  return `it was not confirmed in ${starts}${end}`;
}

/** The problem of a confirmed agent that another one runs for. */
export function inPlaceProblem(launch: Launch, active: string, running: string | null): Problem {
  const runs = running ?? 'the installed agent';
  if (!launch.isLaunched) {
    const message = `run agent ${active}: ${runs} was started, and not by drover-launch`;
    return toProblem(new DroverError('AGENT_NOT_LAUNCHED', message));
  }
  const isAbout = launch.instead?.version === active;
  const why = launch.instead && isAbout ? `: ${insteadProblem(launch.instead).message}` : '';
  const message = `run agent ${active}: ${runs} runs in its place${why}`;
  return toProblem(new DroverError('AGENT_FELL_BACK', message));
}
