/**
 * A chunk store in memory with collector, marks and restarts. The test chooses how many turns each
 * wait lasts, so a property can put any step of one task between two steps of another. The world
 * itself checks at each removal that the chunk was garbage.
 */

import assert from 'node:assert/strict';
import type { GarbageMark } from '../../broker/garbage/ledger.ts';
import { GarbageCollector } from '../../broker/garbage/collector.ts';
import type { GarbageMarks } from '../../broker/garbage/marks.ts';
import { TendedChunks } from '../../broker/garbage/guarded-store.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { makeLog } from '../../shared/io/cli.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import type { WritableChunkStore } from '../../shared/base/ports.ts';

export const KEEP = 1_000;
const ONE = new Uint8Array(1);

export class GarbageWorld {
  /** Real time; the broker's own count may only be behind it. */
  now = 0;
  readonly stored = new Set<Sha256Hex>();
  announced: ReadonlySet<Sha256Hex> | null = null;
  isUnreadable = false;
  chunks!: WritableChunkStore;
  collector!: GarbageCollector;
  removed = 0;
  readonly failures: string[] = [];
  readonly #turns: () => number;
  /** The turn at which a use of the chunk ended last; its caller learns that some turns later. */
  readonly #used = new Map<Sha256Hex, number>();
  #promised: readonly Sha256Hex[] = [];
  #durable = new Map<Sha256Hex, GarbageMark>();
  #written = new Map<Sha256Hex, GarbageMark>();
  #savedUptime = 0;
  #uptimeAtStart = 0;
  #startedAt = 0;
  /** Work of a broker that was killed never comes to its end. */
  #life = 0;

  private constructor(turns: () => number) {
    this.#turns = turns;
  }

  static async open(turns: () => number): Promise<GarbageWorld> {
    const world = new GarbageWorld(turns);
    await world.restart();
    return world;
  }

  /** As after a power cut: what was not synced is lost, and so is what was on its way. */
  async restart(): Promise<void> {
    const life = ++this.#life;
    this.#written = new Map(this.#durable);
    this.#uptimeAtStart = this.#savedUptime;
    this.#startedAt = this.now;
    this.collector = await GarbageCollector.open({
      place: {
        name: 'store',
        list: () => this.#list(life),
        remove: (hash, may) => this.#remove(life, hash, may),
      },
      needed: { basis: () => this.announced, read: () => this.#readAnnounced(life) },
      marks: this.#marks(life),
      keepMs: KEEP,
      log: makeLog('test', 'silent'),
      uptimeMs: () => this.#uptime(),
      saveUptime: async () => {
        await this.#wait(life);
        this.#savedUptime = this.#uptime();
      },
      isHeldBack: () => false,
      isPaused: () => false,
    });
    this.chunks = new TendedChunks(this.#store(life), this.collector);
  }

  /** Only said: nobody has looked whether the chunks are there. They stay as long as it is said. */
  announce(hashes: readonly Sha256Hex[]): void {
    for (const hash of this.#promised) this.#used.set(hash, this.now);
    this.#promised = [];
    this.announced = new Set(hashes);
    this.collector.announced();
  }

  /** The same said again, readable or not. */
  repeat(isUnreadable: boolean): void {
    this.isUnreadable = isUnreadable;
    if (!this.announced) return;
    this.announced = new Set(this.announced);
    this.collector.announced();
  }

  /** As a publisher does: what is announced was read back. Withdrawn, it stays the keep time. */
  async publish(hashes: readonly Sha256Hex[]): Promise<void> {
    const life = this.#life;
    for (const hash of hashes) await this.read(hash);
    if (life !== this.#life) return;
    this.announce(hashes);
    this.#promised = hashes;
  }

  async put(hash: Sha256Hex): Promise<void> {
    const life = this.#life;
    await this.chunks.put(hash, ONE);
    if (life !== this.#life) return;
    assert.ok(this.stored.has(hash), 'stored, and not gone by the time it is acknowledged');
  }

  /** Reads it, as the read-back of a publisher does. */
  async read(hash: Sha256Hex): Promise<void> {
    const life = this.#life;
    const bytes = await this.chunks.get(hash);
    if (!bytes || life !== this.#life) return;
    assert.ok(this.stored.has(hash), 'read, and not gone by the time it is there');
  }

  async makeRoom(): Promise<void> {
    await this.collector.makeRoom(1);
  }

  #uptime(): number {
    return this.#uptimeAtStart + this.now - this.#startedAt;
  }

  /** Never returns to a broker that was killed meanwhile. */
  async #wait(life: number): Promise<void> {
    for (let turn = this.#turns(); turn > 0; turn -= 1) await Promise.resolve();
    if (life !== this.#life) await new Promise<never>(() => undefined);
  }

  async *#list(life: number): AsyncGenerator<readonly Sha256Hex[]> {
    const all = [...this.stored];
    for (let at = 0; at < all.length; at += 2) {
      await this.#wait(life);
      yield all.slice(at, at + 2);
    }
  }

  async #remove(life: number, hash: Sha256Hex, mayRemove: () => boolean): Promise<number> {
    await this.#wait(life);
    if (!this.stored.has(hash) || !mayRemove()) return 0;
    this.#assertGarbage(hash);
    await this.#wait(life); // unlink(2) takes its time
    this.stored.delete(hash);
    this.removed += 1;
    return 1;
  }

  /** Kept, because a collector goes on after a removal that failed. */
  #assertGarbage(hash: Sha256Hex): void {
    const idle = this.now - (this.#used.get(hash) ?? -Infinity);
    if (!this.announced) this.failures.push('removed before it was known what is announced');
    if (this.announced?.has(hash)) this.failures.push('removed what is announced');
    if (this.isUnreadable) this.failures.push('removed in doubt');
    if (idle < KEEP) this.failures.push(`removed what was used ${idle} ms ago`);
  }

  async #readAnnounced(life: number): Promise<ReadonlySet<Sha256Hex>> {
    const announced = this.announced;
    await this.#wait(life);
    if (announced && !this.isUnreadable) return announced;
    throw new DroverError('CHUNKS_LOST', 'read what is announced: in doubt');
  }

  #store(life: number): WritableChunkStore {
    return {
      has: async (hash) => {
        await this.#wait(life);
        return this.stored.has(hash);
      },
      get: async (hash) => {
        await this.#wait(life);
        if (!this.stored.has(hash)) return null;
        this.#used.set(hash, this.now);
        return ONE;
      },
      put: async (hash) => {
        await this.#wait(life);
        this.stored.add(hash);
        await this.#wait(life);
        this.#used.set(hash, this.now);
      },
    };
  }

  #marks(life: number): GarbageMarks {
    return {
      load: () => Promise.resolve(new Map(this.#written)),
      put: async (hashes, mark) => {
        for (const hash of hashes) this.#written.set(hash, mark);
        await this.#wait(life);
        // A write that is not awaited reaches the disk or does not.
        if (this.#turns() % 2 === 0) this.#durable = new Map(this.#written);
      },
      delete: async (hashes, isUrgent) => {
        for (const hash of hashes) this.#written.delete(hash);
        await this.#wait(life);
        if (isUrgent) this.#durable = new Map(this.#written);
      },
    };
  }
}
