/** Chunks that a member gets from its leader: a few at once, each until it came or is given up. */

import type { Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { chunkTopic } from '../../shared/formats/topics.ts';
import type { Asking } from './secure-link.ts';

/** Awaited before the next one is fetched: a slow disk slows the link. */
type Deliver = (topic: string, bytes: Uint8Array) => Promise<void>;

export class ChunkFetch {
  readonly #link: Asking;
  readonly #deliver: Deliver;
  /** In the order of the questions; its controller ends one that is fetched. */
  readonly #wanted = new Map<Sha256Hex, AbortController>();
  readonly #fetching = new Set<Sha256Hex>();
  #isClosed = false;

  constructor(link: Asking, deliver: Deliver) {
    this.#link = link;
    this.#deliver = deliver;
  }

  want(hash: Sha256Hex): void {
    if (this.#isClosed || this.#wanted.has(hash)) return;
    this.#wanted.set(hash, new AbortController());
    this.#next();
  }

  forget(hash: Sha256Hex): void {
    this.#wanted.get(hash)?.abort();
    this.#wanted.delete(hash);
  }

  close(): void {
    this.#isClosed = true;
    for (const hash of [...this.#wanted.keys()]) this.forget(hash);
  }

  #next(): void {
    for (const [hash, wish] of this.#wanted) {
      if (this.#fetching.size >= LIMITS.memberChunkFetches) return;
      if (this.#fetching.has(hash)) continue;
      this.#fetching.add(hash);
      const ended = (): void => {
        this.#fetching.delete(hash);
        if (this.#wanted.get(hash) === wish) this.#wanted.delete(hash);
        this.#next();
      };
      // The pull asks again for what did not come.
      this.#fetch(hash, wish.signal).then(ended, ended);
    }
  }

  async #fetch(hash: Sha256Hex, signal: AbortSignal): Promise<void> {
    const { status, body } = await this.#link.ask('GET', `/chunks/${hash}`, { signal });
    if (status === 200 && !signal.aborted) await this.#deliver(chunkTopic(hash), body);
  }
}
