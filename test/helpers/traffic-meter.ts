/**
 * Counts the bytes of one MQTT link by purpose. It parses the packets, so that it can tell
 * keep-alive, reports and the rest apart, and adds an acknowledgement to the message that it
 * acknowledges.
 */

import { parser, type Packet } from 'mqtt-packet';
import { LIMITS } from '../../shared/base/limits.ts';
import { parseTopic } from '../../shared/formats/topics.ts';

export type Purpose = 'keepalive' | 'reports' | 'rest';
export interface Traffic {
  readonly packets: number;
  readonly bytes: number;
}

const NONE: Traffic = { packets: 0, bytes: 0 };
const isReport = (topic: string): boolean => {
  const parsed = parseTopic(topic);
  return parsed?.kind === 'robot' && parsed.leaf === 'state';
};

/** Type and flags, the length of the length (7 bits a byte, MQTT 3.1.1 §2.2.3), and the rest. */
export function packetBytes(remaining: number): number {
  let lengthBytes = 1;
  for (let left = remaining >> 7; left > 0; left >>= 7) lengthBytes += 1;
  return 1 + lengthBytes + remaining;
}

export class TrafficMeter {
  readonly #parsers = { up: parser(), down: parser() };
  readonly #purposes = new Map<number, Purpose>();
  #seen: Readonly<Record<Purpose, Traffic>> = { keepalive: NONE, reports: NONE, rest: NONE };
  #segments = 0;

  constructor() {
    for (const one of Object.values(this.#parsers)) {
      one.on('packet', (packet) => this.#count(packet));
    }
  }

  /** For the `tap` of a proxy. */
  readonly feed = (way: 'up' | 'down', bytes: Uint8Array): void => {
    this.#segments += 1;
    this.#parsers[way].parse(Buffer.from(bytes));
  };

  get seen(): Readonly<Record<Purpose, Traffic>> {
    return this.#seen;
  }

  /** Pieces in which the bytes came: a lower bound of TCP segments that carried any. */
  get segments(): number {
    return this.#segments;
  }

  #count(packet: Packet): void {
    const purpose = this.#purposeOf(packet);
    const { packets, bytes } = this.#seen[purpose];
    const more = packetBytes(packet.length ?? 0);
    this.#seen = { ...this.#seen, [purpose]: { packets: packets + 1, bytes: bytes + more } };
  }

  #purposeOf(packet: Packet): Purpose {
    if (packet.cmd === 'pingreq' || packet.cmd === 'pingresp') return 'keepalive';
    if (packet.cmd === 'publish') {
      const purpose = isReport(packet.topic) ? 'reports' : 'rest';
      if (packet.messageId !== undefined) this.#remember(packet.messageId, purpose);
      return purpose;
    }
    const acknowledged = packet.cmd === 'puback' ? this.#purposes.get(packet.messageId ?? 0) : null;
    return acknowledged ?? 'rest';
  }

  #remember(messageId: number, purpose: Purpose): void {
    if (this.#purposes.size >= LIMITS.deliverySlots) this.#purposes.clear();
    this.#purposes.set(messageId, purpose);
  }
}
