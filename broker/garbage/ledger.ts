/**
 * Decides which chunks may be removed. Events go in, effects come out, and `mayRemove` is asked
 * again right before each removal. A chunk is garbage when no announced bundle needs it and nothing
 * has written, read or wanted it for the whole keep time. Time is the running time of the broker
 * (see marks.ts), not the wall clock: a clock that jumps makes no chunk older.
 * It must never call a chunk garbage while the announcements are unknown. A mark says "not needed
 * since": losing one only makes the chunk live longer, so marks may be lost, and only deleting one
 * has to be durable. Sans-I/O.
 */

import type { Problem } from '../../shared/base/errors.ts';
import type { ClockMs, Sha256Hex } from '../../shared/base/ids.ts';

/** Milliseconds for which a broker has run on this data folder. */
export type UptimeMs = ClockMs<'UptimeMs'>;

export interface GarbageMark {
  /** Since when the chunk is stored, not needed and not used. */
  readonly sinceMs: UptimeMs;
  /** It belonged to an announced bundle: no upload is waiting for its announcement. */
  readonly wasAnnounced: boolean;
}

export type GarbageEvent =
  /** Every chunk of every announced bundle; the reading was complete. */
  | { readonly kind: 'announced'; readonly needed: ReadonlySet<Sha256Hex> }
  /** The announcements cannot be read. */
  | { readonly kind: 'doubt' }
  /** The chunk was written, read or wanted. */
  | { readonly kind: 'touched'; readonly hash: Sha256Hex }
  /** These chunks are stored; a listing comes in several of them. */
  | { readonly kind: 'listed'; readonly hashes: readonly Sha256Hex[] }
  | { readonly kind: 'listing-ended' }
  | { readonly kind: 'removed'; readonly hash: Sha256Hex };

export type GarbageEffect =
  | { readonly kind: 'mark'; readonly hashes: readonly Sha256Hex[]; readonly mark: GarbageMark }
  /** `isUrgent`: the mark is durable before the use of the chunk goes on. */
  | {
      readonly kind: 'unmark';
      readonly hashes: readonly Sha256Hex[];
      readonly isUrgent: boolean;
    };

export interface GarbageTerms {
  readonly keepMs: number;
  /** A withdrawn chunk may be removed after this time when room is wanted. */
  readonly earlyMs: number;
  readonly marksMax: number;
  /** True for a chunk that something other than an announcement needs. */
  isHeldBack(hash: Sha256Hex): boolean;
}

const NOTHING: readonly GarbageEffect[] = [];

export class GarbageLedger {
  readonly #terms: GarbageTerms;
  readonly #marks: Map<Sha256Hex, GarbageMark>;
  #needed: ReadonlySet<Sha256Hex> | null = null;
  /** The same, kept while the announcements are unknown: these chunks are not from an upload. */
  #wasNeeded: ReadonlySet<Sha256Hex> = new Set();
  #seen = new Set<Sha256Hex>();

  /** @param marks of an earlier run; none is older than `now` */
  constructor(terms: GarbageTerms, marks: ReadonlyMap<Sha256Hex, GarbageMark>, now: UptimeMs) {
    this.#terms = terms;
    this.#marks = new Map();
    for (const [hash, mark] of marks) {
      this.#marks.set(hash, { ...mark, sinceMs: Math.min(mark.sinceMs, now) });
    }
  }

  get marked(): number {
    return this.#marks.size;
  }

  isMarked(hash: Sha256Hex): boolean {
    return this.#marks.has(hash);
  }

  step(event: GarbageEvent, now: UptimeMs): readonly GarbageEffect[] {
    switch (event.kind) {
      case 'announced':
        return this.#announce(event.needed, now);
      case 'doubt':
        this.#needed = null;
        return this.#unmark([...this.#marks.keys()], true);
      case 'touched':
        return this.#unmark([event.hash], true);
      case 'removed':
        return this.#unmark([event.hash], false);
      case 'listed':
        return this.#list(event.hashes, now);
      case 'listing-ended':
        return this.#forgetAbsent();
    }
  }

