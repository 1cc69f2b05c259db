/**
 * The settings and callbacks of one component: the agent fills them in, tests write them directly.
 */

import type { EpochMs } from '../shared/base/ids.ts';
import type { RobotEventFields } from '../shared/formats/messages.ts';
import type { Log } from '../shared/base/ports.ts';
import type { Decision, RobotFacts } from './update/verdict.ts';
import type { Claims } from './install/root-claims.ts';
import type { EffectContext } from './update/effect-context.ts';
import type { FailureLogTold } from './fleet/report.ts';
import type { UpdateStep } from './logs/keep-rule.ts';
import type { SetBoard } from './update/set-board.ts';

/** The log of a component's updates, which is kept when one fails. */
export interface UpdateReporter {
  /** The last log that is kept and handed over; null when there is none. */
  readonly told: FailureLogTold | null;
  /** Resolves when a log that the step calls for is on the disk. Never rejects. */
  follow(step: UpdateStep): Promise<void>;
}

export interface ComponentOptions extends Pick<
  EffectContext,
  | 'component'
  | 'layout'
  | 'disk'
  | 'link'
  | 'trust'
  | 'patchProgram'
  | 'hooksFolder'
  | 'hookTimeoutMs'
  | 'healthIntervalMs'
  | 'bytesPerSecondMax'
  | 'interlock'
  | 'claim'
  | 'modules'
  | 'moduleTimeoutMs'
  | 'system'
  | 'moment'
  | 'image'
  | 'self'
  | 'onOutput'
  | 'assertOwn'
> {
  /** Default true. */
  readonly takesDeltas?: boolean | undefined;
  readonly facts: Pick<RobotFacts, 'robot' | 'arch' | 'tags' | 'logPolicy' | 'compatible'>;
  /** The components of this robot; left out where there is one. */
  readonly sets?: SetBoard | undefined;
  readonly bootsMax: number;
  readonly adoptVersion: string;
  /** Lock of the root; absent where no other agent can run. */
  readonly claims?: Claims | undefined;
  readonly log: Log;
  /** Left out where no log of an update is kept. */
  readonly updateLog?: UpdateReporter | undefined;
  /** Time in ms that `close` waits for a running effect; default `closeWaitMs`. */
  readonly closeWaitMs?: number | undefined;
  /** The wall clock; it may be wrong by years and jump. */
  now(): EpochMs;
  /** A fact in the report has changed; `urgent` for transitions. */
  onChange(urgent: boolean): void;
  tell(event: Omit<RobotEventFields, 'event_seq'>): Promise<void>;
  wantPackage(wanted: NonNullable<Decision['wantedPackage']>, version: string | null): void;
  /** The component is idle again: call `consider` with the current announcement. */
  onIdle(): void;
}
