/**
 * Takes away the chunks that nobody needs, at one place: looks what is announced and what is there,
 * asks the ledger (ledger.ts), and removes slowly, one chunk at a time. Whoever writes or
 * reads a chunk does it inside `use`: a chunk that is being removed at that instant is then either
 * kept, or gone before the first byte is written.
 *
 * What is announced is compared right before each removal, so nothing has to be told in time.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import {
  GarbageLedger,
  type GarbageEffect,
  type GarbageEvent,
  type GarbageTerms,
  type GarbageView,
  type GarbageMark,
  type UptimeMs,
} from './ledger.ts';
import type { GarbageMarks } from './marks.ts';

/** Where chunks are. */
export interface GarbagePlace {
  readonly name: GarbageView['place'];
  list(): AsyncIterable<readonly Sha256Hex[]>;
  /** @returns bytes that are free now; 0 when it was left or not there */
  remove(hash: Sha256Hex, mayRemove: () => boolean): Promise<number>;
}

/** What is announced, whoever says so. */
export interface NeededChunks {
  /** Another value whenever something else is announced. */
  basis(): unknown;
  /** @throws DroverError when it cannot be told: nothing is removed then */
  read(): Promise<ReadonlySet<Sha256Hex>>;
}

export interface GarbageOptions {
  readonly place: GarbagePlace;
  readonly needed: NeededChunks;
  readonly marks: GarbageMarks;
  readonly keepMs: number;
  readonly log: Log;
  uptimeMs(): UptimeMs;
  /** Durable now and then, with each look. */
  saveUptime(): Promise<void>;
  isHeldBack(hash: Sha256Hex): boolean;
  /** True while nobody can tell what is announced, as between two connections. */
  isPaused(): boolean;
}

const UNREAD = Symbol('nothing was read yet');

export class GarbageCollector {
  readonly #options: GarbageOptions;
  readonly #ledger: GarbageLedger;
  /** What `#ledger` knows was read from this. */
  #basis: unknown = UNREAD;
  #problem: Problem | null = null;
  #removal: { readonly hash: Sha256Hex; readonly ended: Promise<unknown> } | null = null;
  /** Marks on their way off the disk. */
  readonly #saving = new Map<Sha256Hex, Promise<boolean>>();
  /** Taken off here, and after a power cut perhaps back: tried again with each look. */
  readonly #unsynced = new Set<Sha256Hex>();
  #removed = { chunks: 0, bytes: 0 };
  #loop: Promise<void> | null = null;
  /** Something is announced that has not been read yet. */
  #hasNews = false;
  /** So was something before it, and what that needed is not known: all marks are too old. */
  #hasSkipped = false;
  #wake: () => void = () => undefined;
  #isClosed = false;
  /** How often each chunk is being used now. */
  readonly #inUse = new Map<Sha256Hex, number>();

  private constructor(options: GarbageOptions, marks: ReadonlyMap<Sha256Hex, GarbageMark>) {
    const { keepMs, isHeldBack, uptimeMs } = options;
    const earlyMs = Math.min(keepMs, LIMITS.garbageEarlyMs);
    const terms: GarbageTerms = {
      ...{ keepMs, earlyMs, marksMax: LIMITS.garbageMarksMax },
      isHeldBack: (hash) => this.#inUse.has(hash) || isHeldBack(hash),
    };
    this.#options = options;
    this.#ledger = new GarbageLedger(terms, marks, uptimeMs());
  }

  static async open(options: GarbageOptions): Promise<GarbageCollector> {
    return new GarbageCollector(options, await options.marks.load());
  }

  /** Looks by itself from now on. */
  run(): void {
    this.#loop ??= this.#lookAgainAndAgain();
  }

  /** Something else is announced: it is read now and not at the next look. */
  announced(): void {
    this.#hasSkipped ||= this.#hasNews;
    this.#hasNews = true;
    this.#wake();
  }

