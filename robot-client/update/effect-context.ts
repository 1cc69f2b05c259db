/** The places, ports and callbacks of a component that the effects of the machine work with. */

import type { Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import type { ImageSide } from '../boot/system-image.ts';
import type { BootMoment } from '../boot/boot-slots.ts';
import { bootMoment } from '../boot/system-side.ts';
import type { InterlockRules } from '../local/interlock.ts';
import type { Cleaned } from './clean-up.ts';
import type { Leases } from '../local/ready-lease.ts';
import type { DownloadInput, PullLink } from './download.ts';
import type { ModuleContext } from './module-strategy.ts';
import type { PlaceSeat } from './place-seat.ts';
import type { MachineState } from './state.ts';
import type { SetSeat } from './set-board.ts';
import type { SwapClaim } from './swap-claims.ts';

export interface EffectContext extends ModuleContext {
  readonly link: PullLink;
  readonly trust: TrustRoot;
  readonly hooksFolder: string;
  readonly bytesPerSecondMax: number | null;
  /** One run of a hook; `hookTimeoutMsDefault` when it is left out. */
  readonly hookTimeoutMs?: number | undefined;
  /** `ALWAYS_OPEN` when it is left out. */
  readonly interlock?: InterlockRules | undefined;
  /** The claim among the components of this robot; left out where there is one. */
  readonly claim?: SwapClaim | undefined;
  /** The components of this robot; left out where there is one. */
  readonly set?: SetSeat | undefined;
  /** The places of budgets; left out where no rollout has one. */
  readonly place?: PlaceSeat | undefined;
  /** The boot loader, which components of a set with a system image follow; left out without one. */
  readonly image?: ImageSide | undefined;
  /** The kernel's when it is left out. */
  readonly moment?: (() => BootMoment | null) | undefined;
  readonly signal: AbortSignal;
  now(): EpochMs;
  /** The machine's state as it is now. */
  state(): MachineState;
  onProgress: DownloadInput['onProgress'];
  /**
   * Asserts that no other user may change what an update of this component runs or trusts; left out
   * where that is not known. @throws DroverError PROGRAM_UNSAFE, TRUST_UNSAFE, ROOT_UNSAFE
   */
  assertOwn?(): Promise<void>;
  onCleaned?(found: Cleaned): void;
  /** Why what a module looks after is not what `active` names; null when it is. */
  onModule?(problem: Problem | null): void;
  /** True while a module is brought to what `active` names: nothing is taken meanwhile. */
  onMending?(isMending: boolean): void;
  /** Null when nothing is waited for. */
  onWaiting(reason: string | null, wakeAtMs: number | null): void;
  /** Last answer of the application on POST /ready; null when there is none. */
  readySaid(): { ready: boolean; reason: string } | null;
  /** Ready leases of the application; left out where none can be held. */
  readonly leases?: Leases | undefined;
  /** Resolves when the application confirms on the local socket. */
  readonly confirmed: Promise<void>;
}

export const momentOf = ({ moment }: Pick<EffectContext, 'moment'>): BootMoment | null =>
  (moment ?? bootMoment)();
