/**
 * Names the parts of a broker: those that are there before an engine, and what the composition root
 * (compose.ts) asks of either engine. mqtt/embed.ts and attached/attach.ts make one.
 */

import type { Problem } from '../shared/base/errors.ts';
import type { Closers } from '../shared/io/closers.ts';
import type { Announcement } from '../shared/formats/announcement.ts';
import type { LiveTrust } from '../shared/formats/trust-chain.ts';
import type { Certificates } from './access/certificates.ts';
import type { LiveCredentials } from './access/live-credentials.ts';
import type { StoreState } from './attached/store-state.ts';
import type { BackupSource, Snapshotted } from './backup/write.ts';
import type { ControlStore } from './control/control-store.ts';
import type { Fleet } from './control/fleet.ts';
import type { BrokerEvents } from './events.ts';
import type { Collecting } from './garbage/collect.ts';
import type { EventCounters } from './control/event-metrics.ts';
import type { EngineGauges } from './http/metrics.ts';
import type { SessionsPort } from './http/session-routes.ts';
import type { EnginePort } from './mqtt/engine-port.ts';
import type { Doors } from './mqtt/listeners.ts';
import type { BrokerSettings } from './settings.ts';

export interface Parts {
  readonly settings: BrokerSettings;
  readonly closers: Closers;
  /** With the certificates they decide who may connect; null: the broker was given none. */
  readonly credentials: LiveCredentials | null;
  readonly certificates: Certificates | null;
  readonly control: ControlStore;
  readonly trust: LiveTrust | null;
  readonly fleet: Fleet;
  readonly counters: EventCounters;
  readonly events: BrokerEvents;
}

/** Chunks in --data, to be counted and backed up; others use them through `garbage.chunks`. */
export type ChunkDisk = BackupSource['chunks'] & {
  readonly bytesStored: number;
  readonly chunksStored: number;
};

/** An engine and what only it has. It is made first, and started when all that hears of it is there. */
export interface BrokerEngine {
  readonly port: EnginePort;
  /** False when another controller may lead on it already. */
  readonly isAlone: boolean;
  readonly disk: ChunkDisk;
  readonly garbage: Collecting;
  /** Its databases by their folder in --data, for a backup. */
  readonly databases: Readonly<Record<string, Snapshotted>>;
  /** Null: the engine of somebody else keeps them. */
  readonly sessions: SessionsPort | null;
  readonly gauges: EngineGauges;
  /** Whether it holds the chunks of a rollout; null where they are in --data anyway. */
  storeOf(rollout: string): StoreState | null;
  /** The announcement that was not taken over because it has expired; null when there is none. */
  expired(): Announcement | null;
  /** Rejects while its disk takes nothing; says what is wrong while there is no link to it. */
  isHealthy(): Promise<true | Problem>;
  /** Other credentials are in force: who could not come in with them goes. */
  endOutdated(): void;
  /**
   * Connects the parts to it; closes them again with the broker.
   * @throws DroverError BROKER_UNREACHABLE, BROKER_AUTH_REFUSED, ENGINE_TOPIC_DENIED
   */
  start(): Promise<void>;
  /** Lets clients in, last of all. @throws DroverError LISTEN_FAILED */
  listen(): Promise<Doors>;
}
