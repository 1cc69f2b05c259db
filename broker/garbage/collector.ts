/**
 * Removes the chunks of one place that nothing needs. It reads what is announced, lists what is
 * stored, asks the ledger (ledger.ts) and removes slowly, one chunk at a time. Every write and read
 * of a chunk runs inside `use`: a chunk that is being removed at that moment is then either kept,
 * or gone before the first byte is written.
 * The announcements are compared right before each removal, so no other part has to report a change
 * in time.
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

/** A place that holds chunks. */
export interface GarbagePlace {
  readonly name: GarbageView['place'];
  list(): AsyncIterable<readonly Sha256Hex[]>;
  /** @returns bytes that were freed; 0 when the chunk was kept or absent */
  remove(hash: Sha256Hex, mayRemove: () => boolean): Promise<number>;
}

/** The chunks that announced bundles need. */
export interface NeededChunks {
  /** Changes whenever the announcements change. */
  basis(): unknown;
  /** @throws DroverError when the announcements cannot be read: nothing is removed then */
  read(): Promise<ReadonlySet<Sha256Hex>>;
}

export interface GarbageOptions {
  readonly place: GarbagePlace;
  readonly needed: NeededChunks;
  readonly marks: GarbageMarks;
  readonly keepMs: number;
  readonly log: Log;
  uptimeMs(): UptimeMs;
  /** Makes the counted running time durable; called with each pass. */
  saveUptime(): Promise<void>;
  isHeldBack(hash: Sha256Hex): boolean;
  /** True while the announcements are unknown, such as between two connections. */
  isPaused(): boolean;
}

const UNREAD = Symbol('nothing was read yet');

export class GarbageCollector {
  readonly #options: GarbageOptions;
  readonly #ledger: GarbageLedger;
  /** The announcements that `#ledger` got last. */
  #basis: unknown = UNREAD;
  #problem: Problem | null = null;
  /** True when `#problem` was logged. */
  #isTold = false;
  #removal: { readonly hash: Sha256Hex; readonly ended: Promise<unknown> } | null = null;
  /** Marks that are being deleted from the disk. */
  readonly #saving = new Map<Sha256Hex, Promise<boolean>>();
  /**
   * Marks whose deletion failed, so that a power cut may bring them back; tried again in each pass.
   */
  readonly #unsynced = new Set<Sha256Hex>();
  #removed = { chunks: 0, bytes: 0 };
  #loop: Promise<void> | null = null;
  /** An announcement has arrived that was not read yet. */
  #hasNews = false;
  /** Another one arrived before it, and what that needed is unknown: all marks are too old. */
  #hasSkipped = false;
  #wake: () => void = () => undefined;
  #isClosed = false;
  /** How many uses of each chunk are running. */
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

  /** Starts the periodic passes. */
  run(): void {
    this.#loop ??= this.#runPasses();
  }

  /** Call when the announcements have changed: they are read now and not in the next pass. */
  announced(): void {
    this.#hasSkipped ||= this.#hasNews;
    this.#hasNews = true;
    this.#wake();
  }

  /**
   * Runs a write or a read of a chunk. The chunk stays until it ends, and then for the keep time.
   */
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

  /** A robot or another broker wants this chunk: it is not removed then. Never rejects. */
  async touch(hash: Sha256Hex): Promise<void> {
    const saving = this.#saving.get(hash);
    if (this.#ledger.isMarked(hash)) await this.#step({ kind: 'touched', hash });
    else if (saving) await saving;
    else if (this.#unsynced.has(hash)) await this.#unmark([hash], true);
    while (this.#removal?.hash === hash) await this.#removal.ended;
  }

  /** The store has no room for a chunk: chunks withdrawn an hour ago may be removed early. */
  async makeRoom(bytes: number): Promise<boolean> {
    const { uptimeMs } = this.#options;
    let freed = 0;
    for (const hash of this.#ledger.dueForRoom(uptimeMs())) {
      if (freed >= LIMITS.garbageRoomBytes || this.#isClosed) break;
      freed += await this.#remove(hash, () => this.#ledger.mayMakeRoom(hash, uptimeMs()));
    }
    return freed >= bytes;
  }

  /** Resolves when no removal is under way that was decided on an earlier announcement. */
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

  async #runPasses(): Promise<void> {
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
      // An announcement that came during the pass is read at once.
      if (this.#options.needed.basis() === basis) await this.#sleep(everyMs);
    }
  }

  /** One pass: reads the announcements and removes what is garbage. */
  async collect(): Promise<void> {
    const { place, uptimeMs, log, isPaused, saveUptime } = this.#options;
    // A failure does not end the pass: on a full disk it is needed most.
    await saveUptime().catch((error: unknown) => this.#noteDisk(error));
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

  /**
   * Removes one at a time, so that `touch` has one removal to wait for.
   * @returns bytes that were freed
   */
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

  /** @returns false when the announcements cannot be read */
  async #readNeeded(): Promise<boolean> {
    const { needed, log, place } = this.#options;
    if (this.#isCurrent()) return true;
    const basis = needed.basis();
    try {
      const hashes = await needed.read();
      if (needed.basis() !== basis) return false; // the next pass reads the newer one
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
      const isSame = problem.message === this.#problem?.message;
      // A new broker has no announcement: no chunk is removed, and there is nothing to warn of.
      const isFresh = problem.code === 'NOT_FOUND';
      // A relay gets an announcement before its chunks: a warning is due when they stay away.
      const isOnItsWay = problem.code === 'CHUNKS_LOST' && !isSame;
      const isTold = isSame && this.#isTold;
      this.#isTold = isTold || !(isFresh || isOnItsWay);
      const facts = { place: place.name, problem };
      if (this.#isTold && !isTold)
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

  /** A disk that takes no mark must not keep a chunk from its reader. */
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
