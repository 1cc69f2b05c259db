/**
 * Sessions of people who signed in on the page. A session is a random secret in a cookie; only its
 * hash is kept. It ends after a while, when it is not used, when its user signs out, and when its
 * credential is changed or removed. Each user has a share, so that one cannot take all of them.
 * Sans-I/O: time and secrets are parameters.
 */

import type { MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { utf8 } from '../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import type { Identity } from '../access/access.ts';

export type UserIdentity = Extract<Identity, { kind: 'user' }>;

export interface PageSession {
  readonly identity: UserIdentity;
  /** The page sends it with each request that changes something. */
  readonly csrf: string;
  readonly endsAtMs: MonoMs;
}

interface Kept extends PageSession {
  usedAtMs: MonoMs;
}

export class PageSessions {
  /** By the hash of the secret, so that no copy of this memory is a cookie; last used last. */
  readonly #kept = new Map<string, Kept>();

  get size(): number {
    return this.#kept.size;
  }

  /** A user with a full share loses the session that was not used for longest. */
  open(
    identity: UserIdentity,
    { secret, csrf, now }: { secret: string; csrf: string; now: MonoMs },
  ): PageSession {
    const { username } = identity;
    const own = [...this.#kept].filter(([, kept]) => kept.identity.username === username);
    const [ownOldest] = own;
    if (ownOldest && own.length >= LIMITS.pageSessionsPerUserMax) this.#kept.delete(ownOldest[0]);
    const [oldest] = this.#kept.keys();
    if (oldest !== undefined && this.#kept.size >= LIMITS.pageSessionsMax) {
      this.#kept.delete(oldest);
    }
    const endsAtMs = now + LIMITS.pageSessionMs;
    const session: Kept = { identity, csrf, endsAtMs, usedAtMs: now };
    this.#kept.set(keyOf(secret), session);
    return session;
  }

  /**
   * Null for a secret without a session, and for a session that has ended.
   * @param isUse false when the question itself does not keep the session alive
   */
  find(secret: string, now: MonoMs, isUse = true): PageSession | null {
    const key = keyOf(secret);
    const kept = this.#kept.get(key);
    if (!kept) return null;
    const isOver = now >= kept.endsAtMs || now - kept.usedAtMs >= LIMITS.pageSessionIdleMs;
    if (isOver || isUse) this.#kept.delete(key);
    if (isOver) return null;
    if (!isUse) return kept;
    kept.usedAtMs = now;
    this.#kept.set(key, kept);
    return kept;
  }

  /** Idempotent. */
  end(secret: string): void {
    this.#kept.delete(keyOf(secret));
  }

  /** @param isCurrent false when the credential was changed or removed */
  endOutdated(isCurrent: (identity: UserIdentity) => boolean): void {
    for (const [key, { identity }] of this.#kept) {
      if (!isCurrent(identity)) this.#kept.delete(key);
    }
  }
}

const keyOf = (secret: string): string => sha256Hex(utf8(secret));
