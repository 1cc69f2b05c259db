/**
 * One connection to an external engine: the wire, its listeners, and waiting until a lost link is
 * back. Its errors have hints for the operator of the engine.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { CATALOGUE, type ErrorCode } from '../../shared/base/error-catalogue.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { connectWire, type MqttWire, type MqttWireOptions } from '../../shared/io/mqtt-wire.ts';
import { waitUp } from '../../shared/io/wait-up.ts';
import type { Log, Wire, WireHandlers } from '../../shared/base/ports.ts';

export type LinkListener = Partial<WireHandlers>;

/** Address of the engine and our login there. No message of ours contains the password. */
export interface EngineAddress {
  /** Without credentials. */
  readonly url: string;
  readonly username?: string;
  readonly password?: string;
  readonly caFile?: string;
}

export class EngineLink {
  readonly #wire: MqttWire;
  readonly #listeners: Set<LinkListener>;

  private constructor(wire: MqttWire, listeners: Set<LinkListener>) {
    this.#wire = wire;
    this.#listeners = listeners;
  }

  /**
   * Resolves when the link is up.
   * @param listener gets everything from the first byte on: messages of a kept session come at once
   * @throws DroverError BROKER_UNREACHABLE, BROKER_AUTH_REFUSED
   */
  static async open(
    options: MqttWireOptions,
    listener: LinkListener,
    log: Log,
  ): Promise<EngineLink> {
    const listeners = new Set<LinkListener>([listener]);
    const handlers: WireHandlers = {
      onMessage: async (topic, payload, isRetained) => {
        for (const one of [...listeners]) await one.onMessage?.(topic, payload, isRetained);
      },
      onUp: () => [...listeners].forEach((one) => one.onUp?.()),
      onDown: (reason) => [...listeners].forEach((one) => one.onDown?.(reason)),
    };
    try {
      return new EngineLink(await connectWire(options, handlers, log), listeners);
    } catch (error) {
      throw inWordsOfEngines(error);
    }
  }

  get wire(): Wire {
    return this.#wire;
  }

  /** The reason why there is no link; null when there is one. */
  get failure(): DroverError | null {
    const { isUp, lastError } = this.#wire;
    return isUp || !lastError ? null : inWordsOfEngines(lastError);
  }

  /** Ends this connection and makes another one. */
  renew(why: string): void {
    this.#wire.renew(new DroverError('BROKER_UNREACHABLE', `reach broker: ${why}`));
  }

  /** @returns a function that removes the listener */
  listen(listener: LinkListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** @throws DroverError BROKER_UNREACHABLE after `connectWaitMs`, BROKER_AUTH_REFUSED */
  async waitUp(): Promise<void> {
    const none = (): DroverError => new DroverError('BROKER_UNREACHABLE', 'reach engine: no link');
    await waitUp(this, () => this.failure ?? none());
  }

  async close(): Promise<void> {
    await this.#wire.close();
  }
}

/**
 * Waits for messages that answer a subscription: MQTT 3.1.1 does not say when all have arrived.
 * @param answerMs longest wait
 * @returns false when it did not hold in that time
 */
export async function untilAnswered(
  holds: () => boolean,
  answerMs: number = LIMITS.trialAnswerMs,
): Promise<boolean> {
  const endMs = performance.now() + answerMs;
  while (!holds() && performance.now() < endMs) await sleep(LIMITS.trialLookMs);
  return holds();
}

const HINTS: ReadonlyMap<ErrorCode, string> = new Map([
  ['BROKER_UNREACHABLE', 'check --engine, the network and that the engine runs'],
  [
    'BROKER_AUTH_REFUSED',
    'check the user in --engine and its password: --engine-password-file or DROVER_ENGINE_PASSWORD',
  ],
]);

/**
 * Returns the same failure with a hint for an external engine; a refused topic gets its own code. A
 * hint that fits this failure alone, as one about its certificate, stays.
 */
export function inWordsOfEngines(thrown: unknown): DroverError {
  if (!(thrown instanceof DroverError)) throw thrown;
  const { code, message, hint: own } = thrown;
  const isOwn = own !== CATALOGUE[code].hint;
  if (code === 'ACCESS_DENIED') {
    const kept = isOwn ? { hint: own } : {};
    return new DroverError('ENGINE_TOPIC_DENIED', message, { cause: thrown, ...kept });
  }
  const hint = isOwn ? undefined : HINTS.get(code);
  return hint === undefined ? thrown : new DroverError(code, message, { cause: thrown, hint });
}
