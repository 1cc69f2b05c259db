/**
 * Pulls a set of chunks over one link: an adaptive window of subscriptions, time-outs that follow
 * the link, and `want` when nothing answers. Robots and site relays pull with this same code.
 * A slow chunk is not late. It may wait behind others on a link of 20 kbit/s for minutes, and
 * another request would only put another copy behind it. So while something arrives, only a chunk
 * is late that a window of later requests has overtaken.
 * Events go in, effects come out, time is a parameter. It must never request a chunk that is
 * already here, and never have more requests open than the window. Sans-I/O.
 */

import type { MonoMs, Sha256Hex } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';

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
  /** In one SUBSCRIBE or UNSUBSCRIBE. */
  readonly filtersPerSubscribeMax?: number;
  /** Bytes of chunks per second that this pull may ask for; null for as fast as the link. */
  readonly bytesPerSecondMax?: number | null;
}

/** A chunk whose answer takes longer than any before it, while bytes arrive. */
export interface SlowChunk {
  readonly hash: Sha256Hex;
  readonly sinceMs: MonoMs;
}

interface Asked {
  readonly firstAskedAtMs: MonoMs;
  /** The how manyth question of the pull this is. */
  order: number;
  /** How many later requests were answered sooner. */
  overtakenBy: number;
  askedAtMs: MonoMs;
  attempts: number;
}

/** [P-7.4] [P-7.10] */
export class ChunkPull {
  readonly #queue: Sha256Hex[];
  readonly #missing: Set<Sha256Hex>;
  readonly #asked = new Map<Sha256Hex, Asked>();
  /** Kept, and still subscribed to: given up some at a time, a packet for each would cost as much
   * as its question. */
  readonly #leaving = new Set<Sha256Hex>();
  readonly #windowMax: number;
  readonly #chunkBytes: number;
  readonly #filtersMax: number;
  /** Time that the rate wants between two questions; 0 without one. */
  readonly #everyMs: number;
  #window: number;
  #up = false;
  #ended = false;
  #smoothMs: number | null = null;
  #deviationMs = 0;
  #nextAskAtMs: MonoMs = 0;
  #order = 0;
  #heardAtMs: MonoMs = -Infinity;

