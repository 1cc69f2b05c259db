/**
 * Tracks which chunks a site lacks of what is announced, which of them a robot waits for, and which
 * the upstream does not have. Pure: hashes only. A chunk that is here is never wished for again,
 * and one that nobody announced never at all, whoever asks: otherwise a single robot could fill the
 * store. Sans-I/O.
 */

import type { Sha256Hex } from '../../shared/base/ids.ts';

export interface BundleChunks {
  readonly id: string;
  readonly needed: ReadonlySet<Sha256Hex>;
  /** Every index is here, so that `needed` is all of it. */
  readonly isKnown: boolean;
}

export interface BundleView {
  readonly id: string;
  /** Different chunks, as far as they are known. */
  readonly chunks: number;
  readonly missing: number;
  /** Of those, the ones that the upstream was asked for in vain. */
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

  /** @returns what is missing and was not before, in the bundle's order */
  learn(bundle: BundleChunks, missing: ReadonlySet<Sha256Hex>): Sha256Hex[] {
    this.#bundles.set(bundle.id, bundle);
    const fresh = [...missing].filter((hash) => !this.#missing.has(hash));
    for (const hash of fresh) this.#missing.add(hash);
    return fresh;
  }

  /** Only these are announced now. @returns what is no longer wished for */
  keepOnly(ids: readonly string[]): Sha256Hex[] {
    for (const id of this.#bundles.keys()) if (!ids.includes(id)) this.#bundles.delete(id);
    const gone = [...this.#missing].filter((hash) => !this.isNeeded(hash));
    for (const hash of gone) this.here(hash);
    return gone;
  }

  /** It is in the store. */
  here(hash: Sha256Hex): void {
    this.#missing.delete(hash);
    this.#awaited.delete(hash);
    this.#wants.delete(hash);
    this.#aside.delete(hash);
  }

  /** It was thought to be here and is not: a disk that rots. */
  lost(hash: Sha256Hex): void {
    this.#missing.add(hash);
  }

  /** A robot waits for it. @returns true when it has to be brought forward */
  awaited(hash: Sha256Hex): boolean {
    if (!this.#missing.has(hash) || this.#awaited.has(hash)) return false;
    this.#awaited.add(hash);
    this.#aside.delete(hash);
    return true;
  }

  /** The upstream is being asked with `want`. @returns those it was asked for often enough */
  wanted(hashes: readonly Sha256Hex[]): Sha256Hex[] {
    const enough = hashes.filter((hash) => {
      const wants = (this.#wants.get(hash) ?? 0) + 1;
      this.#wants.set(hash, wants);
      return wants >= this.#wantsMax;
    });
    for (const hash of enough) {
      this.#aside.add(hash);
      this.#wants.delete(hash);
      this.#awaited.delete(hash); // the next robot that asks brings it forward again
    }
    return enough;
  }

  /** All that is missing and not set aside, what robots wait for first. */
  get toPull(): Sha256Hex[] {
    const rest = [...this.#missing].filter((hash) => !this.#aside.has(hash));
    return [...new Set([...this.#awaited, ...rest])];
  }

  /** What was set aside is asked for again. @returns those chunks */
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
