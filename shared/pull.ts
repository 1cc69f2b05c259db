/**
 * Pulls a set of chunks over one link: an adaptive window of subscriptions, patience that follows
 * the link, `want` when nothing answers. Robots and site relays pull with this same code.
 *
 * No I/O: events go in, effects come out, time is a parameter. It must never ask for a chunk that
 * it was told is there, and never hold more in flight than the window.
 */

import type { EpochMs, Sha256Hex } from './ids.ts';
import { LIMITS } from './limits.ts';

export type PullEffect =
  | { readonly kind: 'subscribe'; readonly hashes: readonly Sha256Hex[] }
  | { readonly kind: 'unsubscribe'; readonly hashes: readonly Sha256Hex[] }
  | { readonly kind: 'want'; readonly hashes: readonly Sha256Hex[] }
  | { readonly kind: 'done' }
  | { readonly kind: 'gaveUp'; readonly hash: Sha256Hex; readonly attempts: number };

export interface PullOptions {
  /** Chunks still missing, in the order they should come; duplicates are dropped. */
  readonly missing: readonly Sha256Hex[];
  readonly chunkBytes: number;
  readonly windowMax?: number;
  readonly filtersPerSubscribeMax?: number;
  /** Bytes per second this pull may take; null for as fast as the link. */
  readonly bytesPerSecondMax?: number | null;
}

interface Asked {
  readonly firstAskedAtMs: EpochMs;
  askedAtMs: EpochMs;
  attempts: number;
}

export class ChunkPull {
  readonly #queue: Sha256Hex[];
  readonly #missing: Set<Sha256Hex>;
  readonly #asked = new Map<Sha256Hex, Asked>();
  readonly #windowMax: number;
  readonly #filtersMax: number;
  readonly #bytesPerMsMax: number | null;
  #window: number;
  #up = false;
  #ended = false;
  #grownBy = 0;
  #smoothMs: number | null = null;
  #deviationMs = 0;
  #nextAskAtMs: EpochMs = 0;

  constructor(options: PullOptions) {
    this.#missing = new Set(options.missing);
    this.#queue = [...this.#missing];
    const byBytes = Math.max(1, Math.floor(LIMITS.windowBytesMax / options.chunkBytes));
    this.#windowMax = Math.min(options.windowMax ?? LIMITS.windowChunksMax, byBytes);
    this.#window = Math.min(LIMITS.windowChunksStart, this.#windowMax);
    this.#filtersMax = options.filtersPerSubscribeMax ?? LIMITS.filtersPerSubscribeMax;
    const rate = options.bytesPerSecondMax ?? null;
    this.#bytesPerMsMax = rate === null ? null : rate / 1000;
  }

  get missingCount(): number {
    return this.#missing.size;
  }

  get windowChunks(): number {
    return this.#window;
  }

  isMissing(hash: Sha256Hex): boolean {
    return this.#missing.has(hash);
  }

