/** The facts that `recover` works with for one root, and its report. */

import type { Problem } from '../../shared/base/errors.ts';
import type { ImageSide } from '../boot/system-image.ts';
import type { Disk } from '../install/disk-port.ts';
import type { ModuleContext } from '../update/module-strategy.ts';
import type { MachineState } from '../update/state.ts';
import type { Boots } from './recovery.ts';

export interface Recovery extends Boots {
  readonly component: string;
  readonly phase: MachineState['phase'];
  /** Actions that were done, as sentences; empty for none. */
  readonly actions: readonly string[];
  /** Actions that failed; the exit code is 3 when there is any. */
  readonly problems: readonly Problem[];
}

/** One run of a module takes at most `moduleBootMs` while a boot waits. */
export interface RecoverInput extends Pick<ModuleContext, 'modules' | 'moduleTimeoutMs' | 'facts'> {
  readonly component: string;
  readonly root: string;
  readonly disk: Disk;
  readonly hooksFolder: string;
  /** Time-out of one run of a hook in ms; default `hookTimeoutMsDefault`. */
  readonly hookTimeoutMs?: number | undefined;
  readonly bootsMax: number;
  /** False when a person runs it and nothing boots: no boot is counted. */
  readonly isBoot?: boolean;
  /** The boot loader, which components of a set with a system image follow; absent without one. */
  readonly image?: ImageSide | undefined;
  readonly adoptVersion: string;
  /** Release that a technician chose for `active`. */
  readonly release?: string | undefined;
  /** Roots of the robot. */
  readonly siblings?: readonly string[];
}
