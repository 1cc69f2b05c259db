/**
 * Stores what a relay must not forget: the name it goes by upstream, and the highest `seq` of each
 * rollout's progress that it handed on. Progress may be cleared; its floor may not be, or an old
 * one could be played again.
 */

import { LIMITS } from '../../shared/base/limits.ts';
import type { RolloutId } from '../../shared/base/ids.ts';
import type { SteadyDatabase } from '../control/durable-level.ts';

const NAME_KEY = 'name';
const FLOOR = 'floor/';
const FLOORS = { gte: FLOOR, lt: 'floor0' };

export class RelayBook {
  readonly #database: SteadyDatabase;
  /** The longest unheard first. */
  readonly #floors = new Map<RolloutId, number>();
  readonly name: string;

  private constructor(database: SteadyDatabase, name: string) {
    this.#database = database;
    this.name = name;
  }

  /** @param makeName for the first start; another `wished` one takes its place */
  static async open(
    database: SteadyDatabase,
    wished: string | null,
    makeName: () => string,
  ): Promise<RelayBook> {
    const known = await database.get(NAME_KEY);
    const name = wished ?? (typeof known === 'string' ? known : makeName());
    if (name !== known) await database.put(NAME_KEY, name, { sync: true });
    const book = new RelayBook(database, name);
    for await (const [key, value] of database.entries(FLOORS)) {
      book.#floors.set(key.slice(FLOOR.length) as RolloutId, Number(value));
    }
    return book;
  }

  floorOf(rollout: RolloutId): number {
    return this.#floors.get(rollout) ?? 0;
  }

  /** On the disk when it resolves; it never falls. */
  async raise(rollout: RolloutId, seq: number): Promise<void> {
    if (seq <= this.floorOf(rollout)) return;
    await this.#database.put(`${FLOOR}${rollout}`, String(seq), { sync: true });
    this.#floors.delete(rollout);
    this.#floors.set(rollout, seq);
    const [oldest] = this.#floors.keys();
    if (this.#floors.size <= LIMITS.relayFloorsMax || oldest === undefined) return;
    this.#floors.delete(oldest);
    await this.#database.del(`${FLOOR}${oldest}`);
  }
}
