/**
 * Tells the parts of a broker what has happened. It is made before all of them, so each part can
 * listen whenever it comes. Nothing waits for a listener: what must be durable before PUBACK goes
 * through a port instead (`ReportSink` in control/intake.ts).
 */

import { EventEmitter } from 'node:events';
import type { Sha256Hex } from '../shared/base/ids.ts';
import type { RobotEvent } from '../shared/formats/messages.ts';
import type { Topic } from '../shared/formats/topics.ts';

interface BrokerEventMap {
  /** A chunk was published here, verified and stored. */
  chunkStored: [hash: Sha256Hex];
  /** Robots lack these chunks. */
  wanted: [hashes: readonly Sha256Hex[]];
  /** A retained control message was taken; on an engine of somebody else it may not be verified. */
  control: [topic: Topic, payload: Uint8Array];
  /** Another announcement is stored, verified where there is a trust root. */
  announced: [];
  /** An event of a robot, heard for the first time. */
  robotEvent: [event: RobotEvent];
}

export class BrokerEvents extends EventEmitter<BrokerEventMap> {}
