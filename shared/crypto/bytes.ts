/**
 * Byte conversions with strict decoding. A lenient decoder lets two different texts mean the same
 * bytes, which makes "the exact bytes are signed" a weaker promise than it sounds.
 * Sans-I/O.
 */

import { DroverError } from '../base/errors.ts';

const HEX = /^(?:[0-9a-f]{2})*$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

export function bytesToHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** Lower-case hex only; null when the text is anything else. */
export function hexToBytes(text: string): Uint8Array | null {
  return HEX.test(text) ? new Uint8Array(Buffer.from(text, 'hex')) : null;
}

export function bytesToBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

/** Canonical standard base64 only (padding present, spare bits zero); null otherwise. */
export function base64ToBytes(text: string): Uint8Array | null {
  if (!BASE64.test(text)) return null;
  const decoded = Buffer.from(text, 'base64');
  return decoded.toString('base64') === text ? new Uint8Array(decoded) : null;
}

export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.byteLength;
  }
  return joined;
}

export function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.byteLength !== b.byteLength) return false;
  return a.every((byte, at) => byte === b[at]);
}

/**
 * All bytes of a stream that may not have more than `bytesMax`.
 * @param what for the message, such as `enrolments`
 * @throws DroverError DOCUMENT_TOO_LARGE; the stream is ended then
 */
export async function collectBytes(
  pieces: AsyncIterable<Uint8Array>,
  { bytesMax, what }: { readonly bytesMax: number; readonly what: string },
): Promise<Uint8Array> {
  const kept: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    bytes += piece.byteLength;
    if (bytes > bytesMax) {
      const want = `want at most ${bytesMax} bytes`;
      throw new DroverError('DOCUMENT_TOO_LARGE', `read ${what}: too large (${want})`);
    }
    kept.push(piece);
  }
  return concatBytes(...kept);
}
