/**
 * Memory of the agent itself, in the state folder of its first root: trust, floors, events and
 * counters. While that root cannot be claimed nothing of it is known, so nothing that comes may be
 * judged: a document that is older than the floor on the disk would pass.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { layoutOf } from '../install/layout.ts';
import type { Disk } from '../install/disk-port.ts';
import { UNCLAIMED, type Claims } from '../install/root-claims.ts';

/** A file of the memory; `load` returns what was wrong with it. */
export interface MemoryFile {
  load(): Promise<Problem | null>;
}

export interface MemoryOptions {
  readonly disk: Disk;
  /** Of the first component. */
  readonly root: string;
  readonly claims?: Claims | undefined;
  /** Read in this order. */
  readonly files: readonly MemoryFile[];
}

export class Memory {
  readonly #options: MemoryOptions;
  readonly #damages: Problem[] = [];
  #isLoaded = false;
  #opening: Promise<Problem | null> | null = null;

  constructor(options: MemoryOptions) {
    this.#options = options;
  }

  /** @returns why nothing is known; null when all is at hand */
  async open(): Promise<Problem | null> {
    if (this.#isLoaded) return null;
    this.#opening ??= this.#load().finally(() => (this.#opening = null));
    return await this.#opening;
  }

  /** Damages of the files; each is given once. */
  takeDamages(): Problem[] {
    return this.#damages.splice(0);
  }

  async #load(): Promise<Problem | null> {
    const { disk, root, claims = UNCLAIMED, files } = this.#options;
    try {
      await claims.take(root);
      await disk.mkdir(layoutOf(root).state).catch(() => {}); // the component makes it, and tells
      for (const file of files) {
        const damage = await file.load();
        if (damage) this.#damages.push(damage);
      }
      this.#isLoaded = true;
      return null;
    } catch (thrown) {
      if (!(thrown instanceof DroverError)) throw thrown;
      return toProblem(thrown);
    }
  }
}
