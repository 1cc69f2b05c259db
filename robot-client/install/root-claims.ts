/**
 * The locks of one agent, one for each root. A disk that refuses, or is not mounted yet, does not
 * end the agent: its root is claimed later, and until then nothing is read from it or written to
 * it. Any other failure ends the agent before anything is touched.
 */

import { errnoOf, SICK_MEDIUM } from '../../shared/base/errno.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { isDiskFailure } from './disk-error.ts';
import { lockFolders, type RootLock } from './lock.ts';
import { notMounted } from './mount-memory.ts';
import { NO_FOLDERS, type OwnFolders } from './outside-root.ts';
import { lockPaths, type PathLock } from './path-lock.ts';

/** The part of the claims that a component needs. */
export interface Claims {
  /** @throws DroverError of `lockRoot` while the root is not ours */
  take(root: string): Promise<void>;
  has(root: string): boolean;
  /** Locks `releases/` of a root that is claimed. @throws DroverError ROBOT_ALREADY_RUNNING */
  takeReleases?(root: string): Promise<void>;
  /** Why the path of a root leads to other folders than those that are claimed, or null. */
  stray?(root: string): Promise<DroverError | null>;
}

/** Claims for a caller without a rival: a test, or `recover`, which takes its own lock. */
export const UNCLAIMED: Claims = { take: () => Promise.resolve(), has: () => true };

/** Failures of file systems and of block devices; fsync(2) passes on those of the device. */
const SICK = [
  ...SICK_MEDIUM,
  ...['ENXIO', 'ENODEV', 'ETIMEDOUT', 'ESHUTDOWN', 'EREMOTEIO', 'ENOLINK', 'EILSEQ', 'ENOMEDIUM'],
];
const FORBIDDEN = ['EACCES', 'EPERM'];

/** True for a failure of the disk: full, read-only or broken. It may be repaired while we run. */
export function isSickDisk(thrown: unknown): boolean {
  if (!(thrown instanceof DroverError)) return false;
  if (thrown.code === 'DISK_READ_ONLY' || thrown.code === 'DISK_FULL') return true;
  return thrown.code === 'DISK_WRITE_FAILED' && SICK.includes(causeOf(thrown));
}

const mayPass = ({ code }: DroverError): boolean =>
  code === 'ROOT_NOT_MOUNTED' || isDiskFailure(code);

const causeOf = ({ cause }: DroverError): string => errnoOf(cause);

export class RootClaims implements Claims {
  readonly #locks = new Map<string, RootLock>();
  /** Held also while a root cannot be claimed yet: no other agent may come before us. */
  readonly #paths = new Map<string, PathLock>();
  readonly #taking = new Map<string, Promise<void>>();
  readonly #own: OwnFolders;
  #isReleased = false;
  #tellGone: () => Promise<void> = () => Promise.resolve();

  /** @param own left out: only the folders are locked, and no mount is remembered */
  constructor(own: OwnFolders = NO_FOLDERS) {
    this.#own = own;
  }

  /**
   * @param tell awaited before a lost state folder is created again, so that the loss is reported
   *   and written
   */
  beforeStateIsMadeAgain(tell: () => Promise<void>): void {
    this.#tellGone = tell;
  }

  /**
   * Claims all roots, and leaves those whose disk refuses for later.
   * @returns why the first root is not claimed; null when it is
   * @throws DroverError ROBOT_ALREADY_RUNNING, FLOCK_MISSING, ROOT_LOCK_FAILED; or of the first
   *   root, which holds the agent's memory, when it may not be opened at all
   */
  async takeAll(roots: readonly { readonly root: string }[]): Promise<DroverError | null> {
    let first: DroverError | null = null;
    for (const [nth, { root }] of roots.entries()) {
      try {
        await this.take(root);
      } catch (thrown) {
        if (!(thrown instanceof DroverError) || !mayPass(thrown)) throw thrown;
        if (nth === 0 && FORBIDDEN.includes(causeOf(thrown))) throw thrown;
        if (nth === 0) first = thrown;
      }
    }
    return first;
  }

  /** A concurrent call for the same root waits: two locks of ours exclude each other. */
  async take(root: string): Promise<void> {
    if (this.has(root)) return;
    let taking = this.#taking.get(root);
    if (!taking) {
      taking = this.#take(root).finally(() => this.#taking.delete(root));
      this.#taking.set(root, taking);
    }
    await taking;
  }

  async #take(root: string): Promise<void> {
    const paths = this.#paths.get(root) ?? (await lockPaths(root, this.#own));
    this.#paths.set(root, paths);
    const lock = await lockFolders(root, this.#own);
    this.#locks.set(root, lock);
    if (this.#isReleased) this.release();
  }

  async stray(root: string): Promise<DroverError | null> {
    const lock = this.#locks.get(root);
    return lock ? await lock.stray() : notMounted(root, this.#own);
  }

  /**
   * Creates and claims the state folder of a claimed root. Before this call nothing is written to a
   * root whose state folder is gone.
   * @throws DroverError ROOT_REPLACED, and those of `lockRoot`
   */
  async takeState(root: string): Promise<void> {
    const lock = this.#locks.get(root);
    if ((await lock?.stray())?.code === 'STATE_GONE') await this.#tellGone();
    await lock?.takeState();
  }

  async takeReleases(root: string): Promise<void> {
    await this.#locks.get(root)?.takeReleases();
  }

  /** The root that is claimed and in which a path lies; null when there is none. */
  rootOf(path: string): string | null {
    for (const root of this.#locks.keys()) {
      if (path === root || path.startsWith(`${root}/`)) return root;
    }
    return null;
  }

  has(root: string): boolean {
    return this.#locks.has(root);
  }

  release(): void {
    this.#isReleased = true;
    for (const held of [this.#locks, this.#paths]) {
      for (const lock of held.values()) lock.release();
      held.clear();
    }
  }
}
