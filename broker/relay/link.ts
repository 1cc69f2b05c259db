/**
 * The link of a relay to its upstream: two connections that the site opens, with one user. One
 * carries control messages and reports, the other chunks, so that megabytes do not delay a halt. A
 * site works on while either is down.
 */

import { toProblem, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { relayClientId } from '../../shared/formats/client-ids.ts';
import { MqttWire } from '../../shared/io/mqtt-wire.ts';
import {
  encodeMessage,
  type RefusedProgressFields,
  type RelayProblem,
} from '../../shared/formats/messages.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log, Wire } from '../../shared/base/ports.ts';
import { relayTopic } from '../../shared/formats/topics.ts';
import type { EngineAddress } from '../attached/link.ts';

export interface UpstreamAddress extends EngineAddress {
  readonly certFile?: string;
  readonly keyFile?: string;
}

export interface UpstreamHandlers {
  onControl(topic: string, payload: Uint8Array): Promise<void>;
  onChunk(payload: Uint8Array): Promise<void>;
  onUp(): void;
  onDown(): void;
  onChunksUp(): void;
  onChunksDown(): void;
}

const FAREWELL_MS_MAX = 2_000;

/** The retained presence message of a relay. */
export interface RelayWord {
  /** Progress that robots of this site do not get. */
  readonly refused: RefusedProgressFields;
  /** Why robots of this site do not get what is announced; null while they do. */
  readonly problem: RelayProblem | null;
}

/** Cuts texts to the length that the upstream accepts. */
const fitting = ({ code, message, hint }: RelayProblem): RelayProblem => ({
  ...{ code, message: message.slice(0, LIMITS.relayProblemCharsMax) },
  hint: hint.slice(0, LIMITS.relayProblemCharsMax),
});

export class UpstreamLink {
  readonly #control: MqttWire;
  readonly #chunks: MqttWire;
  readonly #presence: string;
  readonly #log: Log;
  #sinceMs = Date.now();
  #refusal: Problem | null = null;

  /**
   * Returns before there is a connection.
   * @param name of this relay: it stands in `via` of its robots
   */
  constructor(
    address: UpstreamAddress,
    { name, log, ...on }: UpstreamHandlers & { name: string; log: Log },
  ) {
    this.#log = log;
    const clientId = relayClientId(name, address.username);
    this.#presence = relayTopic(name);
    // When this connection ends, the upstream marks the robots of this site as gone.
    const will = { topic: this.#presence, payload: GONE, retain: true };
    this.#control = new MqttWire(
      { ...address, clientId, will, listenForRefusals: true },
      {
        onMessage: (topic, payload) => on.onControl(topic, payload),
        onUp: () => {
          this.#linkChanged();
          on.onUp();
        },
        onDown: (reason) => {
          this.#linkChanged();
          log.warn({ upstream: address.url, reason }, 'lost the upstream');
          on.onDown();
        },
      },
      log,
    );
    this.#chunks = new MqttWire(
      { ...address, clientId: `${clientId}-chunks` },
      {
        onMessage: (_topic, payload) => on.onChunk(payload),
        onUp: () => on.onChunksUp(),
        onDown: () => on.onChunksDown(),
      },
      log,
    );
  }

  get control(): Wire {
    return this.#control;
  }

  get chunks(): Wire {
    return this.#chunks;
  }

  get isUp(): boolean {
    return this.#control.isUp;
  }

  /** Of the last change of `isUp`. */
  get sinceMs(): EpochMs {
    return this.#sinceMs;
  }

  /** A problem to show to the operator; null when there is none. */
  get problem(): Problem | null {
    const { isUp, lastError } = this.#control;
    if (!isUp && lastError) return toProblem(lastError);
    return this.#refusal ?? this.chunksProblem;
  }

  get areChunksUp(): boolean {
    return this.#chunks.isUp;
  }

  /** Why chunks do not arrive although control messages do; null when they may. */
  get chunksProblem(): Problem | null {
    const { isUp, lastError } = this.#chunks;
    return isUp || !lastError ? null : toProblem(lastError);
  }

  /** Records what the upstream did not allow, or null when it allows everything again. */
  note(refusal: unknown): void {
    this.#refusal = refusal === null ? null : toProblem(refusal);
    if (this.#refusal)
      this.#log.error({ problem: this.#refusal }, 'the upstream refused the connection');
  }

  /** Publishes our presence: from now on the upstream takes the states of our robots from us. */
  async appear({ refused, problem }: RelayWord): Promise<void> {
    const payload = encodeMessage({
      online: true,
      ...(refused.length > 0 && { progress_refused: refused }),
      ...(problem && { problem: fitting(problem) }),
    });
    await this.#control.send(this.#presence, payload, { retain: true, qos: 1 });
  }

  /** Takes leave: an orderly end of the connection sends no will. */
  async close(): Promise<void> {
    if (this.#control.isUp) {
      const bye = this.#control.send(this.#presence, GONE, { retain: true, qos: 1 });
      const late = new Promise((resolve) => setTimeout(resolve, FAREWELL_MS_MAX).unref());
      // When it is not delivered, the upstream notices our silence, only later.
      await Promise.race([bye.catch(() => undefined), late]);
    }
    await Promise.all([this.#control.close(), this.#chunks.close()]);
  }

  #linkChanged(): void {
    this.#sinceMs = Date.now();
  }
}

const GONE = encodeMessage({ online: false });
