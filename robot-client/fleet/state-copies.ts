/**
 * The state folders of the other roots of this robot, where floors and trust stand as well: a first
 * root that is lost, replaced or named second takes neither with it. A root that fails holds up
 * nothing; it is logged once for each reason, and its component tells the fleet of the disk.
 */

import { toProblem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { endsWithin } from '../../shared/io/within.ts';
import type { Disk } from '../install/disk-port.ts';
import { layoutOf } from '../install/layout.ts';
import { UNCLAIMED, type Claims } from '../install/root-claims.ts';

export interface StateCopiesOptions {
  readonly disk: Disk;
  readonly claims?: Claims | undefined;
  /** Of all components; the first one holds the originals. */
  readonly roots: readonly { readonly root: string }[];
  readonly log: Log;
}

export class StateCopies {
  readonly #options: StateCopiesOptions;
  readonly #busy = new Set<string>();
  readonly #said = new Map<string, string>();

  constructor(options: StateCopiesOptions) {
    this.#options = options;
  }

  /** Runs it in each other root that is ours; never rejects, and waits for none longer than `secondLookMs`. */
  async each(run: (stateFolder: string) => Promise<void>): Promise<void> {
    const others = this.#options.roots.slice(1);
    await Promise.all(others.map(({ root }) => this.#bounded(root, run)));
  }

  async #bounded(root: string, run: (stateFolder: string) => Promise<void>): Promise<void> {
    if (this.#busy.has(root)) return; // a disk that hangs: the next write brings it up to date
    this.#busy.add(root);
    const running = this.#run(root, run).finally(() => this.#busy.delete(root));
    await endsWithin(running, LIMITS.secondLookMs);
  }

  async #run(root: string, run: (stateFolder: string) => Promise<void>): Promise<void> {
    const { disk, claims = UNCLAIMED, log } = this.#options;
    const { state } = layoutOf(root);
    try {
      await claims.take(root);
      await disk.mkdir(state).catch(() => {}); // the component makes it, and tells
      await run(state);
      this.#said.delete(root);
    } catch (thrown) {
      const problem = toProblem(thrown);
      if (this.#said.get(root) === problem.message) return;
      this.#said.set(root, problem.message);
      log.warn({ root, problem }, 'floors and trust could not be kept in this root as well');
    }
  }
}
