/** Options of an agent: options.ts reads them from a command line, tests write them down. */

import type { MqttWireOptions, openMqttWire } from '../shared/io/mqtt-wire.ts';
import type { EpochMs, RobotId } from '../shared/base/ids.ts';
import type { Log, PatchProgram } from '../shared/base/ports.ts';
import type { TrustRoot } from '../shared/formats/trust.ts';
import type { LogPolicy } from '../shared/tlog/policy.ts';
import type { InterlockRules } from './local/interlock.ts';
import type { Modules } from './modules/module-folder.ts';
import type { Claims } from './install/root-claims.ts';
import type { Disk } from './install/disk-port.ts';

export interface AgentOptions {
  readonly robot: RobotId;
  readonly roots: readonly { readonly component: string; readonly root: string }[];
  /** Of the image; a newer one that was accepted is on the disk. */
  readonly trust: TrustRoot;
  readonly arch: string;
  readonly model: string;
  readonly tags: readonly string[];
  /** Names of this machine, which a bundle may ask for. */
  readonly compatible?: readonly string[] | undefined;
  /** It takes only what this policy says is logged; any release when it is left out. */
  readonly logPolicy?: LogPolicy | null | undefined;
  readonly hooksFolder: string;
  /** Programs that apply releases; none when it is left out. */
  readonly modules?: Modules | undefined;
  /** One run of a verb of a module; `moduleTimeoutMsDefault` when it is left out. */
  readonly moduleTimeoutMs?: number | undefined;
  /** One run of a hook; `hookTimeoutMsDefault` when it is left out. */
  readonly hookTimeoutMs?: number | undefined;
  readonly bytesPerSecondMax: number | null;
  /** When the robot may be taken out of service; at any time when it is left out. */
  readonly interlock?: InterlockRules | undefined;
  readonly bootsMax: number;
  readonly adoptVersion: string;
  /** An idle robot reports this often; `reportHeartbeatMs` of the limits when it is left out. */
  readonly reportHeartbeatMs?: number | undefined;
  /** Progress is reported at most this often; `reportIntervalMs` when it is left out. */
  readonly reportIntervalMs?: number | undefined;
  /** Between two looks at the health of what runs; 0 for none. */
  readonly healthWatchMs?: number | undefined;
  readonly link: Omit<MqttWireOptions, 'clientId' | 'will'>;
  /** Makes the link; one over MQTT when it is left out. */
  readonly openWire?: typeof openMqttWire | undefined;
  readonly disk: Disk;
  /** Locks of the roots; left out by who has no other agent to fear. */
  readonly claims?: Claims | undefined;
  /** Null on a robot without zstd: it takes full payloads. */
  readonly patchProgram?: PatchProgram | null | undefined;
  /** The wall clock; `Date.now` when it is left out. It may be wrong by years and jump. */
  readonly now?: (() => EpochMs) | undefined;
  readonly log: Log;
}
