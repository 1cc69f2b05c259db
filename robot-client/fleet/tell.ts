/**
 * Reports one step of a component to the fleet, as an event that waits in the outbox until it is
 * sent, and builds the view of a component.
 */

import { formatBytes } from '../../shared/base/byte-sizes.ts';
import { toProblem, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { isTrustExpired, trustProblem } from '../../shared/rules/trust-life.ts';
import type { ComponentOptions } from '../component-options.ts';
import { reportTransition, type ComponentView, type Held } from './report.ts';
import type { SlotWatch } from '../update/slot-watch.ts';
import { standing } from '../update/blocks.ts';
import type { Job, MachineState } from '../update/state.ts';

export interface Told {
  readonly event: string;
  readonly before: MachineState;
  readonly after: MachineState;
  /** The version of the event; null for none. */
  readonly version: string | null;
  readonly problem: Problem | null;
}

export async function tellTransition(
  { facts, component, now, tell }: Pick<ComponentOptions, 'facts' | 'component' | 'now' | 'tell'>,
  told: Told,
): Promise<void> {
  const from = told.before.phase;
  await tell(reportTransition({ robot: facts.robot, component, from, ...told, now: now() }));
}

/** One line for each step, with the problem of its event. */
export function logTransition(
  { log, component }: Pick<ComponentOptions, 'log' | 'component'>,
  { event, before, after, problem }: Omit<Told, 'version'>,
): void {
  const { phase: to, job } = after;
  const facts = {
    ...{ component, from: before.phase, to, event },
    ...(problem && { problem }),
    ...(event === 'fits' && job && { comes: howItComes(job) }),
  };
  // Each start of the agent looks like the return of the power to the machine.
  const started = event === 'power_returned' ? 'started, ' : '';
  log.info(facts, `${component}: ${started}${to}${job ? ` ${job.version}` : ''}`);
}

const howItComes = ({ delta, payloadBytes }: Job): string =>
  delta === null
    ? `in full, ${formatBytes(payloadBytes)}`
    : `as a delta from ${delta.fromVersion}, ${formatBytes(delta.bytes)} in place of ${formatBytes(payloadBytes)}`;

/** In each report while it lasts: a robot that takes nothing is not healthy. */
export function expiredTrust(trust: TrustRoot, now: EpochMs): Held | null {
  const problem = isTrustExpired(trust, now) ? trustProblem(trust, now) : null;
  return problem && { problem: toProblem(problem), atMs: trust.expires };
}

interface Parts extends Pick<
  ComponentView,
  'state' | 'live' | 'held' | 'leases' | 'unkept' | 'closed' | 'placeAskedAtMs' | 'clock'
> {
  readonly slots: SlotWatch;
}

export function viewOf(
  on: Pick<ComponentOptions, 'component' | 'trust' | 'now' | 'updateLog'>,
  { slots, state, ...parts }: Parts,
): ComponentView {
  return {
    name: on.component,
    version: slots.active,
    previousVersion: slots.rollback,
    slots: slots.slots,
    slotsSinceMs: slots.sinceMs,
    module: slots.module,
    left: slots.left,
    damage: slots.damage,
    state: standing(state, on.trust),
    ...parts,
    expired: expiredTrust(on.trust, on.now()),
    failureLog: on.updateLog?.told ?? null,
  };
}
