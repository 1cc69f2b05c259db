/**
 * From one trust root to the next: a root is followed only by the root of the next version of the
 * same fleet, signed by the root keys of both. Whoever holds the old keys alone cannot be replaced
 * by somebody who does not, and the new ones prove that they are in use.
 */

import { openEnvelope, PAYLOAD_TYPES } from './envelope.ts';
import { DroverError } from './errors.ts';
import { parseTrust, type TrustRoot } from './trust.ts';

/**
 * @param bytes what stands on `fleet/trust/<version>`
 * @throws DroverError ENVELOPE_*, TRUST_INVALID, FLEET_WRONG
 */
export function openNextTrust(bytes: Uint8Array, current: TrustRoot): TrustRoot {
  const payload = openEnvelope(bytes, PAYLOAD_TYPES.trust, current.roles.root);
  const next = parseTrust(payload);
  openEnvelope(bytes, PAYLOAD_TYPES.trust, next.roles.root);
  if (next.fleet !== current.fleet) {
    const why = `other fleet (got ${next.fleet}, want ${current.fleet})`;
    throw new DroverError('FLEET_WRONG', `follow trust ${current.version}: ${why}`);
  }
  if (next.version === current.version + 1) return next;
  const why = `not the next version (got ${next.version}, want ${current.version + 1})`;
  throw new DroverError('TRUST_INVALID', `follow trust ${current.version}: ${why}`);
}
