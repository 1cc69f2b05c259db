/**
 * An order of the boot loader that no state explains: it would boot the other slot with an image of
 * this agent, and the update that gave the order is gone, since `machine.json` was lost or came
 * from a backup. Any later power cut would boot a version that is no longer wanted, so the order is
 * taken back before the component rests.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { RobotPhase } from '../../shared/formats/messages.ts';
import type { Disk } from '../install/disk-port.ts';
import type { Layout } from '../install/layout.ts';
import { readSlots } from '../install/read-slots.ts';
import { versionOf } from '../install/slots.ts';
import type { BootSlots, BootView, SystemSlot } from './boot-slots.ts';
import { readSlotRecord } from './slot-records.ts';

/** Phases in which an update has given no order yet, or has confirmed what runs. */
const GIVES_NO_ORDER: readonly RobotPhase[] = [
  ...(['idle', 'checking', 'downloading', 'verifying', 'staging', 'waiting'] as const),
  'probation',
];

export interface StrayOrderFacts {
  readonly phase: RobotPhase;
  readonly running: SystemSlot;
  readonly other: SystemSlot;
  readonly view: BootView;
  /** Versions that the slots hold by their records; null for one that this agent did not write. */
  readonly inRunning: string | null;
  readonly inOther: string | null;
  /** Versions that the links lead to. */
  readonly active: string | null;
  readonly rollback: string | null;
}

/**
 * - `given`: the boot loader says that it boots the other slot next
 * - `possible`: the boot loader says nothing, and the other slot holds an image that no link names
 */
export type StrayOrder = 'none' | 'given' | 'possible';

/**
 * A person may try the version before, or an image that another program wrote: neither is an order
 * of an update that was lost.
 */
export function strayOrder(facts: StrayOrderFacts): StrayOrder {
  const { phase, running, other, view, inRunning, inOther, active, rollback } = facts;
  if (!GIVES_NO_ORDER.includes(phase) || inOther === null) return 'none';
  if (inOther === active || inOther === rollback) return 'none';
  const returnsHere = view.confirmed === null || view.confirmed === running;
  if (view.next === other) return returnsHere ? 'given' : 'none';
  const saysNothing = view.confirmed === null && view.next === null;
  const isAtRest = phase === 'idle' && active !== null && inRunning === active;
  return saysNothing && isAtRest ? 'possible' : 'none';
}

/**
 * Durable when it resolves.
 * @returns what was taken back; null when no order is known to have been there
 * @throws DroverError of the boot loader or of the disk: the order may still be there
 */
export async function withdrawStrayOrder(
  slots: BootSlots,
  on: { readonly disk: Disk; readonly layout: Layout; readonly phase: RobotPhase },
): Promise<Problem | null> {
  const { disk, layout, phase } = on;
  const { running, other } = slots;
  const links = await readSlots(disk, layout);
  const [inRunning, inOther] = [
    (await readSlotRecord(disk, layout, running))?.version ?? null,
    (await readSlotRecord(disk, layout, other))?.version ?? null,
  ];
  const [active, rollback] = [versionOf(links.active), versionOf(links.rollback)];
  const view = await slots.look();
  const found = strayOrder({ phase, running, other, view, inRunning, inOther, active, rollback });
  if (found === 'none') return null;
  await slots.spoil(other);
  if (found === 'possible') return null;
  const what = `slot ${other} with ${inOther}`;
  const why = 'no update in machine.json gave that order: it was taken back';
  const message = `read the boot loader: it would have booted ${what} next, and ${why}`;
  return toProblem(new DroverError('STATE_LOST', message));
}
