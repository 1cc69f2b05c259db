/**
 * Puts together what an announcement is judged by: what the component runs, tried and may patch.
 * Sans-I/O.
 */

import type { Announcement } from '../../shared/formats/announcement.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { decideOffer, type Decision, type HeardFacts, type RobotFacts } from './decide.ts';
import { patchFacts } from './delta.ts';
import { payloadOf } from './state.ts';
import { versionOf, type Slots } from '../install/slots.ts';
import { blockedOf, standing } from './blocks.ts';
import { accepts, type MachineEvent } from './machine.ts';
import { retryWaitMs } from './retry.ts';
import type { MachineState } from './state.ts';

export interface Offered {
  readonly facts: Pick<RobotFacts, 'robot' | 'arch' | 'tags' | 'logPolicy' | 'compatible'>;
  readonly component: string;
  readonly trust: TrustRoot;
  readonly takesDeltas: boolean;
  readonly hasZstd: boolean;
  readonly state: MachineState;
  readonly slots: Slots;
  readonly heard: HeardFacts;
  readonly now: EpochMs;
}

/** Judges the announcement for this component. */
export function decideOffered(announcement: Announcement, on: Offered): Decision {
  const { state, slots, heard, component, trust, now } = on;
  const version = versionOf(slots.active);
  return decideOffer(announcement, {
    ...on.facts,
    component,
    trust,
    version,
    payloadSha256: payloadOf(state, version),
    blocked: blockedOf(standing(state, trust)),
    highest: state.highest,
    ran: state.ran,
    patching: on.takesDeltas
      ? patchFacts(state, { active: version, rollback: versionOf(slots.rollback) }, on.hasZstd)
      : null,
    ...heard,
    joined: state.job?.rollout ?? null,
    now,
  });
}

/** The event that a decision is in a phase; a bundle that failed a moment ago has to wait. */
export function moveOf(
  { verdict, rollout }: Decision,
  { phase, job, retry }: MachineState,
  now: EpochMs,
): { readonly event: MachineEvent | null; readonly waitMs: number } {
  if (verdict.kind !== 'take') {
    const isHeld = verdict.kind === 'wait' && rollout === job?.rollout;
    const event = accepts(phase, 'withdrawn')
      ? ({ kind: isHeld ? 'held' : 'withdrawn' } as const)
      : null;
    return { event, waitMs: 0 };
  }
  const waitMs = retryWaitMs(retry, verdict.job.payloadSha256, now);
  const isNew = phase === 'idle' || phase === 'stuck';
  if (!isNew && job?.rollout === verdict.job.rollout) return { event: null, waitMs };
  return { event: { kind: isNew ? 'offered' : 'superseded', job: verdict.job }, waitMs };
}
