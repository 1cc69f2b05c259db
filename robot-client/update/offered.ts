/**
 * Puts together what an announcement is judged by: what the component runs, tried and may patch.
 * Sans-I/O.
 */

import type { Announcement } from '../../shared/formats/announcement.ts';
import type { Problem } from '../../shared/base/errors.ts';
import type { PatchProgram } from '../../shared/base/ports.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { compareVersions } from '../../shared/base/version.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import type { InterlockRules } from '../local/interlock.ts';
import { decideOffer, decideRecall } from './decide.ts';
import { patchFacts } from './delta.ts';
import { payloadOf } from './state.ts';
import { versionOf, type Slots } from '../install/slots.ts';
import { blockedOf, standing } from './blocks.ts';
import { accepts, type MachineEvent } from './machine.ts';
import { neighbourOf, unmetAtRest } from './requires-check.ts';
import { retryWaitMs } from './retry.ts';
import type { MemberViews } from './set-verdict.ts';
import type { MachineState } from './state.ts';
import type { Decision, HeardFacts, OtherFacts, RobotFacts } from './verdict.ts';

export interface Offered {
  readonly facts: Pick<RobotFacts, 'robot' | 'arch' | 'tags' | 'logPolicy' | 'compatible'>;
  readonly component: string;
  readonly trust: TrustRoot;
  /** True when it is left out. */
  readonly takesDeltas?: boolean | undefined;
  /** Null on a robot without zstd. */
  readonly patchProgram?: PatchProgram | null | undefined;
  readonly interlock?: Pick<InterlockRules, 'localTime'> | undefined;
  /** The agent's own process, where the component is the agent. */
  readonly self?: { readonly running: string | null; readonly product: string } | undefined;
  readonly state: MachineState;
  readonly slots: Slots;
  readonly views: MemberViews;
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
    highest: floorOf(on, version),
    ran: state.ran,
    patching:
      on.takesDeltas !== false
        ? patchFacts(
            state,
            { active: version, rollback: versionOf(slots.rollback) },
            Boolean(on.patchProgram),
          )
        : null,
    ...heard,
    joined: state.job?.rollout ?? null,
    localTime: on.interlock?.localTime,
    others: factsOfAll(on),
    now,
  });
}

/** The installed agent counts as one that was confirmed: an older one may not read its state. */
function floorOf({ state, self }: Offered, version: string | null): string | null {
  if (!self || version !== null || self.running !== null) return state.highest;
  const { highest } = state;
  const isHigher = highest !== null && compareVersions(highest, self.product) > 0;
  return isHigher ? highest : self.product;
}

function factsOfAll({ views, trust }: Offered): Map<string, OtherFacts | null> {
  return new Map(
    [...views].map(([name, view]) => {
      if (!view) return [name, null];
      const { state, active: version } = view;
      const { highest, ran, job } = state;
      const blocked = blockedOf(standing(state, trust));
      const payloadSha256 = payloadOf(state, version);
      const running = { ...neighbourOf(view), payloadSha256, highest, ran, blocked };
      return [name, { component: name, ...running, joined: job?.rollout ?? null }];
    }),
  );
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

/** The set of a component, as far as a recall is about it. */
interface SetFacts {
  readonly views: MemberViews;
  readonly component: string;
  /** Another component that has no release to go back to. */
  readonly hinder: string | null;
  /** Why it stays although another one went back. */
  readonly staysBehind: Problem | null;
}

/**
 * The recall of what a component runs, or of another component of its set.
 * @returns the event that undoes it, or why it stays although something is wrong; both null without
 *   a recall, when what runs has what it requires
 */
export function obeyedRecall(
  { views, component, hinder, staysBehind }: SetFacts,
  { progress, toldBy }: HeardFacts,
  now: EpochMs,
): { readonly event: MachineEvent | null; readonly stays: Problem | null } {
  const own = views.get(component);
  if (!own) return { event: null, stays: null };
  const problem = decideRecall({ ...own, progress, hinder, now }) ?? staysBehind;
  if (problem?.code !== 'ROLLOUT_RECALLED') {
    return { event: null, stays: problem ?? unmetAtRest(component, views) };
  }
  const { job, installed } = own.state;
  const by = toldBy?.get((job ?? installed)?.rollout ?? '');
  return { event: { kind: 'recalled', problem, ...(by && { by }) }, stays: null };
}
