/**
 * Types of the parts of a broker: those that exist before an engine, and what compose.ts asks of
 * either engine. mqtt/embed.ts and attached/attach.ts create one.
 */

import type { Problem } from '../shared/base/errors.ts';
import type { Closers } from '../shared/io/closers.ts';
import type { Announcement } from '../shared/formats/announcement.ts';
import type { LiveTrust } from '../shared/formats/trust-chain.ts';
import type { AuditLog } from './audit/audit-log.ts';
import type { Certificates } from './access/certificates.ts';
import type { LiveCredentials } from './access/live-credentials.ts';
import type { StoreState } from './attached/store-state.ts';
import type { BackupSource } from './backup/write.ts';
import type { Snapshotted } from './control/durable-level.ts';
import type { ControlStore } from './control/control-store.ts';
import type { Enrolment } from './enrolment/enrolment.ts';
import type { Fleet } from './control/fleet.ts';
import type { BrokerEvents } from './events.ts';
import type { Collecting } from './garbage/collect.ts';
import type { EventCounters } from './control/event-metrics.ts';
import type { EngineGauges } from './http/metrics.ts';
import type { SessionsPort } from './http/robot-routes.ts';
import type { EnginePort } from './mqtt/engine-port.ts';
import type { Doors } from './mqtt/listeners.ts';
import type { BrokerSettings } from './settings.ts';

export interface Parts {
  readonly settings: BrokerSettings;
  readonly closers: Closers;
  /**
   * Decide, together with the certificates, who may connect; null when the broker was given none.
   */
  readonly credentials: LiveCredentials | null;
  readonly certificates: Certificates | null;
  /** Null without credentials, and where robots are known to an external engine. */
  readonly enrolment: Enrolment | null;
  readonly control: ControlStore;
  /** Records what persons and keys decide. */
  readonly audit: AuditLog;
  readonly trust: LiveTrust | null;
  readonly fleet: Fleet;
  readonly counters: EventCounters;
  readonly events: BrokerEvents;
}

/** Chunks in --data, for counts and backups; every other use goes through `garbage.chunks`. */
export type ChunkDisk = BackupSource['chunks'] & {
  readonly bytesStored: number;
  readonly chunksStored: number;
};

/**
 * An engine and the parts that only it has. It is created first and started when all of its
 * listeners exist.
 */
export interface BrokerEngine {
  readonly port: EnginePort;
  /** False when another controller may already lead on this engine. */
  readonly isAlone: boolean;
  readonly disk: ChunkDisk;
  readonly garbage: Collecting;
  /** Its databases, by their folder in --data, for a backup. */
  readonly databases: Readonly<Record<string, Snapshotted>>;
  /** Null when the external engine keeps the sessions. */
  readonly sessions: SessionsPort | null;
  readonly gauges: EngineGauges;
  /** True when it holds the chunks of a rollout; null when they are in --data anyway. */
  storeOf(rollout: string): StoreState | null;
  /** The announcement that was refused because it has expired; null when there is none. */
  expired(): Announcement | null;
  /** Rejects while the disk takes no writes; returns a problem while the engine is unreachable. */
  isHealthy(): Promise<true | Problem>;
  /** The credentials have changed: disconnects clients that they no longer allow. */
  endOutdated(): void;
  /**
   * Connects the parts to the engine; closing the broker closes them.
   * @throws DroverError BROKER_UNREACHABLE, BROKER_AUTH_REFUSED, ENGINE_TOPIC_DENIED
   */
  start(): Promise<void>;
  /** Accepts clients; called last. @throws DroverError LISTEN_FAILED */
  listen(): Promise<Doors>;
}
