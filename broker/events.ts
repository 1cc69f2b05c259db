/**
 * Events by which the parts of a broker tell each other what happened. They are created before all
 * parts, so each part can listen whenever it is created. Nothing waits for a listener: what must be
 * durable before PUBACK goes through a port instead (`ReportSink` in control/intake.ts).
 */

import { EventEmitter } from 'node:events';
import type { RobotId, Sha256Hex } from '../shared/base/ids.ts';
import type { RobotEvent } from '../shared/formats/messages.ts';
import type { Topic } from '../shared/formats/topics.ts';

interface BrokerEventMap {
  /** A chunk was published on this broker, verified and stored. */
  chunkStored: [hash: Sha256Hex];
  /** Robots published a want for these chunks. */
  wanted: [hashes: readonly Sha256Hex[]];
  /** A retained control message was stored; on an external engine it may not be verified. */
  control: [topic: Topic, payload: Uint8Array];
  /** The announcement has changed; it is verified where there is a trust root. */
  announced: [];
  /** A part of the log of a failed update; not checked. The bytes are a view. */
  failureLog: [robot: RobotId, message: Uint8Array];
  /** An event of a robot, received for the first time. */
  robotEvent: [event: RobotEvent];
}

export class BrokerEvents extends EventEmitter<BrokerEventMap> {}
