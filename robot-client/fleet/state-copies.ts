/**
 * The state folders of all roots of this robot, which hold floors and trust: a root that is lost,
 * replaced, read-only or full costs neither, and delays no other root. A root that fails is logged
 * once for each reason, and its component reports the disk.
 */

import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { endsWithin } from '../../shared/io/within.ts';
import type { Disk } from '../install/disk-port.ts';
import { layoutOf } from '../install/layout.ts';
import { UNCLAIMED, type Claims } from '../install/root-claims.ts';

export interface StateCopiesOptions {
  readonly disk: Disk;
  readonly claims?: Claims | undefined;
  /** Of all components, in the order of the command line. */
  readonly roots: readonly { readonly root: string }[];
  readonly log: Log;
}

type Run = (stateFolder: string) => Promise<void>;

/** The places of one file of the memory. */
export interface Copies {
  /** In the first root. @throws DroverError of the disk */
  first(run: Run): Promise<void>;
  /**
   * In each other root that is ours; waits for none longer than `retrySoonMs`. Never rejects.
   * @returns the number of roots in which it succeeded
   */
  others(run: Run): Promise<number>;
  /**
   * True when there is no first root at all, as on a fresh robot, so it holds nothing. False while
   * its disk is not mounted.
   */
  isFirstAbsent(): Promise<boolean>;
}

/**
 * A write that succeeded in one root is durable: the next start finds it there.
 * @throws DroverError of the first root when it succeeded in none
 */
export async function keepIn(copies: Copies, run: Run): Promise<void> {
  const failing = copies.first(run).then(
    () => null,
    (thrown: unknown) => ({ thrown }),
  );
  const [failure, kept] = await Promise.all([failing, copies.others(run)]);
  if (failure && (kept === 0 || !(failure.thrown instanceof DroverError))) throw failure.thrown;
}

/** A memory with one folder, which is there. */
export const onlyIn = (stateFolder: string): Copies => ({
  first: (run) => run(stateFolder),
  others: () => Promise.resolve(0),
  isFirstAbsent: () => Promise.resolve(false),
});

export class StateCopies implements Copies {
  readonly #options: StateCopiesOptions;
  readonly #busy = new Set<string>();
  readonly #said = new Map<string, string>();

  constructor(options: StateCopiesOptions) {
    this.#options = options;
  }

  async first(run: Run): Promise<void> {
    const [first, ...others] = this.#options.roots;
    if (!first) throw new TypeError('StateCopies: no root');
    // Without another root to write to, a slow disk is waited for.
    if (others.length === 0) return await this.#run(first.root, run);
    const failed = await this.#bounded(first.root, run);
    if (failed) throw failed.thrown;
  }

  async others(run: Run): Promise<number> {
    const others = this.#options.roots.slice(1);
    const failures = await Promise.all(others.map(({ root }) => this.#bounded(root, run)));
    return failures.filter((failure) => failure === null).length;
  }

  async isFirstAbsent(): Promise<boolean> {
    const [first] = this.#options.roots;
    if (first === undefined || (await this.#options.claims?.stray?.(first.root))) return false;
    return (await this.#options.disk.kind(first.root)) === 'absent';
  }

  /** @returns null when it succeeded in time */
  async #bounded(root: string, run: Run): Promise<{ thrown: unknown } | null> {
    const late = `write to the state of ${root}: the disk does not answer`;
    let failure: { thrown: unknown } | null = {
      thrown: new DroverError('DISK_WRITE_FAILED', late),
    };
    if (this.#busy.has(root)) return failure; // the next write updates it
    this.#busy.add(root);
    const running = this.#run(root, run)
      .then(
        () => (failure = null),
        (thrown: unknown) => (failure = { thrown }),
      )
      .finally(() => this.#busy.delete(root));
    await endsWithin(running, LIMITS.retrySoonMs);
    if (failure) this.#warn(root, failure.thrown);
    else this.#said.delete(root);
    return failure;
  }

  async #run(root: string, run: Run): Promise<void> {
    const { disk, claims = UNCLAIMED } = this.#options;
    const { state } = layoutOf(root);
    await claims.take(root);
    await disk.mkdir(state).catch(() => {}); // the component creates it, and reports
    await run(state);
  }

  #warn(root: string, thrown: unknown): void {
    const problem = toProblem(thrown);
    if (this.#said.get(root) === problem.message) return;
    this.#said.set(root, problem.message);
    this.#options.log.warn({ root, problem }, 'floors and trust could not be kept in this root');
  }
}
