/**
 * Decides the bytes of a trust.json: of the first one, and of one that follows another. Sans-I/O.
 */

import { utf8 } from '../../shared/crypto/bytes.ts';
import { parseDurationMs, timeLeft, instantText } from '../../shared/base/durations.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { isTrustEnding, isTrustExpired } from '../../shared/rules/trust-life.ts';
import { signersOf } from '../../shared/formats/envelope.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { keyIdOf, type PublicKeyHex } from '../../shared/crypto/ed25519.ts';
import {
  parseTrust,
  rolesOfKey,
  type KeyRole,
  type RoleName,
  type TrustRoot,
} from '../../shared/formats/trust.ts';

export interface TrustDocument {
  readonly version: number;
  readonly fleet: string;
  readonly expires: string;
  readonly issued_at: string;
  readonly roles: Readonly<Record<RoleName, KeyRole>>;
}

/**
 * The value of `--expires`. A shorter life ends before a rotation is possible, and the fleet then
 * takes nothing.
 * @throws DroverError USAGE
 */
export function trustLifeMs(text: string): number {
  const lifeMs = parseDurationMs(text);
  if (lifeMs >= LIMITS.trustLifeMsMin) return lifeMs;
  const why = 'robots would take nothing before it can be rotated';
  throw new DroverError(
    'USAGE',
    `read --expires: too short, ${why} (got ${text}, want at least 1d)`,
  );
}

/** @throws DroverError USAGE when the roles are contradictory */
export function planTrust(input: {
  version?: number;
  fleet: string;
  expiresAtMs: number;
  issuedAtMs: number;
  roles: Readonly<Record<RoleName, KeyRole>>;
}): { document: TrustDocument; bytes: Uint8Array } {
  const document: TrustDocument = {
    version: input.version ?? 1,
    fleet: input.fleet,
    expires: instantText(input.expiresAtMs),
    issued_at: instantText(input.issuedAtMs),
    roles: input.roles,
  };
  const bytes = utf8(`${JSON.stringify(document, null, 2)}\n`);
  try {
    parseTrust(bytes);
  } catch (cause) {
    if (!(cause instanceof DroverError)) throw cause;
    throw new DroverError('USAGE', `plan trust: ${cause.message}`, { cause });
  }
  return { document, bytes };
}

/** Changes of a role; an absent field stays. */
export type RoleChange = Partial<KeyRole>;

/** @throws DroverError USAGE when the roles are contradictory */
export function planNextTrust(input: {
  current: TrustRoot;
  expiresAtMs: number;
  issuedAtMs: number;
  changes: Readonly<Record<RoleName, RoleChange>>;
}): { document: TrustDocument; bytes: Uint8Array } {
  const { current, expiresAtMs, issuedAtMs, changes } = input;
  const role = (name: RoleName): KeyRole => {
    const { keys, threshold } = current.roles[name];
    return {
      keys: changes[name].keys ?? keys,
      threshold: changes[name].threshold ?? threshold,
    };
  };
  const roles = { root: role('root'), release: role('release'), rollout: role('rollout') };
  const { fleet } = current;
  return planTrust({ version: current.version + 1, fleet, expiresAtMs, issuedAtMs, roles });
}

/**
 * Called before anything is signed or written: only root keys count, those of the root before the
 * update and its own.
 * @throws DroverError ENVELOPE_KEY_UNKNOWN
 */
export function assertRootKeys(
  signers: readonly { readonly publicKey: PublicKeyHex }[],
  { current, next }: { current: TrustRoot; next: TrustRoot },
): void {
  for (const { publicKey } of signers) {
    if ([current, next].some(({ roles }) => roles.root.keys.includes(publicKey))) continue;
    const roles = [...new Set([...rolesOfKey(current, publicKey), ...rolesOfKey(next, publicKey)])];
    const got = roles.length === 0 ? 'no role' : roles.join(' and ');
    throw new DroverError(
      'ENVELOPE_KEY_UNKNOWN',
      `use key ${keyIdOf(publicKey)}: neither trust.json before nor after gives it the root role (got ${got})`,
      { hint: 'sign with a root key: trust.json lists those that may, under roles.root' },
    );
  }
}

/** The number of signatures that an update lacks: of the root before it, and of its own. */
export function missingSignatures(
  update: Uint8Array,
  roots: { current: TrustRoot; next: TrustRoot },
): { current: number; next: number } {
  const lacks = ({ roles: { root } }: TrustRoot): number =>
    Math.max(0, root.threshold - signersOf(update, root).length);
  return { current: lacks(roots.current), next: lacks(roots.next) };
}

/** A key that a rotation takes out of some roles and leaves in others. */
export interface KeptKey {
  readonly key: PublicKeyHex;
  readonly left: readonly RoleName[];
  readonly has: readonly RoleName[];
}

/**
 * Release keys are the root keys where `trust init` was given no others. Somebody who takes a
 * stolen one out of the release role alone leaves the thief a key that replaces every key.
 */
export function keptKeys(current: TrustRoot, next: TrustRoot): KeptKey[] {
  const keys = new Set(Object.values(current.roles).flatMap((role) => role.keys));
  return [...keys].flatMap((key) => {
    const has = rolesOfKey(next, key);
    const left = rolesOfKey(current, key).filter((role) => !has.includes(role));
    return left.length > 0 && has.length > 0 ? [{ key, left, has }] : [];
  });
}

export function keptKeyLine({ key, left, has }: KeptKey): string {
  const still = has.includes('root') ? 'root and can replace every key' : has.join(' and ');
  return `key ${keyIdOf(key)} is no longer ${left.join(' and ')}, and is still ${still}: if it is stolen, replace it there too (${has.map((role) => `--${role}`).join(', ')})`;
}

export function sharedKeys(a: readonly string[], b: readonly string[]): string[] {
  return a.filter((key) => b.includes(key));
}

/** Warnings while a trust.json is about to expire; none otherwise. */
export function trustEndLines(trust: TrustRoot, now: EpochMs): string[] {
  const { version, expires } = trust;
  if (!isTrustEnding(trust, now) || isTrustExpired(trust, now)) return []; // expired: refused
  const at = instantText(expires);
  return [
    `trust.json version ${version} expires in ${timeLeft(expires - now)}, at ${at}: robots then take nothing new; drover trust rotate, then drover trust publish (TRUST_EXPIRING)`,
  ];
}
