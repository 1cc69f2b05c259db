/**
 * Passwords chosen by people, stored as scrypt: `<N>$<r>$<p>$<salt base64>$<key base64>`. The cost
 * stands beside each key, so that it can be raised later without locking users out. It is
 * bounded, so that a credentials file cannot use up the memory of the broker.
 */

import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { base64ToBytes, bytesToBase64 } from '../../shared/crypto/bytes.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';

export interface PasswordHash {
  readonly N: number;
  readonly r: number;
  readonly p: number;
  readonly salt: Uint8Array;
  readonly key: Uint8Array;
}

const SALT_BYTES = 16;
const KEY_BYTES = 32;
const COST = { N: 16_384, r: 8, p: 1 } as const; // OWASP's floor for interactive logins: 16 MiB
const STORED = /^([1-9]\d{0,6})\$([1-9]\d?)\$([1-9]\d?)\$([^$]{1,100})\$([^$]{1,100})$/;

/** Null when the text is no such hash, or its cost is above the bound. */
export function parsePasswordHash(text: string): PasswordHash | null {
  const [, n, r, p, salt64, key64] = STORED.exec(text) ?? [];
  const [N, blocks, passes] = [Number(n), Number(r), Number(p)];
  const salt = base64ToBytes(salt64 ?? '');
  const key = base64ToBytes(key64 ?? '');
  if (!salt || !key || salt.byteLength < SALT_BYTES || key.byteLength !== KEY_BYTES) return null;
  const isPowerOfTwo = N > 1 && Number.isInteger(Math.log2(N));
  const bytes = 128 * N * blocks * passes;
  if (!isPowerOfTwo || bytes > LIMITS.passwordCostBytesMax) return null;
  return { N, r: blocks, p: passes, salt, key };
}

/** The text that is stored for a password. */
export async function hashPassword(password: Uint8Array): Promise<string> {
  const hash = { ...COST, salt: randomBytes(SALT_BYTES), key: new Uint8Array(KEY_BYTES) };
  const key = await derive(password, hash);
  return [COST.N, COST.r, COST.p, bytesToBase64(hash.salt), bytesToBase64(key)].join('$');
}

/** A hash that no password matches: a check against it takes as long as any other. */
export function unmatchableHash(): PasswordHash {
  return { ...COST, salt: randomBytes(SALT_BYTES), key: randomBytes(KEY_BYTES) };
}

function derive(password: Uint8Array, { N, r, p, salt }: PasswordHash): Promise<Buffer> {
  const maxmem = LIMITS.passwordCostBytesMax * 2; // scrypt counts its own bookkeeping as well
  return new Promise((resolve, reject) => {
    scrypt(password, salt, KEY_BYTES, { N, r, p, maxmem }, (error, key) =>
      error ? reject(error) : resolve(key),
    );
  });
}

/**
 * Runs few checks at once and lets few wait: each takes 16 MiB and a core for a while, attackers
 * can ask as often as they like, and the same threads sync chunks to the disk.
 */
export class PasswordChecker {
  readonly #queue: (() => void)[] = [];
  #running = 0;

  /** @throws DroverError CONNECTIONS_FULL when too many wait already */
  async fits(password: Uint8Array, hash: PasswordHash): Promise<boolean> {
    await this.#enter();
    try {
      return timingSafeEqual(await derive(password, hash), hash.key);
    } finally {
      this.#leave();
    }
  }

  async #enter(): Promise<void> {
    if (this.#running < LIMITS.passwordChecksMax) {
      this.#running += 1;
      return;
    }
    if (this.#queue.length >= LIMITS.passwordChecksQueueMax) {
      throw new DroverError(
        'CONNECTIONS_FULL',
        `check password: too many wait (want at most ${LIMITS.passwordChecksQueueMax})`,
      );
    }
    await new Promise<void>((resolve) => this.#queue.push(resolve));
  }

  /** Gives the place of a finished check to the one that waits longest. */
  #leave(): void {
    const next = this.#queue.shift();
    if (next) next();
    else this.#running -= 1;
  }
}
