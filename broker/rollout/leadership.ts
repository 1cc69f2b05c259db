/**
 * Holds this process's claim to lead the fleet's rollouts: it publishes its lease, receives
 * others', and knows at every moment whether it may act. lease.ts has the rules; this file adds the
 * clock, the signature and the link.
 */

import type { Signer } from '../../shared/crypto/ed25519.ts';
import { toProblem } from '../../shared/base/errors.ts';
import type { EpochMs, MonoMs } from '../../shared/base/ids.ts';
import {
  APPROVAL_KEYS_CAPABILITY,
  openLease,
  signLease,
  type Lease,
} from '../../shared/formats/lease.ts';
import type { Log } from '../../shared/base/ports.ts';
import { LEASE_TOPIC } from '../../shared/formats/topics.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { assertTimely } from '../../shared/rules/freshness.ts';
import {
  mayAct,
  startFollowing,
  stepLease,
  type LeaseEvent,
  type LeaseState,
  type LeaseTimes,
} from './lease.ts';

export interface LeadershipOptions {
  readonly self: string;
  readonly predecessor: string | null;
  readonly termFloor?: number;
  readonly isAlone: boolean;
  /** Abilities that its lease names. */
  readonly caps?: readonly string[];
  /** True while a user of this broker has an approval key. */
  readonly hasApprovalKeys?: () => boolean;
  readonly times: LeaseTimes;
  readonly trust: TrustRoot;
  readonly signers: readonly Signer[];
  readonly log: Log;
  now(): EpochMs;
  /** A monotonic clock. */
  mono(): MonoMs;
  publish(topic: string, payload: Uint8Array): Promise<void>;
}

/** The controller that leads, as far as this process can tell while it does not lead. */
export type Leader =
  | { readonly kind: 'other'; readonly controller: string }
  /** This controller claims after so long, unless another does. */
  | { readonly kind: 'none'; readonly leftMs: number };

export class Leadership {
  readonly #options: LeadershipOptions;
  #state: LeaseState;
  /** When a lease arrived that was not merely retained: its controller was alive then. */
  #aliveMs = -Infinity;
  /** Terms up to this may have been used: our next one is above. */
  #termFloor: number;
  /** The leader of which the log has said that it asks for no signature. */
  #keyless: string | null = null;

  constructor(options: LeadershipOptions) {
    this.#options = options;
    this.#state = startFollowing(options.mono(), options.isAlone);
    this.#termFloor = options.termFloor ?? 0;
  }

  /** Term of our lease while we may act; null otherwise. */
  get term(): number | null {
    const { times, mono } = this.#options;
    return this.#state.kind === 'leading' && mayAct(this.#state, times, mono())
      ? this.#state.mine.term
      : null;
  }

  /** Call only while `term` is null. */
  leader(): Leader {
    const { times, mono } = this.#options;
    const state = this.#state;
    const now = mono();
    if (state.kind === 'claiming') return { kind: 'none', leftMs: state.untilMs - now };
    if (state.kind === 'leading') return { kind: 'none', leftMs: times.leaseMs + times.settleMs };
    const { heard, quietSinceMs } = state;
    // A leader renews each quarter of a lease.
    if (heard && now - this.#aliveMs < times.leaseMs / 2) {
      return { kind: 'other', controller: heard.controller };
    }
    const waitsForNone = heard !== null && heard.controller === this.#options.predecessor;
    const claimsAt = waitsForNone ? now : Math.max(now, quietSinceMs + times.leaseMs);
    return { kind: 'none', leftMs: claimsAt - now + times.settleMs };
  }

  /**
   * Other keys sign leases from now on: leases that were received no longer count.
   * @param termFloor above every term that the remaining keys can have used
   */
  beginAnew(termFloor: number): void {
    const { mono, isAlone } = this.#options;
    this.#termFloor = Math.max(this.#termFloor, termFloor);
    this.#state = startFollowing(mono(), isAlone);
    this.#aliveMs = -Infinity;
  }

  hear(payload: Uint8Array): void {
    const { self, trust, mono, now, log } = this.#options;
    try {
      const lease = openLease(payload, trust);
      assertTimely({ kind: 'lease', seq: lease.term, issued_at: lease.issued_at }, trust, now());
      const before = this.#state;
      this.#step({ kind: 'heard', lease });
      const isFirst = before.kind === 'following' && before.heard === null;
      const isOther = this.#state.kind === 'following' && lease.controller !== self;
      if (isOther && !isFirst && this.#state !== before) this.#aliveMs = mono();
      if (isOther && this.#state !== before) this.#tellKeyless(lease);
    } catch (error) {
      log.warn({ problem: toProblem(error) }, 'lease refused');
    }
  }

  /** A broker of an earlier version knows no keys, whatever its credentials file has. */
  #tellKeyless({ controller, caps = [] }: Lease): void {
    const { hasApprovalKeys, log } = this.#options;
    if (controller === this.#keyless || hasApprovalKeys?.() !== true) return;
    if (caps.includes(APPROVAL_KEYS_CAPABILITY)) return;
    this.#keyless = controller;
    const text = 'the controller that leads asks for no signature: a password alone approves there';
    log.error({ controller }, text);
  }

  /** Call several times in each `leaseMs`. */
  async tick(): Promise<void> {
    const { self, trust, signers, caps = [], now, log } = this.#options;
    const say = this.#step({ kind: 'tick' });
    if (!say) return;
    const at = new Date(now()).toISOString();
    const fields = { fleet: trust.fleet, controller: self, ...say, issued_at: at, caps: [...caps] };
    let lease;
    try {
      lease = await signLease(fields, signers);
    } catch (error) {
      log.error({ problem: toProblem(error) }, 'could not sign the lease: rollouts are not led');
      return;
    }
    try {
      await this.#options.publish(LEASE_TOPIC, lease);
    } catch (error) {
      // Sent again in a quarter of a lease; a leader whose lease does not arrive stops leading.
      log.debug({ error: String(error) }, 'lease not sent');
    }
  }

  #step(event: LeaseEvent): { term: number; beat: number } | null {
    const { self, predecessor, times, mono, log } = this.#options;
    const termFloor = this.#termFloor;
    const before = this.#state.kind;
    const context = { self, predecessor, termFloor, times, now: mono() };
    const { state, say } = stepLease(this.#state, event, context);
    this.#state = state;
    if (state.kind !== before) log.info({ controller: self, now: state.kind }, 'leadership');
    return say;
  }
}