  /** Asked again right before a chunk is removed. */
  mayRemove(hash: Sha256Hex, now: UptimeMs): boolean {
    const mark = this.#marks.get(hash);
    return mark !== undefined && now - mark.sinceMs >= this.#terms.keepMs && this.#isFree(hash);
  }

  /** The same for a store that has no room for a new chunk. */
  mayMakeRoom(hash: Sha256Hex, now: UptimeMs): boolean {
    if (this.mayRemove(hash, now)) return true;
    const mark = this.#marks.get(hash);
    const isEarly = mark?.wasAnnounced === true && now - mark.sinceMs >= this.#terms.earlyMs;
    return isEarly && this.#isFree(hash);
  }

  /** Chunks whose keep time is over, longest first. */
  due(now: UptimeMs): Sha256Hex[] {
    return this.#oldestFirst((hash) => this.mayRemove(hash, now));
  }

  /** Chunks that may be removed to make room, longest first. */
  dueForRoom(now: UptimeMs): Sha256Hex[] {
    return this.#oldestFirst((hash) => this.mayMakeRoom(hash, now));
  }

  #isFree(hash: Sha256Hex): boolean {
    return this.#needed?.has(hash) === false && !this.#terms.isHeldBack(hash);
  }

  #oldestFirst(may: (hash: Sha256Hex) => boolean): Sha256Hex[] {
    const found = [...this.#marks].filter(([hash]) => may(hash));
    return found.sort(([, a], [, b]) => a.sinceMs - b.sinceMs).map(([hash]) => hash);
  }

  #announce(needed: ReadonlySet<Sha256Hex>, now: UptimeMs): readonly GarbageEffect[] {
    const before = this.#wasNeeded;
    this.#needed = this.#wasNeeded = needed;
    const wanted = [...this.#marks.keys()].filter((hash) => needed.has(hash));
    const withdrawn = [...before].filter((hash) => !needed.has(hash));
    return [...this.#unmark(wanted, true), ...this.#mark(withdrawn, now, true)];
  }

  #list(hashes: readonly Sha256Hex[], now: UptimeMs): readonly GarbageEffect[] {
    for (const hash of hashes) this.#seen.add(hash);
    const heldBack = hashes.filter((hash) => this.#marks.has(hash) && !this.#isFree(hash));
    return [...this.#unmark(heldBack, true), ...this.#mark(hashes, now, false)];
  }

  #mark(
    hashes: readonly Sha256Hex[],
    now: UptimeMs,
    wasAnnounced: boolean,
  ): readonly GarbageEffect[] {
    const room = Math.max(0, this.#terms.marksMax - this.#marks.size);
    const fresh = hashes
      .filter((hash) => !this.#marks.has(hash) && this.#isFree(hash))
      .slice(0, room);
    if (fresh.length === 0) return NOTHING;
    // One object for all chunks: there may be many.
    const mark: GarbageMark = { sinceMs: now, wasAnnounced };
    for (const hash of fresh) this.#marks.set(hash, mark);
    return [{ kind: 'mark', hashes: fresh, mark }];
  }

  #unmark(hashes: readonly Sha256Hex[], isUrgent: boolean): readonly GarbageEffect[] {
    const gone = hashes.filter((hash) => this.#marks.delete(hash));
    return gone.length === 0 ? NOTHING : [{ kind: 'unmark', hashes: gone, isUrgent }];
  }

  /** A chunk that was removed by other means must not return with an old mark. */
  #forgetAbsent(): readonly GarbageEffect[] {
    const seen = this.#seen;
    this.#seen = new Set();
    return this.#unmark(
      [...this.#marks.keys()].filter((hash) => !seen.has(hash)),
      false,
    );
  }
}

/** Garbage as the API and Prometheus show it, one for each place. */
export interface GarbageView {
  /**
   * `store`: our own; `engine`: chunks that an external engine retains; `copies`: our copies of
   * those.
   */
  readonly place: 'store' | 'engine' | 'copies';
  readonly keep_s: number;
  /** Chunks that are not needed and whose keep time is not over. */
  readonly pending_chunks: number;
  /** Since the program started. */
  readonly removed_chunks: number;
  readonly removed_bytes: number;
  /** Why nothing is removed; null when collection works. */
  readonly problem: Problem | null;
}
