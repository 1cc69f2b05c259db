/** Applies events of system slots (a reboot, a fallback) to the state of a component. Sans-I/O. */

import type { Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { RolloutSet } from '../../shared/formats/announcement.ts';
import { compareVersions } from '../../shared/base/version.ts';
import { SLOT_IMAGE } from '../../shared/formats/apply-strategy.ts';
import { blockOf } from './blocks.ts';
import { onProbation } from './lost-state.ts';
import type { SlotTrial } from './job-parts.ts';
import type { MachineState } from './state.ts';

export type SlotEvent =
  /** `slots`: after a swap, the running slot and the one with the image; null on the way back. */
  | { readonly kind: 'reboot_due'; readonly slots: Pick<SlotTrial, 'from' | 'to'> | null }
  /** The boot loader got its order during the boot with that id. */
  | { readonly kind: 'told'; readonly bootId: string }
  /** At rest: the running system slot, which holds version `to`, is not the confirmed one. */
  | { readonly kind: 'fell_back'; readonly problem: Problem; readonly to: string }
  /** At rest: a slot is on trial, and the state of its update was lost. */
  | {
      readonly kind: 'trial_found';
      readonly problem: Problem;
      readonly version: string;
      readonly previous: string;
      readonly slots: Pick<SlotTrial, 'from' | 'to'>;
      /** The set that the image was written for; null for an image by itself. */
      readonly set: RolloutSet | null;
    };

/** Changes all but the phase, which the table of machine.ts sets. */
export function afterSlotEvent(state: MachineState, event: SlotEvent, now: EpochMs): MachineState {
  switch (event.kind) {
    case 'reboot_due':
      return rebootDue(state, event.slots);
    case 'told':
      return withTold(state, event.bootId);
    case 'fell_back':
      return fellBack(state, event, now);
    case 'trial_found': {
      const next = onProbation(state, event, now);
      const slotTrial = { ...event.slots, toldIn: null };
      const { set } = event;
      return { ...next, job: next.job && { ...next.job, strategy: SLOT_IMAGE, slotTrial, set } };
    }
  }
}

/** @param slots null on the way back, where the slots of the update stay */
function rebootDue(
  state: MachineState,
  slots: Pick<SlotTrial, 'from' | 'to'> | null,
): MachineState {
  const { job } = state;
  if (!job) return state;
  const slotTrial = slots === null ? job.slotTrial : { ...slots, toldIn: null };
  return withTold({ ...state, job: { ...job, slotTrial } }, null);
}

/** @param toldIn boot in which the boot loader got its order; null to give it again */
export function withTold(state: MachineState, toldIn: string | null): MachineState {
  const { job } = state;
  if (!job?.slotTrial) return state;
  return { ...state, job: { ...job, slotTrial: { ...job.slotTrial, toldIn } } };
}

/**
 * The running slot is not the confirmed one. A newer version that the boot loader gave up is
 * blocked, so that it is not taken again by itself.
 */
function fellBack(
  state: MachineState,
  { to, problem }: { readonly to: string; readonly problem: Problem },
  now: EpochMs,
): MachineState {
  const { installed, blocked } = state;
  if (installed === null && state.lastActive === to) return state;
  const isOlder = installed !== null && compareVersions(to, installed.version) < 0;
  const isGivenUp = isOlder && problem.code === 'BOOT_FELL_BACK';
  const others = blocked.filter((one) => one.payloadSha256 !== installed?.payloadSha256);
  const entry = isGivenUp ? [blockOf(installed, problem.code)] : [];
  const version = isGivenUp ? installed.version : to;
  return {
    ...state,
    blocked: isGivenUp ? [...others, ...entry].slice(-LIMITS.blockedBundlesMax) : blocked,
    ...{ installed: null, lastActive: to, retry: null },
    lastProblem: { ...problem, version, atMs: now },
  };
}
