/**
 * A private key that signs, wherever it lies: a seed in memory, or a device that never gives its
 * key away (io/sign-command.ts). Sans-I/O.
 */

import { publicKeyOf, signBytes, type PublicKeyHex } from './ed25519.ts';

export interface Signer {
  readonly publicKey: PublicKeyHex;
  /**
   * @returns 64 raw bytes
   * @throws DroverError SIGN_COMMAND_FAILED
   */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/** @param seed 32 raw bytes */
export function seedSigner(seed: Uint8Array): Signer {
  const publicKey = publicKeyOf(seed);
  return { publicKey, sign: (message) => Promise.resolve(signBytes(message, seed)) };
}