  constructor(options: PullOptions) {
    this.#missing = new Set(options.missing);
    this.#queue = [...this.#missing];
    const byBytes = Math.max(1, Math.floor(LIMITS.windowBytesMax / options.chunkBytes));
    this.#windowMax = Math.min(options.windowMax ?? LIMITS.windowChunksMax, byBytes);
    this.#chunkBytes = options.chunkBytes;
    this.#window = Math.min(LIMITS.windowChunksStart, this.#windowMax);
    this.#filtersMax = options.filtersPerSubscribeMax ?? LIMITS.filtersPerSubscribeMax;
    const rate = options.bytesPerSecondMax ?? null;
    this.#everyMs = rate === null ? 0 : (options.chunkBytes * 1000) / rate;
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
  add(hashes: readonly Sha256Hex[], place: 'first' | 'last', now: MonoMs): PullEffect[] {
    const mine = new Set(hashes.filter((hash) => !this.#asked.has(hash)));
    const others = this.#queue.filter((hash) => !mine.has(hash));
    const fresh = [...mine].filter((hash) => place === 'first' || !this.#missing.has(hash));
    const rest = place === 'first' ? others : this.#queue;
    const queue = place === 'first' ? [...fresh, ...rest] : [...rest, ...fresh];
    this.#queue.splice(0, this.#queue.length, ...queue);
    for (const hash of fresh) this.#missing.add(hash);
    return this.#fill(now);
  }

  /** The link is up and has no subscription. */
  up(now: MonoMs): PullEffect[] {
    this.#up = true;
    if (this.#ended) return [];
    return this.#missing.size === 0 ? this.#end({ kind: 'done' }) : this.#fill(now);
  }

  /** The link went away: open requests are repeated first on the next one. */
  down(): void {
    this.#up = false;
    this.#heardAtMs = -Infinity; // the next link is measured by its own answers
    this.#queue.unshift(...this.#asked.keys());
    this.#asked.clear();
    this.#leaving.clear();
  }

  /** A chunk whose bytes hash to `hash` is stored. Unknown and repeated ones change nothing. */
  kept(hash: Sha256Hex, bytes: number, now: MonoMs): PullEffect[] {
    if (this.#ended || !this.#missing.delete(hash)) return [];
    const asked = this.#asked.get(hash);
    this.#heardAtMs = now;
    if (asked) {
      this.#asked.delete(hash);
      this.#leaving.add(hash);
      for (const other of this.#asked.values())
        if (other.order < asked.order) other.overtakenBy += 1;
      if (asked.attempts === 1) this.#learn(now - asked.firstAskedAtMs);
      this.#nextAskAtMs -= this.#everyMs * (1 - bytes / this.#chunkBytes); // an index is small
    } else {
      const at = this.#queue.indexOf(hash);
      if (at >= 0) this.#queue.splice(at, 1);
    }
    if (this.#missing.size === 0) return this.#end({ kind: 'done' });
    return [...this.#fill(now), ...this.#leave()];
  }

  /**
   * Call at `wakeAtMs`: repeats late requests, and sends those that the rate held back. [P-7.5]
   * @param heardAtMs when a part of a message last arrived, for links that can tell
   */
  timer(now: MonoMs, heardAtMs: MonoMs = -Infinity): PullEffect[] {
    if (!this.#up || this.#ended) return [];
    const effects: PullEffect[] = [];
    this.#heardAtMs = Math.max(this.#heardAtMs, heardAtMs);
    const late = [...this.#asked].filter(([, asked]) => this.#deadlineOf(asked) <= now);
    for (const [hash, asked] of late) {
      if (asked.attempts < LIMITS.pullAttemptsMax) continue;
      return this.#end({ kind: 'gaveUp', hash, attempts: asked.attempts });
    }
    if (late.length > 0 || this.slowest(now) !== null) this.#shrink();
    if (late.length > 0) {
      this.#charge(late.length, now);
      const wanted = late.filter(([, a]) => a.attempts >= LIMITS.pullAttemptsBeforeWant);
      for (const [, asked] of late) {
        asked.attempts += 1;
        asked.askedAtMs = now;
        asked.order = this.#order += 1;
        asked.overtakenBy = 0;
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
  get wakeAtMs(): MonoMs | null {
    if (!this.#up || this.#ended) return null;
    const deadlines = [...this.#asked.values()].map((asked) => this.#deadlineOf(asked));
    const roomLeft = this.#asked.size < this.#window && this.#queue.length > 0;
    if (roomLeft && this.#everyMs > 0) deadlines.push(this.#nextAskAtMs);
    return deadlines.length === 0 ? null : Math.min(...deadlines);
  }

  /** How long an answer may take now, in ms, before the request is repeated. */
  get patienceMs(): number {
    if (this.#smoothMs === null) return LIMITS.pullTimeoutMsStart;
    const measured = this.#smoothMs + 4 * this.#deviationMs;
    return Math.min(LIMITS.pullTimeoutMsMax, Math.max(LIMITS.pullTimeoutMsMin, measured));
  }

  /** The oldest request whose answer is overdue and excused; shown to the operator. */
  slowest(now: MonoMs): SlowChunk | null {
    if (!this.#up || this.#ended) return null;
    for (const [hash, asked] of this.#asked) {
      const isOverdue = asked.askedAtMs + this.#patienceWith(asked) <= now;
      if (isOverdue && this.#deadlineOf(asked) > now)
        return { hash, sinceMs: asked.firstAskedAtMs };
    }
    return null;
  }

  #deadlineOf(asked: Asked): MonoMs {
    const isOvertaken = asked.overtakenBy >= LIMITS.pullOvertakenMin;
    const sinceMs = isOvertaken ? asked.askedAtMs : Math.max(asked.askedAtMs, this.#heardAtMs);
    return sinceMs + this.#patienceWith(asked);
  }

  #patienceWith({ attempts }: Asked): number {
    return Math.min(LIMITS.pullTimeoutMsMax, this.patienceMs * 2 ** (attempts - 1));
  }

  /** Smoothed answer time as in RFC 6298; an answer to a repeated question teaches nothing (Karn). */
  #learn(sampleMs: number): void {
    const isSlow = sampleMs > this.patienceMs;
    if (this.#smoothMs === null) {
      this.#smoothMs = sampleMs;
      this.#deviationMs = sampleMs / 2;
    } else {
      this.#deviationMs += (Math.abs(sampleMs - this.#smoothMs) - this.#deviationMs) / 4;
      this.#smoothMs += (sampleMs - this.#smoothMs) / 8;
    }
    if (isSlow) this.#shrink();
    // Quickly: how much a link carries is TCP's to find out, and the window only out of its way.
    else this.#window = Math.min(this.#windowMax, this.#window + 1);
  }

  /** To two and not to one, where the link would stand still for a round trip between chunks. */
  #shrink(): void {
    this.#window = Math.min(this.#window, Math.max(2, Math.floor(this.#window / 2)));
  }

  #fill(now: MonoMs): PullEffect[] {
    if (!this.#up || this.#ended) return [];
    if (this.#everyMs > 0 && now < this.#nextAskAtMs) return [];
    const room = Math.max(0, this.#window - this.#asked.size);
    const next = this.#queue.splice(0, this.#everyMs > 0 ? Math.min(room, 1) : room);
    if (next.length > 0) this.#charge(next.length, now);
    for (const hash of next) {
      this.#leaving.delete(hash); // lost since it was kept
      const times = { firstAskedAtMs: now, askedAtMs: now };
      this.#asked.set(hash, { ...times, attempts: 1, order: (this.#order += 1), overtakenBy: 0 });
    }
    // One by one: a broker may answer several requests in parallel, and the second filter of one
    // after requests that came much later. So answers come in the order of these requests.
    return next.map((hash) => ({ kind: 'subscribe', hashes: [hash] }));
  }

  /**
   * A request is paid for when it is sent: if it were paid with the answer, each round trip would
   * be lost.
   */
  #charge(chunks: number, now: MonoMs): void {
    const dueAtMs = Math.max(this.#nextAskAtMs, now - LIMITS.rateBurstMs); // a timer may be late
    this.#nextAskAtMs = dueAtMs + chunks * this.#everyMs;
  }

  #leave(): PullEffect[] {
    if (this.#leaving.size < this.#filtersMax) return [];
    const hashes = [...this.#leaving];
    this.#leaving.clear();
    return [{ kind: 'unsubscribe', hashes }];
  }

  #grouped(kind: 'subscribe' | 'unsubscribe', hashes: readonly Sha256Hex[]): PullEffect[] {
    const groups: PullEffect[] = [];
    for (let at = 0; at < hashes.length; at += this.#filtersMax) {
      groups.push({ kind, hashes: hashes.slice(at, at + this.#filtersMax) });
    }
    return groups;
  }

  #end(last: PullEffect): PullEffect[] {
    this.#ended = true;
    const open = [...this.#leaving, ...this.#asked.keys()];
    this.#leaving.clear();
    this.#asked.clear();
    return [...this.#grouped('unsubscribe', open), last];
  }
}
