/**
 * A publisher's connection to a broker: the wire, the listeners of one command, and waiting until a
 * lost link is back. It does not decide what is sent.
 */

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { assertBrokerUrl } from '../../shared/base/broker-urls.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { PUBLISHER_CLIENT_PREFIX } from '../../shared/formats/client-ids.ts';
import type { MqttWire } from '../../shared/io/mqtt-wire.ts';
import { waitUp } from '../../shared/io/wait-up.ts';
import type { Log, Wire } from '../../shared/base/ports.ts';

export interface BrokerLinkOptions {
  readonly url: string;
  readonly username?: string;
  readonly password?: string;
  readonly caFile?: string;
  readonly chunkQos?: 0 | 1;
}

export interface BrokerLinkListener {
  /** `payload` is only valid until the call returns or its promise settles. */
  onMessage?(topic: string, payload: Uint8Array): void | Promise<void>;
  onUp?(): void;
  onDown?(): void;
}

export class BrokerLink {
  readonly #listeners: Set<BrokerLinkListener>;
  readonly #wire: MqttWire;

  private constructor(wire: MqttWire, listeners: Set<BrokerLinkListener>) {
    this.#wire = wire;
    this.#listeners = listeners;
  }

  /** @throws DroverError USAGE, FILE_UNREADABLE, BROKER_UNREACHABLE, BROKER_AUTH_REFUSED */
  static async open(options: BrokerLinkOptions, log: Log): Promise<BrokerLink> {
    assertBrokerUrl(options.url);
    const { caFile } = options;
    if (caFile !== undefined && !existsSync(caFile)) {
      throw new DroverError('FILE_UNREADABLE', `read CA ${caFile}: there is no such file`);
    }
    const listeners = new Set<BrokerLinkListener>();
    const clientId = `${PUBLISHER_CLIENT_PREFIX}${randomBytes(6).toString('hex')}`;
    // Loaded here: it would take a third of the start time of `drover build`, for nothing.
    const { connectWire } = await import('../../shared/io/mqtt-wire.ts');
    const wire = await connectWire(
      { ...options, clientId, listenForRefusals: true },
      {
        onMessage: async (topic, payload) => {
          for (const listener of [...listeners]) await listener.onMessage?.(topic, payload);
        },
        onUp: () => [...listeners].forEach((listener) => listener.onUp?.()),
        onDown: () => [...listeners].forEach((listener) => listener.onDown?.()),
      },
      log,
    );
    return new BrokerLink(wire, listeners);
  }

  get wire(): Wire {
    return this.#wire;
  }

  /** @returns a function that removes the listener */
  listen(listener: BrokerLinkListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Resolves at once when the link is up, else when it comes back.
   * @throws DroverError BROKER_UNREACHABLE after `connectWaitMs`, BROKER_AUTH_REFUSED
   */
  async waitUp(): Promise<void> {
    const why = 'reach broker: the link did not come back';
    const none = (): DroverError => new DroverError('BROKER_UNREACHABLE', why);
    await waitUp(this, () => this.#wire.lastError ?? none());
  }

  async close(): Promise<void> {
    await this.#wire.close();
  }
}
