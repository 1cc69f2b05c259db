/** Checks whether the private keys at hand may sign what they are about to sign. Sans-I/O. */

import { keyIdOf, publicKeyOf } from './ed25519.ts';
import { DroverError } from '../base/errors.ts';
import { rolesOfKey, type RoleName, type TrustRoot } from '../formats/trust.ts';

/**
 * Asked before anything is uploaded: an announcement that no robot accepts is worse than none.
 * @throws DroverError ENVELOPE_KEY_UNKNOWN, ENVELOPE_SIGNATURES_TOO_FEW
 */
export function assertKeysSatisfy(
  seeds: readonly Uint8Array[],
  name: RoleName,
  trust: TrustRoot,
): void {
  const keys = [...new Set(seeds.map(publicKeyOf))];
  for (const key of keys) {
    if (trust.roles[name].keys.includes(key)) continue;
    const roles = rolesOfKey(trust, key);
    const got = roles.length === 0 ? 'no role' : roles.join(' and ');
    throw new DroverError(
      'ENVELOPE_KEY_UNKNOWN',
      `use key ${keyIdOf(key)}: trust.json does not give it the ${name} role (got ${got})`,
    );
  }
  const { threshold } = trust.roles[name];
  if (keys.length >= threshold) return;
  throw new DroverError(
    'ENVELOPE_SIGNATURES_TOO_FEW',
    `sign as ${name}: too few keys (got ${keys.length}, want ${threshold})`,
    { facts: { got: keys.length, want: threshold } },
  );
}
