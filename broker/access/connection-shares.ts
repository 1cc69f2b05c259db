/**
 * Counts the open connections of one listener and decides whether to take a new one. A client that
 * has not authenticated yet is a stranger: strangers have only a part of all connections, and each
 * address a part of that, so that a flood of them leaves room for robots with a credential. A user
 * has a share of its own once it has authenticated. Sans-I/O.
 */

import { LIMITS } from '../../shared/base/limits.ts';
import type { Identity } from './access.ts';

export interface ShareBounds {
  readonly total: number;
  readonly strangers: number;
  readonly strangersPerAddress: number;
}

export type ShareRefusal = 'too many' | 'too many strangers' | 'too many from this address';

/** For a listener whose clients authenticate (MQTT). A small one reserves nothing. */
export function sharesOf(total: number): ShareBounds {
  const strangers = total <= LIMITS.connectionsUnsharedMax ? total : Math.ceil(total / 2);
  const quarter = Math.ceil(strangers / 4);
  return { total, strangers, strangersPerAddress: Math.max(quarter, Math.min(strangers, 64)) };
}

/** For a listener whose clients all stay strangers, since each request has its own token (HTTP). */
export const HTTP_SHARES: ShareBounds = {
  total: LIMITS.httpConnectionsMax,
  strangers: LIMITS.httpConnectionsMax,
  strangersPerAddress: Math.ceil(LIMITS.httpConnectionsMax / 2),
};

/** One open connection. */
export interface Seat {
  readonly key: string;
  readonly address: string;
  /** Undefined: a stranger. Null: authenticated, on a broker without users. */
  user?: string | null;
}

export class ConnectionShares {
  readonly #bounds: ShareBounds;
  readonly #seats = new Set<Seat>();
  readonly #byKey = new Map<string, Seat>();
  readonly #strangers = new Map<string, number>();
  readonly #users = new Map<string, number>();
  #strangerCount = 0;

  constructor(bounds: ShareBounds) {
    this.#bounds = bounds;
  }

  get size(): number {
    return this.#seats.size;
  }

  /**
   * @param key by which `name` finds it again; the newest connection has it
   * @returns a seat, to be given to `close`, or the reason for a refusal
   */
  open(key: string, address: string): Seat | ShareRefusal {
    const { total, strangers, strangersPerAddress } = this.#bounds;
    if (this.#seats.size >= total) return 'too many';
    if (this.#strangerCount >= strangers) return 'too many strangers';
    if ((this.#strangers.get(address) ?? 0) >= strangersPerAddress) {
      return 'too many from this address';
    }
    const seat: Seat = { key, address };
    this.#seats.add(seat);
    this.#byKey.set(key, seat);
    this.#strangerCount += 1;
    add(this.#strangers, address, 1);
    return seat;
  }

  /**
   * The client has authenticated. False when its user has no seat left; it stays a stranger then.
   */
  name(key: string, identity: Identity): boolean {
    const seat = this.#byKey.get(key);
    if (!seat || seat.user !== undefined) return true;
    if (identity.kind === 'user') {
      const has = this.#users.get(identity.username) ?? 0;
      if (has >= LIMITS.connectionsPerUser[identity.role]) return false;
      add(this.#users, identity.username, 1);
    }
    seat.user = identity.kind === 'user' ? identity.username : null;
    this.#strangerCount -= 1;
    add(this.#strangers, seat.address, -1);
    return true;
  }

  /** Idempotent. */
  close(seat: Seat): void {
    if (!this.#seats.delete(seat)) return;
    if (this.#byKey.get(seat.key) === seat) this.#byKey.delete(seat.key);
    if (seat.user === undefined) {
      this.#strangerCount -= 1;
      add(this.#strangers, seat.address, -1);
    } else if (seat.user !== null) {
      add(this.#users, seat.user, -1);
    }
  }
}

/** Names whose count falls to zero are removed: they come from strangers. */
function add(counts: Map<string, number>, name: string, more: number): void {
  const count = (counts.get(name) ?? 0) + more;
  if (count > 0) counts.set(name, count);
  else counts.delete(name);
}
