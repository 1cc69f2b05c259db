/** Trust roots that follow one another, for tests: the first one is that of `makeFleet`. */

import { utf8 } from '../../shared/crypto/bytes.ts';
import { publicKeyOf } from '../../shared/crypto/ed25519.ts';
import { PAYLOAD_TYPES } from '../../shared/formats/envelope.ts';
import { parseTrust, type RoleName, type TrustRoot } from '../../shared/formats/trust.ts';
import { envelopeNow } from './sign-now.ts';

export interface RootInput {
  readonly version: number;
  readonly fleet?: string;
  readonly expires?: string;
  readonly seeds: Readonly<Record<RoleName, readonly Uint8Array[]>>;
  readonly rootThreshold?: number;
}

/** The bytes of a trust.json that gives each role these keys. */
export function rootBytes(input: RootInput): Uint8Array {
  const { version, fleet = 'test', expires = '2099-01-01T00:00:00Z', seeds } = input;
  const role = (name: RoleName, threshold = 1) => ({
    keys: seeds[name].map(publicKeyOf),
    threshold,
  });
  const roles = {
    root: role('root', input.rootThreshold),
    release: role('release'),
    rollout: role('rollout'),
  };
  return utf8(JSON.stringify({ version, fleet, expires, roles }));
}

export const rootOf = (input: RootInput): TrustRoot => parseTrust(rootBytes(input));

/** The update that leads to a root, signed by these seeds. */
export const updateTo = (input: RootInput, signers: readonly Uint8Array[]): Uint8Array =>
  envelopeNow(PAYLOAD_TYPES.trust, rootBytes(input), signers);
