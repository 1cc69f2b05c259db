/**
 * Reads and writes the state file of a component, `machine.json`. A file that cannot be read is set
 * aside and reported; the state then begins with what the links show.
 */

import {
  DroverError,
  nullIfFailed,
  nullIfRefused,
  toProblem,
  type Problem,
} from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { isForbidden } from '../install/disk-error.ts';
import { isClosed, readOrSetAside, writeWhole } from '../install/small-file.ts';
import type { Layout } from '../install/layout.ts';
import { versionsInSlots } from '../boot/slot-records.ts';
import type { Disk } from '../install/disk-port.ts';
import { stateAfterLoss, withActive, withNewerLinks, withRollback } from './lost-state.ts';
import { mendImageReleases } from './image-release.ts';
import type { Slots } from '../install/slots.ts';
import { ledBack } from './probation.ts';
import { encodeMachineState, freshState, parseMachineState, type MachineState } from './state.ts';
import { clearStaging } from '../install/prune.ts';
import { isFull, refillSpares, writeFromSpare } from '../install/state-spare.ts';
import { ourReleases } from '../install/whole-releases.ts';
import { readSlots } from '../install/read-slots.ts';

/** The machine's state; without a readable file it begins with what the links show. */
export async function readMachineState(
  disk: Disk,
  layout: Layout,
  now: number,
): Promise<MachineState> {
  const { value, problem } = await readOrSetAside(disk, layout.machineFile, parseMachineState);
  await mendImageReleases(disk, layout);
  const slots = await readSlots(disk, layout);
  const state = value ? withLinks(value, slots, now) : await lostState(disk, layout, problem, now);
  return withActive(state, slots);
}

/** Adds facts that the links show and the state does not. */
function withLinks(state: MachineState, slots: Slots, now: number): MachineState {
  const found = withNewerLinks(withRollback(state, slots), slots, now);
  return ledBack(found, slots, now) ?? found;
}

/** The state to begin with when none can be read. @param damage the problem of the file */
export async function lostState(
  disk: Disk,
  layout: Layout,
  damage: Problem | null,
  now: number,
): Promise<MachineState> {
  const slots = await readSlots(disk, layout);
  const held = await versionsInSlots(disk, layout);
  return stateAfterLoss(slots, damage, now, await ourReleases(disk, layout), held);
}

/**
 * The state as the agent would go on from it; nothing is changed or set aside.
 * @returns with why the file could not be read; null when it could, or there was none
 */
export async function peekMachineState(
  disk: Disk,
  layout: Layout,
  now: number,
): Promise<{ state: MachineState; problem: Problem | null }> {
  try {
    const bytes = await disk.readFile(layout.machineFile, LIMITS.manifestBytesMax * 4);
    const slots = await readSlots(disk, layout);
    if (bytes === null) return { state: await lostState(disk, layout, null, now), problem: null };
    return { state: withLinks(parseMachineState(bytes), slots, now), problem: null };
  } catch (thrown) {
    if (!(thrown instanceof DroverError)) throw thrown;
    const cause = toProblem(thrown);
    if (isClosed(thrown.code)) return { state: freshState(), problem: cause };
    const hint = 'nothing was changed; the agent and drover-robot recover set the file aside';
    const message = `read machine.json: ${cause.message}`;
    const damage = toProblem(new DroverError('STATE_CORRUPT', message, { hint }));
    return { state: await lostState(disk, layout, damage, now), problem: damage };
  }
}

/** Why the state of a root is not for this version, or this user, to change; null when it is. */
export async function closedState(disk: Disk, layout: Layout): Promise<Problem | null> {
  const { problem } = await peekMachineState(disk, layout, 0);
  return problem && isClosed(problem.code) ? problem : null;
}

/**
 * Writes the state durably. On a full disk a state of a trial, or of the way back from one, takes a
 * spare file: a boot that is not counted would lead back, and a way back that is not stored is
 * begun again.
 */
export async function writeMachineState(
  disk: Disk,
  layout: Layout,
  state: MachineState,
): Promise<void> {
  const path = layout.machineFile;
  const bytes = encodeMachineState(state);
  try {
    await writeWhole(disk, path, bytes);
    if (isTrial(state)) await nullIfFailed(refillSpares(disk, layout));
  } catch (thrown) {
    if (!isFull(thrown) || !(await mayUseSpare(disk, layout, state))) throw thrown;
    if (!(await writeFromSpare(disk, layout, { path, bytes }))) throw thrown;
  }
}

const isTrial = ({ phase }: MachineState): boolean => phase === 'probation';

/** One that waits in front of a swap may not use up what the trial after it needs. */
async function mayUseSpare(disk: Disk, layout: Layout, state: MachineState): Promise<boolean> {
  const isOfTrial = ({ phase }: MachineState): boolean =>
    ['probation', 'rolling_back', 'reverting', 'stuck'].includes(phase);
  if (isOfTrial(state)) return true;
  if (state.phase !== 'idle') return false;
  const bytes = await nullIfFailed(disk.readFile(layout.machineFile, LIMITS.manifestBytesMax * 4));
  const stored = bytes && nullIfRefused(() => parseMachineState(bytes));
  return stored !== null && isOfTrial(stored);
}

/** @returns why the state could not be written, even after making room; null when it was */
export async function keepMachineState(
  disk: Disk,
  layout: Layout,
  state: MachineState,
): Promise<Problem | null> {
  try {
    await writeMachineState(disk, layout, state);
    return null;
  } catch (error) {
    if (state.phase !== 'idle' || isForbidden(error)) return toDiskProblem(error);
  }
  try {
    await clearStaging(disk, layout);
    await writeMachineState(disk, layout, state);
    return null;
  } catch (error) {
    return toDiskProblem(error);
  }
}

const toDiskProblem = (error: unknown): Problem =>
  toProblem(
    error instanceof DroverError
      ? error
      : new DroverError('DISK_WRITE_FAILED', `write state: ${String(error)}`),
  );
