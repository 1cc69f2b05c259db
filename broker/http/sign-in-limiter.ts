/**
 * Limits how often a password or token may be tried on the page. It counts by address: whoever
 * guesses from one address delays nobody who signs in from another one. Behind one address it
 * counts each user name by itself as well, so that guesses at one name leave the others some room.
 * An attempt that succeeds costs nothing. Sans-I/O.
 */

import type { MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';

interface Bucket {
  left: number;
  filledAtMs: MonoMs;
}

interface Rate {
  readonly most: number;
  readonly everyMs: number;
}

const PER_NAME: Rate = { most: LIMITS.signInTriesMax, everyMs: LIMITS.signInTryMs };
const PER_ADDRESS: Rate = {
  most: LIMITS.signInTriesPerAddressMax,
  everyMs: LIMITS.signInTryPerAddressMs,
};

export class SignInLimiter {
  readonly #names = new Map<string, Bucket>();
  readonly #addresses = new Map<string, Bucket>();

  /**
   * Counts an attempt before it is checked, so that many at once count as well.
   * @returns 0 when it may be made, else milliseconds until the next one may
   */
  take(address: string, username: string, now: MonoMs): number {
    const name = filled(this.#names, nameKey(address, username), PER_NAME, now);
    const all = filled(this.#addresses, networkOf(address), PER_ADDRESS, now);
    const waitMs = Math.max(waitOf(name, PER_NAME, now), waitOf(all, PER_ADDRESS, now));
    if (waitMs > 0) return waitMs;
    name.left -= 1;
    all.left -= 1;
    return 0;
  }

  /** The attempt succeeded, or was not checked at all. */
  giveBack(address: string, username: string): void {
    const name = this.#names.get(nameKey(address, username));
    const all = this.#addresses.get(networkOf(address));
    if (name) name.left = Math.min(PER_NAME.most, name.left + 1);
    if (all) all.left = Math.min(PER_ADDRESS.most, all.left + 1);
  }
}

/** The bucket of this key as it is now, and as the last one of its map. */
function filled(buckets: Map<string, Bucket>, key: string, rate: Rate, now: MonoMs): Bucket {
  const bucket = buckets.get(key) ?? { left: rate.most, filledAtMs: now };
  const more = Math.floor((now - bucket.filledAtMs) / rate.everyMs);
  if (more > 0) {
    bucket.left = Math.min(rate.most, bucket.left + more);
    bucket.filledAtMs += more * rate.everyMs;
  }
  buckets.delete(key);
  buckets.set(key, bucket);
  const [oldest] = buckets.keys();
  if (buckets.size > LIMITS.signInKeysMax && oldest !== undefined) buckets.delete(oldest);
  return bucket;
}

const waitOf = ({ left, filledAtMs }: Bucket, { everyMs }: Rate, now: MonoMs): number =>
  left > 0 ? 0 : Math.max(1, filledAtMs + everyMs - now);

const nameKey = (address: string, username: string): string => `${networkOf(address)} ${username}`;

/** One customer has a whole /64 of IPv6. An IPv4 address may be written as `::ffff:10.0.0.7`. */
function networkOf(address: string): string {
  if (!address.includes(':') || address.includes('.')) return address;
  const [head = '', tail] = address.split('::');
  const first = head === '' ? [] : head.split(':');
  const last = tail === undefined || tail === '' ? [] : tail.split(':');
  const gap = Array.from({ length: Math.max(0, 8 - first.length - last.length) }, () => '0');
  return [...first, ...gap, ...last].slice(0, 4).join(':');
}
