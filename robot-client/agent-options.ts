/**
 * Options of an agent, which options.ts reads from a command line and tests write directly, and the
 * part of them that each component gets.
 */

import type { MqttWireOptions, openMqttWire } from '../shared/io/mqtt-wire.ts';
import type { EpochMs, RobotId } from '../shared/base/ids.ts';
import type { Log, PatchProgram } from '../shared/base/ports.ts';
import type { TrustRoot } from '../shared/formats/trust.ts';
import type { LogPolicy } from '../shared/tlog/policy.ts';
import type { OwnerWatchOptions } from './fleet/owner-watch.ts';
import type { OwnCertificate } from './enrolment/renewal-plan.ts';
import type { InterlockRules } from './local/interlock.ts';
import type { SystemSide } from './boot/system-side.ts';
import type { LogRules } from './logs/log-desk.ts';
import type { Modules } from './modules/module-folder.ts';
import type { Computers } from './members/computers.ts';
import type { Claims } from './install/root-claims.ts';
import type { Disk } from './install/disk-port.ts';
import type { SelfSide } from './self/self-side.ts';
import type { ComponentOptions } from './component-options.ts';
import { layoutOf } from './install/layout.ts';
import { AGENT_COMPONENT } from '../shared/rules/agent-bundle.ts';

export interface AgentOptions {
  readonly robot: RobotId;
  readonly roots: readonly { readonly component: string; readonly root: string }[];
  /** The root of the image; a newer accepted one is on the disk. */
  readonly trust: TrustRoot;
  readonly arch: string;
  readonly model: string;
  readonly tags: readonly string[];
  /** Names of this machine, which a bundle may ask for. */
  readonly compatible?: readonly string[] | undefined;
  /** The agent takes only bundles that this policy accepts as logged; without it, any. */
  readonly logPolicy?: LogPolicy | null | undefined;
  readonly hooksFolder: string;
  /** File of `trust`, and the programs beside the hooks: who may change them is watched. */
  readonly trustFile?: string | undefined;
  readonly programs?: OwnerWatchOptions['programs'];
  readonly secretFiles?: OwnerWatchOptions['secretFiles'];
  readonly searchPath?: OwnerWatchOptions['searchPath'];
  /** Programs that apply releases; none when it is left out. */
  readonly modules?: Modules | undefined;
  /** Time-out of one run of a verb of a module in ms; default `moduleTimeoutMsDefault`. */
  readonly moduleTimeoutMs?: number | undefined;
  /** The system slots of the machine, and the component whose bundles are images for them. */
  readonly system?: { readonly component: string; readonly side: SystemSide } | undefined;
  /** This process, where `drover-agent` is one of the components. */
  readonly self?: SelfSide | undefined;
  /** Time-out of one run of a hook in ms; default `hookTimeoutMsDefault`. */
  readonly hookTimeoutMs?: number | undefined;
  readonly bytesPerSecondMax: number | null;
  /** When the robot may be taken out of service; by default at any time. */
  readonly interlock?: InterlockRules | undefined;
  readonly bootsMax: number;
  readonly adoptVersion: string;
  /** Interval of an idle robot's reports in ms; default `reportHeartbeatMs` of the limits. */
  readonly reportHeartbeatMs?: number | undefined;
  /** Orders are asked for again about this often; `ordersLookMs` when it is left out. */
  readonly ordersLookMs?: number | undefined;
  /** Progress is reported at most this often; `reportIntervalMs` when it is left out. */
  readonly reportIntervalMs?: number | undefined;
  /** Interval of the health checks of a confirmed version in ms; 0 for none. */
  readonly healthWatchMs?: number | undefined;
  readonly link: Omit<MqttWireOptions, 'clientId' | 'will'>;
  /** How long the certificate of the link is good; null or absent without one. */
  readonly certificate?: (() => OwnCertificate | null) | undefined;
  /** Opens the link; by default over MQTT. */
  readonly openWire?: typeof openMqttWire | undefined;
  /** The other computers of the robot; left out on a robot of one. */
  readonly computers?: Computers | undefined;
  readonly disk: Disk;
  /** Locks of the roots; absent where no other agent can run. */
  readonly claims?: Claims | undefined;
  /** False for a robot that takes full payloads only; default true. */
  readonly takesDeltas?: boolean | undefined;
  /** Null on a robot without zstd: it takes the deltas that need none. */
  readonly patchProgram?: PatchProgram | null | undefined;
  /** The wall clock; default `Date.now`. It may be wrong by years and jump. */
  readonly now?: (() => EpochMs) | undefined;
  /** Size of the logs of failed updates, and who gets them; `LOG_RULES` when it is left out. */
  readonly logs?: LogRules | undefined;
  readonly log: Log;
}

/** The settings of one component that are those of the agent, and do not change while it runs. */
export function settingsOf(
  options: AgentOptions,
  { component, root }: AgentOptions['roots'][number],
): Pick<
  ComponentOptions,
  | 'component'
  | 'layout'
  | 'disk'
  | 'claims'
  | 'takesDeltas'
  | 'patchProgram'
  | 'facts'
  | 'hooksFolder'
  | 'hookTimeoutMs'
  | 'modules'
  | 'moduleTimeoutMs'
  | 'bytesPerSecondMax'
  | 'system'
  | 'self'
  | 'interlock'
  | 'bootsMax'
  | 'adoptVersion'
> {
  const { disk, claims, takesDeltas, patchProgram, bytesPerSecondMax, interlock } = options;
  const { hooksFolder, hookTimeoutMs, modules, moduleTimeoutMs, system, self } = options;
  const { robot, arch, tags, logPolicy = null, compatible = [], bootsMax, adoptVersion } = options;
  const siblings = options.roots.map((one) => one.root);
  return {
    ...{ component, layout: layoutOf(root, siblings), disk, claims, takesDeltas, patchProgram },
    ...{ hooksFolder, hookTimeoutMs, modules, moduleTimeoutMs, bytesPerSecondMax, interlock },
    system: system?.component === component ? system.side : undefined,
    self: component === AGENT_COMPONENT ? self : undefined,
    ...{ bootsMax, adoptVersion, facts: { robot, arch, tags, logPolicy, compatible } },
  };
}
