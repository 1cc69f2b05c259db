/**
 * The way up from a site: two connections to the broker above, both made from here, as one user.
 * Control and reports go over the one, chunks over the other, so that megabytes do not stand in
 * front of a halt. Neither needs the other side to be there: a site works on without it.
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

/** What a relay says of itself. */
export interface RelayWord {
  /** Progress that robots here do not get from us. */
  readonly refused: RefusedProgressFields;
  /** Why they do not get what is announced; null while nothing is wrong. */
  readonly problem: RelayProblem | null;
}

/** A longer message would not be understood above. */
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
   * Comes back before there is a link.
   * @param name of this relay: what robots are known by as `via`
   */
  constructor(
    address: UpstreamAddress,
    { name, log, ...on }: UpstreamHandlers & { name: string; log: Log },
  ) {
    this.#log = log;
    const clientId = relayClientId(name, address.username);
    this.#presence = relayTopic(name);
    // With the link it is gone who speaks for the robots here.
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

  /** What a person should know of; null while all is well. */
  get problem(): Problem | null {
    const { isUp, lastError } = this.#control;
    if (!isUp && lastError) return toProblem(lastError);
    return this.#refusal ?? this.chunksProblem;
  }

  get areChunksUp(): boolean {
    return this.#chunks.isUp;
  }

  /** Why no chunks come although orders do; null while they may. */
  get chunksProblem(): Problem | null {
    const { isUp, lastError } = this.#chunks;
    return isUp || !lastError ? null : toProblem(lastError);
  }

  /** Something that was asked of the upstream and that it does not allow; null when it does. */
  note(refusal: unknown): void {
    this.#refusal = refusal === null ? null : toProblem(refusal);
    if (this.#refusal)
      this.#log.error({ problem: this.#refusal }, 'the upstream refused the connection');
  }

  /** From now on what is known of robots here is what they say. */
  async appear({ refused, problem }: RelayWord): Promise<void> {
    const payload = encodeMessage({
      online: true,
      ...(refused.length > 0 && { progress_refused: refused }),
      ...(problem && { problem: fitting(problem) }),
    });
    await this.#control.send(this.#presence, payload, { retain: true, qos: 1 });
  }

  /** Says goodbye: with an orderly end there is no will. */
  async close(): Promise<void> {
    if (this.#control.isUp) {
      const bye = this.#control.send(this.#presence, GONE, { retain: true, qos: 1 });
      const late = new Promise((resolve) => setTimeout(resolve, FAREWELL_MS_MAX).unref());
      // Unheard: our silence says it as well, only later.
      await Promise.race([bye.catch(() => undefined), late]);
    }
    await Promise.all([this.#control.close(), this.#chunks.close()]);
  }

  #linkChanged(): void {
    this.#sinceMs = Date.now();
  }
}

const GONE = encodeMessage({ online: false });
