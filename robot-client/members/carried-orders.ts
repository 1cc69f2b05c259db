/**
 * The orders of the fleet as the leader carries them to its members: the last bytes on each topic,
 * as a broker retains them. The leader judges nothing here: each member verifies what it gets, with
 * trust and floors of its own, so that a leader in wrong hands makes no member run anything.
 * Sans-I/O.
 */

import { LIMITS } from '../../shared/base/limits.ts';
import { parseTopic, UPDATES_TOPIC } from '../../shared/formats/topics.ts';

export interface CarriedOrder {
  readonly topic: string;
  readonly payload: Uint8Array;
}

interface Carried extends CarriedOrder {
  readonly version: number;
}

const BOUNDS = {
  updates: 1,
  progress: LIMITS.rolloutsMax * 2,
  trust: LIMITS.trustUpdatesAheadMax,
} as const;

export class CarriedOrders {
  /** By topic; the one that changed last at the end. */
  readonly #orders = new Map<string, Carried>();

  /**
   * @param version of the news with it
   * @returns false for what is no order, or came before
   */
  take(topic: string, payload: Uint8Array, version: number): boolean {
    const kind = kindOf(topic);
    if (kind === null || payload.byteLength > LIMITS.controlMessageBytesMax) return false;
    const known = this.#orders.get(topic);
    if (known && Buffer.compare(known.payload, payload) === 0) return false;
    this.#orders.delete(topic);
    this.#orders.set(topic, { topic, payload: Uint8Array.from(payload), version });
    const same = [...this.#orders.keys()].filter((one) => kindOf(one) === kind);
    for (const oldest of same.slice(0, -BOUNDS[kind])) this.#orders.delete(oldest);
    return true;
  }

  /** Version with the announcement; infinity without one. */
  get announcedIn(): number {
    return this.#orders.get(UPDATES_TOPIC)?.version ?? Number.POSITIVE_INFINITY;
  }

  /** Of versions after the first and up to the second; trust first, since it judges the others. */
  between(after: number, upTo: number): CarriedOrder[] {
    const isTrust = ({ topic }: CarriedOrder): boolean => kindOf(topic) === 'trust';
    const isNews = ({ version }: Carried): boolean => version > after && version <= upTo;
    const all = [...this.#orders.values()].filter(isNews);
    const trust = all.filter(isTrust).toSorted((a, b) => trustOf(a) - trustOf(b));
    return [...trust, ...all.filter((one) => !isTrust(one))];
  }
}

function kindOf(topic: string): keyof typeof BOUNDS | null {
  const kind = parseTopic(topic)?.kind;
  return kind === 'updates' || kind === 'progress' || kind === 'trust' ? kind : null;
}

function trustOf({ topic }: CarriedOrder): number {
  const parsed = parseTopic(topic);
  return parsed?.kind === 'trust' ? parsed.version : 0;
}
