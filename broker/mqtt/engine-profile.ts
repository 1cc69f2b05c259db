/**
 * Differences between engines, as data and only here: a branch on the name of an engine in any
 * other file is a mistake. Each field is here because some code needs it; each value was observed
 * on the version that docs/engines.md names. Sans-I/O.
 */

import { LIMITS } from '../../shared/base/limits.ts';

export interface EngineProfile {
  readonly name: EngineName;
  /** Its features are tested at the start; another drover-broker has them. */
  readonly isTried: boolean;
  /** QoS of a subscription to one chunk. */
  readonly pullQos: 0 | 1;
  /** QoS of the attached broker's subscriptions to what controllers and robots say. With 0 nothing
   * is lost for good: it is retained or asked again, and a lost link brings the whole picture. */
  readonly controlQos: 0 | 1;
  /** Chunks asked for at once. */
  readonly windowChunksMax: number;
  /**
   * Acknowledged messages survive a power cut; otherwise they are checked after each lost link,
   * since its cause is unknown.
   */
  readonly keepsAcknowledged: boolean;
  /**
   * The wills of a killed engine's connections are published; otherwise a robot that stays silent
   * for long counts as offline.
   */
  readonly keepsWills: boolean;
  /** A forbidden publish is not acknowledged; otherwise only a missing echo shows it. */
  readonly tellsForbidden: boolean;
  /** It retains chunks until they are cleared; otherwise it removes them by itself. */
  readonly keepsGarbage: boolean;
}

export type EngineName = (typeof ENGINE_NAMES)[number];
export const ENGINE_NAMES = ['aedes', 'mosquitto', 'nats'] as const;

const PROFILES: Readonly<Record<EngineName, EngineProfile>> = {
  /** Another drover-broker. */
  aedes: {
    name: 'aedes',
    isTried: false,
    pullQos: 1,
    controlQos: 1,
    windowChunksMax: LIMITS.windowChunksMax,
    keepsAcknowledged: true,
    keepsWills: true,
    tellsForbidden: true,
    keepsGarbage: false,
  },
  /** It writes its memory every `autosave_interval`, wills not at all, and acknowledges what its
   * access list drops. A pull with QoS 0 stalls, and what
   * else has QoS 0 is dropped under load. */
  mosquitto: {
    name: 'mosquitto',
    isTried: true,
    pullQos: 1,
    controlQos: 1,
    windowChunksMax: LIMITS.windowChunksMax,
    keepsAcknowledged: false,
    keepsWills: false,
    tellsForbidden: false,
    keepsGarbage: true,
  },
  /**
   * JetStream keeps acknowledged messages when it is killed, but it syncs them every two minutes: a
   * power cut loses them (`sync_interval: always` is newer than 2.9.10). The wills of a server that
   * was killed are gone. It refuses the 64th filter of one client with QoS 1, and acknowledges
   * messages that permissions forbid. After a restart it may acknowledge messages of QoS 1 and
   * deliver none of them to subscriptions with QoS 1; subscriptions with QoS 0 receive all
   * (2.9.10).
   */
  nats: {
    name: 'nats',
    isTried: true,
    pullQos: 0,
    controlQos: 0,
    windowChunksMax: LIMITS.windowChunksMax,
    keepsAcknowledged: false,
    keepsWills: false,
    tellsForbidden: false,
    keepsGarbage: true,
  },
};

export const engineProfile = (name: EngineName): EngineProfile => PROFILES[name];
