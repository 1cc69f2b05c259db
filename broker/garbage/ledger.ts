/**
 * Decides which chunks may go. Pure: events in, effects out, and one question that is asked again
 * right before each removal. A chunk is garbage when no announced bundle needs it and nobody has
 * written, read or wanted it for the whole keep time. Time is that of a broker which runs (see
 * marks.ts), never the clock on the wall: a clock that jumps makes nothing older.
 *
 * It must never call a chunk garbage while it does not know what is announced. A mark says "since
 * then nobody needs it": losing one only makes the chunk live longer, so marks may be lost, and
 * only taking one off has to be durable.
 * Sans-I/O.
 */

import type { Problem } from '../../shared/base/errors.ts';
import type { ClockMs, Sha256Hex } from '../../shared/base/ids.ts';

/** Milliseconds that a broker on this data folder has run. */
export type UptimeMs = ClockMs<'UptimeMs'>;

export interface GarbageMark {
  /** Not needed, not touched and known to be there since then. */
  readonly sinceMs: UptimeMs;
  /** It belonged to a bundle that was announced: no upload is waiting for its announcement. */
  readonly wasAnnounced: boolean;
}

export type GarbageEvent =
  /** Read completely: every chunk of everything that is announced. */
  | { readonly kind: 'announced'; readonly needed: ReadonlySet<Sha256Hex> }
  /** What is announced cannot be told. */
  | { readonly kind: 'doubt' }
  /** Written, read or wanted by somebody. */
  | { readonly kind: 'touched'; readonly hash: Sha256Hex }
  /** These are there; several of them make a listing. */
  | { readonly kind: 'listed'; readonly hashes: readonly Sha256Hex[] }
  | { readonly kind: 'listing-ended' }
  | { readonly kind: 'removed'; readonly hash: Sha256Hex };

export type GarbageEffect =
  | { readonly kind: 'mark'; readonly hashes: readonly Sha256Hex[]; readonly mark: GarbageMark }
  /** `isUrgent`: on the disk before who touched it goes on. */
  | {
      readonly kind: 'unmark';
      readonly hashes: readonly Sha256Hex[];
      readonly isUrgent: boolean;
    };

export interface GarbageTerms {
  readonly keepMs: number;
  /** What was withdrawn may go so early when room is wanted. */
  readonly earlyMs: number;
  readonly marksMax: number;
  /** Also needed, though not announced here. */
  isHeldBack(hash: Sha256Hex): boolean;
}

const NOTHING: readonly GarbageEffect[] = [];

export class GarbageLedger {
  readonly #terms: GarbageTerms;
  readonly #marks: Map<Sha256Hex, GarbageMark>;
  #needed: ReadonlySet<Sha256Hex> | null = null;
  /** The same, also through a doubt: what was announced, and is no upload. */
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

  /** Asked once more right before a chunk is removed. */
  mayRemove(hash: Sha256Hex, now: UptimeMs): boolean {
    const mark = this.#marks.get(hash);
    return mark !== undefined && now - mark.sinceMs >= this.#terms.keepMs && this.#isFree(hash);
  }

  /** The same when somebody stands there with a new chunk and there is no room. */
  mayMakeRoom(hash: Sha256Hex, now: UptimeMs): boolean {
    if (this.mayRemove(hash, now)) return true;
    const mark = this.#marks.get(hash);
    const isEarly = mark?.wasAnnounced === true && now - mark.sinceMs >= this.#terms.earlyMs;
    return isEarly && this.#isFree(hash);
  }

  /** Whose time is over, longest first. */
  due(now: UptimeMs): Sha256Hex[] {
    return this.#oldestFirst((hash) => this.mayRemove(hash, now));
  }

  /** What can go when room is wanted, longest first. */
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
    // One object for all: there may be many.
    const mark: GarbageMark = { sinceMs: now, wasAnnounced };
    for (const hash of fresh) this.#marks.set(hash, mark);
    return [{ kind: 'mark', hashes: fresh, mark }];
  }

  #unmark(hashes: readonly Sha256Hex[], isUrgent: boolean): readonly GarbageEffect[] {
    const gone = hashes.filter((hash) => this.#marks.delete(hash));
    return gone.length === 0 ? NOTHING : [{ kind: 'unmark', hashes: gone, isUrgent }];
  }

  /** A chunk that somebody else removed must not come back with an old mark. */
  #forgetAbsent(): readonly GarbageEffect[] {
    const seen = this.#seen;
    this.#seen = new Set();
    return this.#unmark(
      [...this.#marks.keys()].filter((hash) => !seen.has(hash)),
      false,
    );
  }
}

/** Garbage as the API and Prometheus show it, one for each place where chunks are. */
export interface GarbageView {
  /** `store`: our own; `engine`: what an engine of somebody else retains; `copies`: of that. */
  readonly place: 'store' | 'engine' | 'copies';
  readonly keep_s: number;
  /** Not needed, and waiting for the end of their keep time. */
  readonly pending_chunks: number;
  /** Since the start. */
  readonly removed_chunks: number;
  readonly removed_bytes: number;
  /** Why nothing is removed; null while all is well. */
  readonly problem: Problem | null;
}
