/**
 * Counts claims and certificates that no record has, for each address and minute. A claim cannot
 * be guessed; the count bounds the cost of guesses in the log. A good claim is never counted, so
 * that robots behind one address do not wait for a neighbour. Sans-I/O.
 */

import { DroverError } from '../../shared/base/errors.ts';
import type { MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { SeldomLog } from '../../shared/base/seldom-log.ts';

/** Addresses beyond the bound share one count. */
const OTHERS = 'others';

/** Refusals of what no record has. */
const MISSED = {
  CLAIM_UNKNOWN: 'enrol: this broker has no such claim',
  CERTIFICATE_UNKNOWN:
    'renew: this certificate is not good here, or the signature is not by its key',
} as const;

export class ClaimTries {
  readonly #misses = new Map<string, number>();
  readonly #seldom: SeldomLog;
  readonly #now: () => MonoMs;
  #sinceMs: MonoMs = Number.NEGATIVE_INFINITY;

  constructor(seldom: SeldomLog, now: () => MonoMs) {
    this.#seldom = seldom;
    this.#now = now;
  }

  /** Counts one and makes its refusal. */
  missed(from: string, code: keyof typeof MISSED = 'CLAIM_UNKNOWN'): DroverError {
    if (this.mayMiss(from, this.#now())) return new DroverError(code, MISSED[code]);
    this.#seldom.warn(`tries ${from}`, { from }, 'too many unknown claims from an address');
    return new DroverError('CLAIM_TRIES', 'enrol: too many unknown claims from this address');
  }

  /** False when this address has had its share of wrong claims for now. */
  mayMiss(from: string, nowMs: MonoMs): boolean {
    if (nowMs - this.#sinceMs >= LIMITS.claimTriesMs) {
      this.#misses.clear();
      this.#sinceMs = nowMs;
    }
    const isKnown = this.#misses.has(from) || this.#misses.size < LIMITS.claimTryAddressesMax;
    const address = isKnown ? from : OTHERS;
    const misses = (this.#misses.get(address) ?? 0) + 1;
    this.#misses.set(address, misses);
    return misses <= LIMITS.claimTriesMax;
  }
}
