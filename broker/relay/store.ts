/**
 * Stores the durable state of a relay: its name at the upstream, and the highest `seq` of each
 * rollout's progress that it forwarded, for each key that signed it. A progress may be cleared; its
 * floor may not, or an old progress could be replayed.
 */

import { LIMITS } from '../../shared/base/limits.ts';
import type { RolloutId } from '../../shared/base/ids.ts';
import type { PublicKeyHex } from '../../shared/crypto/ed25519.ts';
import {
  floorOfUnknown,
  mergedFloor,
  NO_FLOOR,
  seqOf,
  type Floor,
} from '../../shared/rules/freshness.ts';
import type { DurableLevel } from '../control/durable-level.ts';

const NAME_KEY = 'name';
const FLOOR = 'floor/';
const FLOORS = { gte: FLOOR, lt: 'floor0' };
/** Stored beside the number that relays of 0.1 read: what each key has signed. */
const MARKS = 'marks/';
const ALL_MARKS = { gte: MARKS, lt: 'marks0' };

export class RelayBook {
  readonly #database: DurableLevel;
  /** Least recently used first. */
  readonly #floors = new Map<RolloutId, Floor>();
  readonly name: string;

  private constructor(database: DurableLevel, name: string) {
    this.#database = database;
    this.name = name;
  }

  /**
   * @param makeName makes the name at the first start; a `wished` name that differs replaces it
   * @param keys of the rollout role: a floor of 0.1 does not say which of them signed
   */
  static async open(
    database: DurableLevel,
    wished: string | null,
    makeName: () => string,
    keys: readonly PublicKeyHex[],
  ): Promise<RelayBook> {
    const known = await database.get(NAME_KEY);
    const name = wished ?? (typeof known === 'string' ? known : makeName());
    if (name !== known) await database.put(NAME_KEY, name, { sync: true });
    const book = new RelayBook(database, name);
    for await (const [key, value] of database.entries(FLOORS)) {
      book.#floors.set(key.slice(FLOOR.length) as RolloutId, floorOfUnknown(Number(value), keys));
    }
    for await (const [key, value] of database.entries(ALL_MARKS)) {
      book.#floors.set(key.slice(MARKS.length) as RolloutId, parseFloor(String(value)));
    }
    return book;
  }

  /** @param keys the keys that count now */
  floorOf(rollout: RolloutId, keys: readonly PublicKeyHex[]): number {
    return seqOf(this.#floors.get(rollout) ?? NO_FLOOR, keys);
  }

  /** Durable when it resolves; under one key the floor never falls. */
  async raise(rollout: RolloutId, seq: number, signers: readonly PublicKeyHex[]): Promise<void> {
    if (signers.every((key) => seq <= this.floorOf(rollout, [key]))) return;
    const floor = mergedFloor(this.#floors.get(rollout) ?? NO_FLOOR, floorOfUnknown(seq, signers));
    await this.#database.put(`${FLOOR}${rollout}`, String(seqOf(floor, signers)), { sync: true });
    await this.#database.put(`${MARKS}${rollout}`, encodeFloor(floor), { sync: true });
    this.#floors.delete(rollout);
    this.#floors.set(rollout, floor);
    const [oldest] = this.#floors.keys();
    if (this.#floors.size <= LIMITS.relayFloorsMax || oldest === undefined) return;
    this.#floors.delete(oldest);
    await this.#database.del(`${FLOOR}${oldest}`);
    await this.#database.del(`${MARKS}${oldest}`);
  }
}

function encodeFloor(floor: Floor): string {
  return JSON.stringify(Object.entries(floor.said).map(([key, { seq }]) => [key, seq]));
}

function parseFloor(text: string): Floor {
  // This program wrote it from typed values.
  const pairs = JSON.parse(text) as [PublicKeyHex, number][];
  return pairs.reduce((all, [key, seq]) => mergedFloor(all, floorOfUnknown(seq, [key])), NO_FLOOR);
}
