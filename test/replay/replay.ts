/**
 * Makes the decisions of a trace again, with the code as it is now, and says where they differ. The
 * functions are pure, so what a robot did in the field happens here as it did there.
 */

import { isDeepStrictEqual } from 'node:util';
import { obey } from '../../broker/rollout/operator-commands.ts';
import { reconcile, type Reconciled } from '../../broker/rollout/reconcile.ts';
import type { RolloutStep } from '../../broker/rollout/steps.ts';
import { step, type Step } from '../../robot-client/update/machine.ts';
import { encodeTraceLine, type TraceLine } from '../../shared/io/trace.ts';
import { decodeTraceLine } from './read-line.ts';
import { toProblem } from '../../shared/base/errors.ts';

/** A pure function of the product, and one line for people about what it said. */
interface Decision<I extends readonly unknown[], O> {
  readonly again: (...input: I) => O;
  tell(input: I, output: O): string;
}

const tellRun = ({ run, audit }: RolloutStep): string => {
  const said = audit.map(({ text }) => `: ${text}`).join('');
  return `${run.rollout}: wave ${run.wave}, ${run.status}${said}`;
};

const stepDecision: Decision<Parameters<typeof step>, Step> = {
  again: step,
  tell: ([state, event], { state: after }) => {
    const problem = 'problem' in event ? ` (${event.problem.code})` : '';
    const version = after.job?.version ?? state.job?.version ?? '';
    return `${state.phase} --${event.kind}--> ${after.phase} ${version}${problem}`;
  },
};
const lookDecision: Decision<Parameters<typeof reconcile>, Reconciled> = {
  again: reconcile,
  tell: (_input, reconciled) => tellRun(reconciled.step),
};
const commandDecision: Decision<Parameters<typeof obey>, RolloutStep> = {
  again: obey,
  tell: ([, { command }], output) => `${command}: ${tellRun(output)}`,
};

type AnyDecision = Decision<readonly never[], never>;
/** By the first word of a line's name. */
const DECISIONS: Readonly<Record<string, AnyDecision>> = {
  step: stepDecision as unknown as AnyDecision,
  look: lookDecision as unknown as AnyDecision,
  command: commandDecision as unknown as AnyDecision,
};

export interface Replayed {
  /** One for each line of the trace. */
  readonly lines: readonly string[];
  /** Numbers of the lines, from 1, that come out otherwise now. */
  readonly differ: readonly number[];
  /** Lines that could not be read, or whose decision this version does not know. */
  readonly unread: number;
}

export function replayTrace(text: string): Replayed {
  const lines: string[] = [];
  const differ: number[] = [];
  let unread = 0;
  text.split('\n').forEach((one, at) => {
    if (one === '') return;
    const line = readLine(one);
    const [kind = '', about = ''] = line?.name.split(' ') ?? [];
    const decision = DECISIONS[kind];
    if (!line || !decision) {
      unread += 1;
      return;
    }
    const [input, output] = [line.input as readonly never[], line.output as never];
    lines.push(`${at + 1}  ${about}${about === '' ? '' : ': '}${decision.tell(input, output)}`);
    const now = outcomeOf(() => decision.again(...input));
    if (isDeepStrictEqual(now, output)) return;
    differ.push(at + 1);
    lines.push(`${at + 1}  DIFFERS, now: ${JSON.stringify(now)}`);
    lines.push(`${at + 1}  recorded:     ${JSON.stringify(output)}`);
  });
  return { lines, differ, unread };
}

/** The last line of a trace may have been cut short. */
function readLine(text: string): TraceLine | null {
  try {
    return decodeTraceLine(text);
  } catch {
    return null; // counted by the caller
  }
}

/** As it would stand in a trace: fields that are undefined are in none. */
function outcomeOf(again: () => unknown): unknown {
  try {
    const line = encodeTraceLine({ name: 'again', input: [], output: again() });
    return decodeTraceLine(line).output;
  } catch (error) {
    return { refused: toProblem(error).code };
  }
}
