/**
 * Watches the raw bytes of an MQTT connection and notices a packet that announces more bytes than
 * allowed, before any parser has begun to collect them. It reads fixed headers only (MQTT 3.1.1
 * §2.2) and skips bodies, so it costs a few instructions for each packet.
 * Sans-I/O.
 */

const LENGTH_BYTES_MAX = 4; // the remaining length is 1 to 4 bytes [MQTT-2.2.3]

export type GuardVerdict =
  | { readonly kind: 'ok' }
  | { readonly kind: 'tooLarge'; readonly bytes: number; readonly bytesMax: number }
  | { readonly kind: 'malformed' };

const OK: GuardVerdict = { kind: 'ok' };

/** [P-7.8] */
export class PacketGuard {
  /** Largest whole packet by packet type (1 CONNECT … 14 DISCONNECT); called for each packet. */
  readonly #bytesMaxFor: (packetType: number) => number;
  #skip = 0;
  #type = 0;
  #headerBytes = 0;
  #length = 0;

  constructor(bytesMaxFor: (packetType: number) => number) {
    this.#bytesMaxFor = bytesMaxFor;
  }

  /** True between the first and the last byte of a body: a packet is on its way. */
  get isInBody(): boolean {
    return this.#skip > 0;
  }

  /** Feed bytes in order, in pieces of any size. After a verdict other than ok, stop. */
  feed(bytes: Uint8Array): GuardVerdict {
    let at = 0;
    while (at < bytes.byteLength) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, bytes.byteLength - at);
        this.#skip -= step;
        at += step;
        continue;
      }
      const verdict = this.#header(bytes[at] as number);
      at += 1;
      if (verdict.kind !== 'ok') return verdict;
    }
    return OK;
  }

  #header(byte: number): GuardVerdict {
    if (this.#headerBytes === 0) {
      this.#type = byte >> 4;
      this.#length = 0;
      this.#headerBytes = 1;
      return OK;
    }
    this.#length += (byte & 0x7f) * 128 ** (this.#headerBytes - 1);
    const more = (byte & 0x80) !== 0;
    if (more) {
      this.#headerBytes += 1;
      return this.#headerBytes > LENGTH_BYTES_MAX ? { kind: 'malformed' } : OK;
    }
    const bytes = 1 + this.#headerBytes + this.#length;
    const bytesMax = this.#bytesMaxFor(this.#type);
    if (bytes > bytesMax) return { kind: 'tooLarge', bytes, bytesMax };
    this.#skip = this.#length;
    this.#headerBytes = 0;
    return OK;
  }
}
