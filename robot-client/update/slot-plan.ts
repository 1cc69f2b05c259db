/**
 * Decides the next step of a boot into the other system slot, and of the way back. The slot that
 * runs and the boot loader decide what is true; the state adds only whether the boot loader got its
 * order, and in which boot. So each step may be cut at any time and is then decided again.
 * Sans-I/O.
 */

import { LIMITS } from '../../shared/base/limits.ts';
import { compareVersions } from '../../shared/base/version.ts';
import type { BootView, SystemSlot } from '../boot/boot-slots.ts';

/** Facts about the machine now. */
export interface MachineFacts {
  readonly running: SystemSlot;
  readonly view: BootView;
  /** True when the machine was not restarted since the boot loader got its order. */
  readonly isSameBoot: boolean;
  /** The boot loader has its order; stored before the reboot. */
  readonly isTold: boolean;
}

export interface TrialFacts extends MachineFacts {
  /** The slot with the new image. */
  readonly to: SystemSlot;
}

export type TrialStep =
  /** The new image runs. */
  | { readonly kind: 'runs' }
  /** Call `tryNext(to)`, and then store that it was called. */
  | { readonly kind: 'tell' }
  | { readonly kind: 'reboot' }
  /** The boot loader gave the slot up. */
  | { readonly kind: 'fellBack'; readonly why: string };

/** True for a boot loader that reports which slot it returns to. */
const reports = ({ confirmed }: BootView): boolean => confirmed !== null;

export function planTrial({ running, to, view, isTold, isSameBoot }: TrialFacts): TrialStep {
  if (running === to) return { kind: 'runs' };
  if (!isTold) return { kind: 'tell' };
  if (isSameBoot) return { kind: 'reboot' };
  // The machine was restarted and runs the former slot.
  if (reports(view) && view.next === to) return { kind: 'reboot' };
  if (reports(view) && view.spoiled.includes(to)) {
    return { kind: 'fellBack', why: `slot ${to} was spoiled meanwhile` };
  }
  return { kind: 'fellBack', why: `the boot loader came back to slot ${running}` };
}

export interface BootBackFacts extends MachineFacts {
  /** The slot whose version is undone. */
  readonly undone: SystemSlot;
  readonly back: SystemSlot;
  /** For a boot loader that does not report it: the undone version was confirmed here. */
  readonly wasConfirmed: boolean;
  /** The other slot holds the version to go back to, as far as its record says. */
  readonly hasBack: boolean;
}

export type ReturnStep =
  /** The former slot runs: confirm it first when the boot loader would not return to it. */
  | { readonly kind: 'arrived'; readonly mustConfirm: boolean }
  /** Call `spoil(undone)` or `tryNext(back)`, and then store that it was called. */
  | { readonly kind: 'tell'; readonly by: 'spoil' | 'try' }
  | { readonly kind: 'reboot' }
  /** A confirmed version stays, since the other slot does not boot. */
  | { readonly kind: 'stays'; readonly why: string }
  | { readonly kind: 'failed'; readonly why: string };

export function planReturnBoot(facts: BootBackFacts): ReturnStep {
  const { running, undone, back, view, isTold, isSameBoot } = facts;
  if (running === back) return { kind: 'arrived', mustConfirm: view.confirmed !== back };
  const isConfirmed = reports(view) ? view.confirmed === undone : facts.wasConfirmed;
  if (isConfirmed && (!facts.hasBack || (reports(view) && view.spoiled.includes(back)))) {
    return { kind: 'stays', why: `slot ${back} does not hold the version before any more` };
  }
  if (!isTold) return { kind: 'tell', by: isConfirmed ? 'try' : 'spoil' };
  if (isSameBoot) return { kind: 'reboot' };
  // The machine was restarted and still runs the slot that it has to leave.
  if (reports(view) && view.next === back) return { kind: 'reboot' };
  const why = `slot ${back} does not boot: the machine came up in slot ${undone} again`;
  return isConfirmed ? { kind: 'stays', why } : { kind: 'failed', why };
}

/**
 * True when the slot that runs is on trial and its update is not in the state, which was lost then.
 * A boot loader that reports nothing leaves the versions: it goes back to an older one.
 */
export function isUnknownTrial(
  {
    version,
    active,
    running,
    view,
  }: {
    readonly version: string;
    readonly active: string;
    readonly running: SystemSlot;
    readonly view: BootView;
  },
  { highest }: { readonly highest: string | null },
): boolean {
  if (reports(view)) return view.confirmed !== running && view.triesLeft !== null;
  const wasConfirmed = highest !== null && compareVersions(version, highest) <= 0;
  return !wasConfirmed && compareVersions(version, active) > 0;
}

/** Tries of a slot on trial. A power cut right after the boot loader chose it uses one up. */
export const TRIES = LIMITS.bootTriesDefault;