  /** Writes or reads a chunk. It stays until that has ended, and then for the keep time. */
  async use<T>(hash: Sha256Hex, work: () => Promise<T>): Promise<T> {
    this.#inUse.set(hash, (this.#inUse.get(hash) ?? 0) + 1);
    try {
      await this.touch(hash);
      return await work();
    } finally {
      const others = (this.#inUse.get(hash) ?? 1) - 1;
      if (others === 0) this.#inUse.delete(hash);
      else this.#inUse.set(hash, others);
    }
  }

  /** Somebody wants this chunk. Never rejects; it is not on its way out then. */
  async touch(hash: Sha256Hex): Promise<void> {
    const saving = this.#saving.get(hash);
    if (this.#ledger.isMarked(hash)) await this.#step({ kind: 'touched', hash });
    else if (saving) await saving;
    else if (this.#unsynced.has(hash)) await this.#unmark([hash], true);
    while (this.#removal?.hash === hash) await this.#removal.ended;
  }

  /** There is no room for a chunk: what was withdrawn an hour ago may go early. */
  async makeRoom(bytes: number): Promise<boolean> {
    const { uptimeMs } = this.#options;
    let freed = 0;
    for (const hash of this.#ledger.dueForRoom(uptimeMs())) {
      if (freed >= LIMITS.garbageRoomBytes || this.#isClosed) break;
      freed += await this.#remove(hash, () => this.#ledger.mayMakeRoom(hash, uptimeMs()));
    }
    return freed >= bytes;
  }

  /** Resolves when no removal is under way that began with an earlier announcement. */
  async settled(): Promise<void> {
    await this.#removal?.ended;
  }

  view(): GarbageView {
    const { place, keepMs } = this.#options;
    return {
      place: place.name,
      keep_s: keepMs / 1000,
      pending_chunks: this.#ledger.marked,
      removed_chunks: this.#removed.chunks,
      removed_bytes: this.#removed.bytes,
      problem: this.#problem,
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#wake();
    await this.#loop;
    await this.#removal?.ended;
  }

  async #lookAgainAndAgain(): Promise<void> {
    const { keepMs, log, place } = this.#options;
    const everyMs = Math.min(LIMITS.garbageLookMs, keepMs / LIMITS.garbageLooksPerKeep);
    while (!this.#isClosed) {
      const basis = this.#options.needed.basis();
      try {
        await this.collect();
      } catch (error) {
        log.error(
          { place: place.name, problem: toProblem(error) },
          'could not collect unreferenced chunks',
        );
      }
      // News that came meanwhile are read at once.
      if (this.#options.needed.basis() === basis) await this.#sleep(everyMs);
    }
  }

  /** One look, and what it finds is removed. */
  async collect(): Promise<void> {
    const { place, uptimeMs, log, isPaused, saveUptime } = this.#options;
    await saveUptime().catch((error: unknown) => this.#noteDisk(error)); // full: the more reason
    if (isPaused() || !(await this.#readNeeded())) return;
    for await (const hashes of place.list()) {
      if (this.#isClosed || !this.#isCurrent()) return;
      await this.#step({ kind: 'listed', hashes });
    }
    await this.#step({ kind: 'listing-ended' });
    const before = this.#removed;
    await this.#removeAll(this.#ledger.due(uptimeMs()));
    if (this.#unsynced.size > 0) await this.#unmark([...this.#unsynced], true);
    const chunks = this.#removed.chunks - before.chunks;
    const bytes = this.#removed.bytes - before.bytes;
    const facts = { place: place.name, chunks, bytes };
    if (chunks > 0) log.info(facts, 'removed unreferenced chunks');
  }

  async #removeAll(due: readonly Sha256Hex[]): Promise<void> {
    const { uptimeMs } = this.#options;
    for (const [at, hash] of due.entries()) {
      if (this.#isClosed || !this.#isCurrent()) return;
      await this.#remove(hash, () => this.#ledger.mayRemove(hash, uptimeMs()));
      if (at % LIMITS.garbageBatchMax === LIMITS.garbageBatchMax - 1) {
        await this.#sleep(LIMITS.garbagePauseMs);
      }
    }
  }

  /** One at a time, so that `touch` has one to wait for. @returns bytes that are free now */
  async #remove(hash: Sha256Hex, isGarbage: () => boolean): Promise<number> {
    while (this.#removal) await this.#removal.ended;
    const mayRemove = (): boolean => this.#isCurrent() && isGarbage();
    if (!mayRemove()) return 0;
    const removal = this.#options.place.remove(hash, mayRemove);
    const ended = removal.catch(() => 0).then(() => (this.#removal = null));
    this.#removal = { hash, ended };
    const bytes = await removal.catch((error: unknown) => this.#note(error));
    await ended;
    if (bytes === 0) return 0;
    const { chunks } = this.#removed;
    this.#removed = { chunks: chunks + 1, bytes: this.#removed.bytes + bytes };
    await this.#step({ kind: 'removed', hash });
    return bytes;
  }

  #note(error: unknown): number {
    const { place, log } = this.#options;
    log.warn(
      { place: place.name, problem: toProblem(error) },
      'could not remove chunk, trying later',
    );
    return 0;
  }

  #isCurrent(): boolean {
    const { needed, isPaused } = this.#options;
    return !isPaused() && needed.basis() === this.#basis;
  }

  /** @returns false when it cannot be told what is announced */
  async #readNeeded(): Promise<boolean> {
    const { needed, log, place } = this.#options;
    if (this.#isCurrent()) return true;
    const basis = needed.basis();
    try {
      const hashes = await needed.read();
      if (needed.basis() !== basis) return false; // the next look reads that one
      const hasSkipped = this.#hasSkipped;
      this.#hasNews = this.#hasSkipped = false;
      if (hasSkipped) await this.#step({ kind: 'doubt' });
      await this.#step({ kind: 'announced', needed: hashes });
      this.#basis = basis;
      this.#problem = null;
      return true;
    } catch (error) {
      this.#basis = UNREAD;
      if (error instanceof DroverError && error.code === 'BROKER_UNREACHABLE') return false;
      const problem = toProblem(error);
      const isNews = problem.message !== this.#problem?.message;
      // A fresh broker has nothing announced: no chunk goes, and there is nothing to warn of.
      const isFresh = problem.code === 'NOT_FOUND';
      const facts = { place: place.name, problem };
      if (isNews && !isFresh)
        log.warn(facts, 'no chunk is removed while it is unknown which are needed');
      this.#problem = problem;
      await this.#step({ kind: 'doubt' });
      return false;
    }
  }

  async #step(event: GarbageEvent): Promise<void> {
    const effects = this.#ledger.step(event, this.#options.uptimeMs());
    await Promise.all(effects.map((effect) => this.#keep(effect)));
  }

  /** A disk that takes no note must not keep a chunk from its reader. */
  async #keep(effect: GarbageEffect): Promise<void> {
    if (effect.kind === 'unmark') return await this.#unmark(effect.hashes, effect.isUrgent);
    try {
      await this.#options.marks.put(effect.hashes, effect.mark);
    } catch (error) {
      this.#noteDisk(error);
    }
  }

  async #unmark(hashes: readonly Sha256Hex[], isUrgent: boolean): Promise<void> {
    for (const hash of hashes) this.#unsynced.add(hash);
    const written = this.#options.marks.delete(hashes, isUrgent).then(
      () => true,
      (error: unknown) => this.#noteDisk(error),
    );
    if (!isUrgent) return void (await written);
    for (const hash of hashes) this.#saving.set(hash, written);
    const isSaved = await written;
    for (const hash of hashes) {
      if (isSaved) this.#unsynced.delete(hash);
      if (this.#saving.get(hash) === written) this.#saving.delete(hash);
    }
  }

  #noteDisk(error: unknown): false {
    const { log, place } = this.#options;
    log.warn({ place: place.name, problem: toProblem(error) }, 'could not write garbage marks');
    return false;
  }

  async #sleep(forMs: number): Promise<void> {
    if (this.#isClosed) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, forMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
