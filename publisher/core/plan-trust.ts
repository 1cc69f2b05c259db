/** Decides the bytes of a first trust.json. Pure. */

import { utf8 } from '../../shared/bytes.ts';
import { PUBLIC_KEY_PATTERN, SEED_BYTES, type PublicKeyHex } from '../../shared/ed25519.ts';
import { DroverError } from '../../shared/errors.ts';
import { parseTrust, type Role, type RoleName } from '../../shared/trust.ts';

export interface TrustDocument {
  readonly version: number;
  readonly fleet: string;
  readonly expires: string;
  readonly roles: Readonly<Record<RoleName, Role>>;
}

/** @throws DroverError USAGE when the roles do not make sense */
export function planTrust(input: {
  fleet: string;
  expiresAtMs: number;
  roles: Readonly<Record<RoleName, Role>>;
}): { document: TrustDocument; bytes: Uint8Array } {
  const document: TrustDocument = {
    version: 1,
    fleet: input.fleet,
    expires: `${new Date(input.expiresAtMs).toISOString().slice(0, 19)}Z`,
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

/** The content of a .pub file: 64 hex digits. @throws DroverError USAGE */
export function parsePublicKey(bytes: Uint8Array, path: string): PublicKeyHex {
  const text = Buffer.from(bytes).toString('latin1').trim().toLowerCase();
  if (PUBLIC_KEY_PATTERN.test(text)) return text;
  const isSeed = bytes.byteLength === SEED_BYTES;
  throw new DroverError(
    'USAGE',
    isSeed
      ? `read public key ${path}: this is a private key`
      : `read public key ${path}: not 64 hex digits (got ${bytes.byteLength} bytes)`,
    { hint: 'give the .pub file that drover keygen wrote beside the .key' },
  );
}

export function sharedKeys(a: readonly string[], b: readonly string[]): string[] {
  return a.filter((key) => b.includes(key));
}
