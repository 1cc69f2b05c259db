/**
 * The port between the broker and the engine that carries its messages. It has two implementations:
 * `engine.ts` (Aedes in this process) and `attached/engine.ts` (an external engine). Both must hold
 * what our own engine gives for free:
 *
 * - A message is durable before the engine may forget it. Aedes sends PUBACK after `take`; the
 *   attached one sends PUBACK to the engine after it, over a session that the engine keeps.
 * - Each event is taken once. Aedes gets each from its robot; the attached one may get it again
 *   after a lost connection, and `hasSeen` with the event journal recognises it.
 * - The engine holds what we verified. Aedes stores nothing else; on an external engine anybody
 *   with the right to write can change it, so what was lost or replaced is published again.
 *   Sans-I/O.
 */

import { instantText } from '../../shared/base/durations.ts';
import type { Problem } from '../../shared/base/errors.ts';
import type { EpochMs, Sha256Hex } from '../../shared/base/ids.ts';
import type { EngineName } from './engine-profile.ts';

export interface EnginePort {
  /**
   * Publishes with QoS 1, retained unless its topic never is;
   * resolves when the engine has acknowledged it.
   * @throws DroverError when it is refused, BROKER_UNREACHABLE while there is no connection
   */
  publishOwn(topic: string, payload: Uint8Array): Promise<void>;
  /** Robots want these chunks: every robot that still waits for one gets it, if it exists. */
  answerWant(hashes: readonly Sha256Hex[]): Promise<void>;
  readonly status: EngineStatus;
  close(): Promise<void>;
}

export interface EngineStatus {
  readonly kind: 'embedded' | 'attached';
  readonly profile: EngineName;
  /** Without credentials; null for the engine in this process. */
  readonly url: string | null;
  /** True when connected and the retained messages were read. */
  readonly isUp: boolean;
  /** Of the last change of `isUp`. */
  readonly sinceMs: EpochMs;
  /** A problem to show to the operator; null when there is none. */
  readonly problem: Problem | null;
  /**
   * Features that the trial found missing, as sentences; an engine without a vital one is refused.
   */
  readonly lacks: readonly string[];
}

/** Status of the engine in this process: it is up as long as the process runs. */
export const EMBEDDED: EngineStatus = {
  kind: 'embedded',
  profile: 'aedes',
  url: null,
  isUp: true,
  sinceMs: 0,
  problem: null,
  lacks: [],
};

/** The status in the API: names with underscores, times as text. */
export interface EngineView {
  readonly kind: EngineStatus['kind'];
  readonly profile: string;
  readonly url: string | null;
  readonly up: boolean;
  readonly since: string;
  readonly problem: Problem | null;
  readonly lacks: readonly string[];
}

export function showEngine(status: EngineStatus): EngineView {
  const { isUp, sinceMs, ...shown } = status;
  return { ...shown, up: isUp, since: instantText(sinceMs) };
}

/** A message from an external engine. */
export interface HeardMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  /** It was retained before we subscribed: it does not prove that its writer is alive. */
  readonly isReplay: boolean;
}