  /** More to pull before it is done. `first` brings forward what still waits to be asked for. */
  add(hashes: readonly Sha256Hex[], place: 'first' | 'last', now: EpochMs): PullEffect[] {
    const mine = new Set(hashes.filter((hash) => !this.#asked.has(hash)));
    const others = this.#queue.filter((hash) => !mine.has(hash));
    const fresh = [...mine].filter((hash) => place === 'first' || !this.#missing.has(hash));
    const rest = place === 'first' ? others : this.#queue;
    const queue = place === 'first' ? [...fresh, ...rest] : [...rest, ...fresh];
    this.#queue.splice(0, this.#queue.length, ...queue);
    for (const hash of fresh) this.#missing.add(hash);
    return this.#fill(now);
  }

  /** The link is up and knows no subscription. */
  up(now: EpochMs): PullEffect[] {
    this.#up = true;
    if (this.#ended) return [];
    return this.#missing.size === 0 ? this.#end({ kind: 'done' }) : this.#fill(now);
  }

  /** The link went away: what was asked for is asked again, first, on the next one. */
  down(): void {
    this.#up = false;
    this.#queue.unshift(...this.#asked.keys());
    this.#asked.clear();
  }

  /** A chunk whose bytes hash to `hash` is safely kept. Unknown and repeated ones change nothing. */
  kept(hash: Sha256Hex, bytes: number, now: EpochMs): PullEffect[] {
    if (this.#ended || !this.#missing.delete(hash)) return [];
    const asked = this.#asked.get(hash);
    const effects: PullEffect[] = [];
    if (asked) {
      this.#asked.delete(hash);
      if (asked.attempts === 1) this.#learn(now - asked.firstAskedAtMs);
      effects.push({ kind: 'unsubscribe', hashes: [hash] });
    } else {
      const at = this.#queue.indexOf(hash);
      if (at >= 0) this.#queue.splice(at, 1);
    }
    if (this.#bytesPerMsMax !== null) {
      this.#nextAskAtMs = Math.max(this.#nextAskAtMs, now) + bytes / this.#bytesPerMsMax;
    }
    if (this.#missing.size === 0) return [...effects, ...this.#end({ kind: 'done' })];
    return [...effects, ...this.#fill(now)];
  }

  /** Call at `wakeAtMs`: asks again for what is late, and for what the rate held back. */
  timer(now: EpochMs): PullEffect[] {
    if (!this.#up || this.#ended) return [];
    const effects: PullEffect[] = [];
    const late = [...this.#asked].filter(([, asked]) => this.#deadlineOf(asked) <= now);
    for (const [hash, asked] of late) {
      if (asked.attempts < LIMITS.pullAttemptsMax) continue;
      return this.#end({ kind: 'gaveUp', hash, attempts: asked.attempts });
    }
    if (late.length > 0) {
      this.#window = Math.max(1, Math.floor(this.#window / 2));
      this.#grownBy = 0;
      const wanted = late.filter(([, a]) => a.attempts >= LIMITS.pullAttemptsBeforeWant);
      for (const [, asked] of late) {
        asked.attempts += 1;
        asked.askedAtMs = now;
      }
      effects.push(
        ...this.#grouped(
          'subscribe',
          late.map(([hash]) => hash),
        ),
      );
      if (wanted.length > 0) {
        const hashes = wanted.map(([hash]) => hash).slice(0, LIMITS.wantChunksMax);
        effects.push({ kind: 'want', hashes });
      }
    }
    return [...effects, ...this.#fill(now)];
  }

  /** The next instant `timer` has something to do; null while down or ended. */
  get wakeAtMs(): EpochMs | null {
    if (!this.#up || this.#ended) return null;
    const deadlines = [...this.#asked.values()].map((asked) => this.#deadlineOf(asked));
    const roomLeft = this.#asked.size < this.#window && this.#queue.length > 0;
    if (roomLeft && this.#bytesPerMsMax !== null) deadlines.push(this.#nextAskAtMs);
    return deadlines.length === 0 ? null : Math.min(...deadlines);
  }

  /** How long an answer may take now, in ms, before it is asked for again. */
  get patienceMs(): number {
    if (this.#smoothMs === null) return LIMITS.pullTimeoutMsStart;
    const measured = this.#smoothMs + 4 * this.#deviationMs;
    return Math.min(LIMITS.pullTimeoutMsMax, Math.max(LIMITS.pullTimeoutMsMin, measured));
  }

  #deadlineOf(asked: Asked): EpochMs {
    const patience = this.patienceMs * 2 ** (asked.attempts - 1);
    return asked.askedAtMs + Math.min(LIMITS.pullTimeoutMsMax, patience);
  }

  /** Smoothed answer time as in RFC 6298; an answer to a repeated question teaches nothing (Karn). */
  #learn(sampleMs: number): void {
    if (this.#smoothMs === null) {
      this.#smoothMs = sampleMs;
      this.#deviationMs = sampleMs / 2;
    } else {
      this.#deviationMs += (Math.abs(sampleMs - this.#smoothMs) - this.#deviationMs) / 4;
      this.#smoothMs += (sampleMs - this.#smoothMs) / 8;
    }
    this.#grownBy += 1;
    if (this.#grownBy >= this.#window && this.#window < this.#windowMax) {
      this.#window += 1;
      this.#grownBy = 0;
    }
  }

  #fill(now: EpochMs): PullEffect[] {
    if (!this.#up || this.#ended) return [];
    if (this.#bytesPerMsMax !== null && now < this.#nextAskAtMs) return [];
    // With a rate limit one chunk is paid for at a time; without, the whole window is used.
    const room = this.#window - this.#asked.size;
    const next = this.#queue.splice(0, this.#bytesPerMsMax === null ? room : Math.min(room, 1));
    for (const hash of next) {
      this.#asked.set(hash, { firstAskedAtMs: now, askedAtMs: now, attempts: 1 });
    }
    return this.#grouped('subscribe', next);
  }

  #grouped(kind: 'subscribe', hashes: readonly Sha256Hex[]): PullEffect[] {
    const groups: PullEffect[] = [];
    for (let at = 0; at < hashes.length; at += this.#filtersMax) {
      groups.push({ kind, hashes: hashes.slice(at, at + this.#filtersMax) });
    }
    return groups;
  }

  #end(last: PullEffect): PullEffect[] {
    this.#ended = true;
    const open = [...this.#asked.keys()];
    this.#asked.clear();
    return open.length > 0 ? [{ kind: 'unsubscribe', hashes: open }, last] : [last];
  }
}
