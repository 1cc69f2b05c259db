/**
 * `drover-robot recover`: runs at boot before the application, without network and without waiting
 * for anybody. It finishes what a power cut interrupted, counts unconfirmed boots, and leaves
 * `active` leading to a complete release. Safe to run any number of times.
 */

import { DroverError, toProblem } from '../shared/errors.ts';
import { layoutOf, type Layout } from './core/layout.ts';
import { powerEvent, step, type MachineEvent } from './core/machine.ts';
import type { Disk } from './core/ports.ts';
import { slotProblem, versionOf } from './core/slots.ts';
import type { MachineState } from './core/state.ts';
import { hookEnvironment } from './effects.ts';
import { adoptActiveFolder } from './io/adopt.ts';
import { runHook } from './io/hooks.ts';
import { readMachineState, writeMachineState } from './io/state-file.ts';
import { readSlots } from './io/read-slots.ts';
import { prepareLayout, swapBack, swapTo } from './io/swap.ts';
import { LIMITS } from '../shared/limits.ts';

export interface Recovery {
  readonly component: string;
  /** What boots now; null when nothing is installed. */
  readonly version: string | null;
  readonly phase: MachineState['phase'];
  /** What was done, in sentences; empty when there was nothing to do. */
  readonly actions: readonly string[];
}

export interface RecoverInput {
  readonly component: string;
  readonly root: string;
  readonly disk: Disk;
  readonly hooksFolder: string;
  /** One run of a hook; `hookTimeoutMsDefault` when it is left out. */
  readonly hookTimeoutMs?: number | undefined;
  readonly bootsMax: number;
  readonly adoptVersion: string;
}

export async function recoverComponent(input: RecoverInput): Promise<Recovery> {
  const { disk, component } = input;
  const layout = layoutOf(input.root);
  const actions: string[] = [];
  await prepareLayout(disk, layout);
  const { adopted, problem: refusal } = await adoptActiveFolder(disk, layout, input.adoptVersion);
  if (refusal) actions.push(`${refusal.message} (${refusal.code}): ${refusal.hint}`);
  if (adopted !== null) actions.push(`adopted the plain active folder as release ${adopted}`);
  let state = await readMachineState(disk, layout, Date.now());
  const apply = async (event: MachineEvent): Promise<void> => {
    const next = step(state, event, Date.now()).state;
    await writeMachineState(disk, layout, next);
    state = next;
  };
  await apply(powerEvent(state, 'recover', input.bootsMax));
  if (state.phase === 'probation' && state.job) {
    actions.push(`boot ${state.job.boots} of ${state.job.version} without a confirmation`);
  }
  if (state.phase === 'swapping' && state.job) {
    const { version } = state.job;
    const outcome = await finishSwap(disk, layout, version);
    await apply(outcome);
    if (outcome.kind === 'swapped') actions.push(`finished the swap to ${version}`);
  }
  if (state.phase === 'rolling_back' && state.job) {
    const { version, previousVersion } = state.job;
    await swapBack(disk, layout, { version, previous: previousVersion });
    const env = hookEnvironment({
      component,
      layout,
      version: previousVersion ?? '',
      previousVersion,
      targetVersion: version,
    });
    const timeoutMs = input.hookTimeoutMs ?? LIMITS.hookTimeoutMsDefault;
    await runHook({ folder: input.hooksFolder, name: 'rolled-back', timeoutMs, env });
    await apply({ kind: 'rolled_back' });
    actions.push(`rolled back from ${version} to ${previousVersion ?? 'nothing'}`);
  }
  const slots = await readSlots(disk, layout);
  const problem = slotProblem(slots);
  if (problem) actions.push(`${problem.message} (${problem.code}): ${problem.hint}`);
  return { component, version: versionOf(slots.active), phase: state.phase, actions };
}

async function finishSwap(disk: Disk, layout: Layout, version: string): Promise<MachineEvent> {
  try {
    await swapTo(disk, layout, version);
    return { kind: 'swapped' };
  } catch (thrown) {
    if (!(thrown instanceof DroverError)) throw thrown;
    return { kind: 'swap_failed', problem: toProblem(thrown) };
  }
}
