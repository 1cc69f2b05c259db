/**
 * The door between the broker and the engine that carries its messages. Two stand behind it:
 * `engine.ts` (Aedes in this process) and `attached/engine.ts` (an engine of somebody else).
 * It names what an engine of our own gives for nothing, so that the other has to earn it:
 *
 * - What is taken is durable before the engine may forget it. Aedes sends PUBACK after `take`;
 *   the attached one sends PUBACK to the engine after it, over a session that the engine keeps.
 * - Each event is taken once. Aedes has each from its robot; the attached one may hear it again
 *   after a cut, and `hasSeen` with the event journal tells.
 * - What the engine holds is what we verified. Aedes stores nothing else; on the attached one
 *   anybody who may write can, so what it lost or was given instead is put back.
 * Sans-I/O.
 */

import type { Problem } from '../../shared/base/errors.ts';
import type { EpochMs, Sha256Hex } from '../../shared/base/ids.ts';
import type { SpokenBy } from '../control/speakers.ts';
import type { EngineName } from './engine-profile.ts';

export interface EnginePort {
  /**
   * Retained, QoS 1; resolves when the engine has acknowledged it.
   * @throws DroverError when it is not taken, BROKER_UNREACHABLE while there is no link
   */
  publishOwn(topic: string, payload: Uint8Array): Promise<void>;
  /** Robots lack these: whoever still waits for one gets it, unless nobody has it. */
  answerWant(hashes: readonly Sha256Hex[]): Promise<void>;
  readonly status: EngineStatus;
  close(): Promise<void>;
}

export interface EngineStatus {
  readonly kind: 'embedded' | 'attached';
  readonly profile: EngineName;
  /** Without credentials; null for the engine in this process. */
  readonly url: string | null;
  /** There is a link, and what it brings is what the fleet looks like now. */
  readonly isUp: boolean;
  /** Of the last change of `isUp`. */
  readonly sinceMs: EpochMs;
  /** What a person should know of; null while all is well. */
  readonly problem: Problem | null;
  /** What it was found to lack when it was tried out, in words; what is vital is refused. */
  readonly lacks: readonly string[];
}

/** The engine in this process: it is up as long as we are. */
export const EMBEDDED: EngineStatus = {
  kind: 'embedded',
  profile: 'aedes',
  url: null,
  isUp: true,
  sinceMs: 0,
  problem: null,
  lacks: [],
};

/** What somebody publishes on the engine in this process. */
export interface Incoming {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  /** Absent for our own words; null for the will of a connection that an earlier process had. */
  readonly by?: SpokenBy | null;
}

/** What an engine of somebody else brought. */
export interface HeardMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  /** It was retained before we asked: no sign that its writer lives. */
  readonly isReplay: boolean;
}
