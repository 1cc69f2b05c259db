/** Checks whether the given private keys may sign a document, before they sign it. Sans-I/O. */

import { keyIdOf, type Signer } from '../crypto/ed25519.ts';
import { DroverError } from '../base/errors.ts';
import { rolesOfKey, type RoleName, type TrustRoot } from '../formats/trust.ts';

type PublicHalf = Pick<Signer, 'publicKey'>;

/**
 * Asked before anything is uploaded: an announcement that no robot accepts is worse than none.
 * @throws DroverError ENVELOPE_KEY_UNKNOWN, ENVELOPE_SIGNATURES_TOO_FEW
 */
export function assertKeysSatisfy(
  signers: readonly PublicHalf[],
  name: RoleName,
  trust: TrustRoot,
): void {
  const got = assertKeysOfRole(signers, name, trust);
  const { threshold: want } = trust.roles[name];
  if (got >= want) return;
  throw new DroverError(
    'ENVELOPE_SIGNATURES_TOO_FEW',
    `sign as ${name}: too few keys (got ${got}, want ${want})`,
    { facts: { got, want } },
  );
}

/**
 * For a signer among several: the threshold is not checked.
 * @returns the number of distinct keys
 * @throws DroverError ENVELOPE_KEY_UNKNOWN
 */
export function assertKeysOfRole(
  signers: readonly PublicHalf[],
  name: RoleName,
  trust: TrustRoot,
): number {
  const keys = [...new Set(signers.map(({ publicKey }) => publicKey))];
  for (const key of keys) {
    if (trust.roles[name].keys.includes(key)) continue;
    const roles = rolesOfKey(trust, key);
    const got = roles.length === 0 ? 'no role' : roles.join(' and ');
    throw new DroverError(
      'ENVELOPE_KEY_UNKNOWN',
      `use key ${keyIdOf(key)}: trust.json does not give it the ${name} role (got ${got})`,
    );
  }
  return keys.length;
}
