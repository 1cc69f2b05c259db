/**
 * The chain of trust roots: a new root counts only with the signatures of the root before it. Each
 * is one document on `fleet/trust/<version>`, signed by the thresholds of both, so a holder of root
 * n can verify every step to the newest one, whatever carried it. An expired root still leads to
 * the next one, because a fleet must be able to recover from an expiry.
 * It must never go back, nor skip a version. Sans-I/O.
 */

import { openEnvelope, PAYLOAD_TYPES, peekEnvelope } from './envelope.ts';
import { DroverError } from '../base/errors.ts';
import type { EpochMs } from '../base/ids.ts';
import { parseTrust, type KeyRole, type RoleName, type TrustRoot } from './trust.ts';

/**
 * [P-4.6]
 * @param bytes the envelope of `fleet/trust/<current.version + 1>`
 * @throws DroverError ENVELOPE_*, TRUST_INVALID, TRUST_VERSION_WRONG, FLEET_WRONG
 */
export function openTrustUpdate(bytes: Uint8Array, current: TrustRoot): TrustRoot {
  const next = parseTrust(openEnvelope(bytes, PAYLOAD_TYPES.trust, current.roles.root));
  // Its own keys sign as well: a root whose keys are lost would be the last one.
  openEnvelope(bytes, PAYLOAD_TYPES.trust, next.roles.root);
  if (next.fleet !== current.fleet) {
    throw new DroverError(
      'FLEET_WRONG',
      `take trust update: of another fleet (got ${next.fleet}, want ${current.fleet})`,
    );
  }
  assertFollows(next.version, current);
  return next;
}

/** [P-4.7] @throws DroverError TRUST_VERSION_WRONG */
export function assertFollows(version: number, current: TrustRoot): void {
  if (version === current.version + 1) return;
  throw new DroverError(
    'TRUST_VERSION_WRONG',
    `take trust update: not the next one (got version ${version}, want ${current.version + 1})`,
    { facts: { got: version, want: current.version + 1 } },
  );
}

/**
 * The root in an update whose signatures are NOT checked.
 * @throws DroverError ENVELOPE_*, TRUST_INVALID
 */
export const peekTrustUpdate = (bytes: Uint8Array): TrustRoot => parseTrust(peekEnvelope(bytes));

type HasRoles = Pick<TrustRoot, 'roles'>;

/** Enough of the keys that signed still belong to the role. */
export const hasSay = (signers: readonly string[], { keys, threshold }: KeyRole): boolean =>
  signers.filter((key) => keys.includes(key)).length >= threshold;

/** True when both roots give a role the same keys and threshold. */
export function isSameRole(a: HasRoles, b: HasRoles, name: RoleName): boolean {
  const [one, other] = [a.roles[name], b.roles[name]];
  const isSubset = one.keys.every((key) => other.keys.includes(key));
  return isSubset && one.keys.length === other.keys.length && one.threshold === other.threshold;
}

/** The trust root in force: read its fields when they are needed, since it moves forward. */
export class LiveTrust implements TrustRoot {
  #current: TrustRoot;

  constructor(first: TrustRoot) {
    this.#current = first;
  }

  get version(): number {
    return this.#current.version;
  }

  get fleet(): string {
    return this.#current.fleet;
  }

  get expires(): EpochMs {
    return this.#current.expires;
  }

  get issued_at(): EpochMs | undefined {
    return this.#current.issued_at;
  }

  get roles(): TrustRoot['roles'] {
    return this.#current.roles;
  }

  /** The root as it is now, which does not move. */
  get current(): TrustRoot {
    return this.#current;
  }

  /**
   * Moves to a root that the caller has verified. @throws DroverError TRUST_VERSION_WRONG unless it
   * is newer
   */
  moveTo(next: TrustRoot): void {
    if (next.version <= this.#current.version) assertFollows(next.version, this.#current);
    this.#current = next;
  }
}
