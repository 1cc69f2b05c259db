/**
 * Tracks which chunks of the announced bundles a site lacks, which of them a robot waits for, and
 * which of them the upstream does not have. A chunk that is stored is never asked for again, and
 * one that no announcement names never at all, whoever wants it: otherwise a single robot could
 * fill the store. Sans-I/O.
 */

import type { Sha256Hex } from '../../shared/base/ids.ts';

export interface BundleChunks {
  readonly id: string;
  readonly needed: ReadonlySet<Sha256Hex>;
  /** True when every index was read, so that `needed` is complete. */
  readonly isKnown: boolean;
}

export interface BundleView {
  readonly id: string;
  /** Distinct chunks, as far as the indexes were read. */
  readonly chunks: number;
  readonly missing: number;
  /** Of those, the chunks that the upstream did not deliver when asked. */
  readonly unavailable: number;
  readonly known: boolean;
}

export class SiteWishes {
  readonly #wantsMax: number;
  readonly #bundles = new Map<string, BundleChunks>();
  readonly #missing = new Set<Sha256Hex>();
  readonly #awaited = new Set<Sha256Hex>();
  readonly #wants = new Map<Sha256Hex, number>();
  readonly #aside = new Set<Sha256Hex>();

  /** @param wantsMax wants for one chunk that may stay unanswered before others go first */
  constructor(wantsMax: number) {
    this.#wantsMax = wantsMax;
  }

  isMissing(hash: Sha256Hex): boolean {
    return this.#missing.has(hash);
  }

  isNeeded(hash: Sha256Hex): boolean {
    return [...this.#bundles.values()].some(({ needed }) => needed.has(hash));
  }

  get missingCount(): number {
    return this.#missing.size;
  }

  /** @returns chunks that are missing now and were not before, in the order of the bundle */
  learn(bundle: BundleChunks, missing: ReadonlySet<Sha256Hex>): Sha256Hex[] {
    this.#bundles.set(bundle.id, bundle);
    const fresh = [...missing].filter((hash) => !this.#missing.has(hash));
    for (const hash of fresh) this.#missing.add(hash);
    return fresh;
  }

  /**
   * Forgets the rollouts that are not announced any more.
   * @returns chunks that are not missing any more
   */
  keepOnly(ids: readonly string[]): Sha256Hex[] {
    for (const id of this.#bundles.keys()) if (!ids.includes(id)) this.#bundles.delete(id);
    const gone = [...this.#missing].filter((hash) => !this.isNeeded(hash));
    for (const hash of gone) this.here(hash);
    return gone;
  }

  /** The chunk is in the store. */
  here(hash: Sha256Hex): void {
    this.#missing.delete(hash);
    this.#awaited.delete(hash);
    this.#wants.delete(hash);
    this.#aside.delete(hash);
  }

  /** The chunk was in the store and is gone: a disk that loses data. */
  lost(hash: Sha256Hex): void {
    this.#missing.add(hash);
  }

  /** A robot waits for this chunk. @returns true when it has to be fetched before others */
  awaited(hash: Sha256Hex): boolean {
    if (!this.#missing.has(hash) || this.#awaited.has(hash)) return false;
    this.#awaited.add(hash);
    this.#aside.delete(hash);
    return true;
  }

  /** Counts a `want` for each. @returns chunks that were wanted `wantsMax` times */
  wanted(hashes: readonly Sha256Hex[]): Sha256Hex[] {
    const enough = hashes.filter((hash) => {
      const wants = (this.#wants.get(hash) ?? 0) + 1;
      this.#wants.set(hash, wants);
      return wants >= this.#wantsMax;
    });
    for (const hash of enough) {
      this.#aside.add(hash);
      this.#wants.delete(hash);
      this.#awaited.delete(hash); // the next robot that asks moves it to the front again
    }
    return enough;
  }

  /** All missing chunks that are not set aside; those that robots wait for come first. */
  get toPull(): Sha256Hex[] {
    const rest = [...this.#missing].filter((hash) => !this.#aside.has(hash));
    return [...new Set([...this.#awaited, ...rest])];
  }

  /** Takes back the chunks that were set aside. @returns them */
  retry(): Sha256Hex[] {
    const again = [...this.#aside];
    this.#aside.clear();
    return again;
  }

  views(): BundleView[] {
    return [...this.#bundles.values()].map(({ id, needed, isKnown }) => {
      const missing = [...needed].filter((hash) => this.#missing.has(hash));
      const unavailable = missing.filter((hash) => this.#aside.has(hash)).length;
      return { id, chunks: needed.size, missing: missing.length, unavailable, known: isKnown };
    });
  }
}
