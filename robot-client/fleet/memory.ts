/**
 * The durable memory of the agent itself. Trust and floors are stored in every root: without them
 * no document may be judged, since one below the floor would pass. Events and counters are stored
 * in the first root alone, are read when that is ours, and delay nothing.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { LiveTrust } from '../../shared/formats/trust-chain.ts';
import { layoutOf } from '../install/layout.ts';
import type { Disk } from '../install/disk-port.ts';
import { UNCLAIMED, type Claims } from '../install/root-claims.ts';
import type { Inbox } from './inbox.ts';
import type { TrustFile } from './trust-store.ts';

/** A file of the memory; `load` returns what was wrong with it. */
export interface MemoryFile {
  load(): Promise<Problem | null>;
}

export interface MemoryOptions {
  readonly disk: Disk;
  /** Of the first component. */
  readonly root: string;
  readonly claims?: Claims | undefined;
  readonly trust: LiveTrust;
  readonly trustFile: TrustFile;
  readonly inbox: Inbox;
  /** In the first root alone; read in this order. */
  readonly files: readonly MemoryFile[];
}

export class Memory {
  readonly #options: MemoryOptions;
  readonly #damages: Problem[] = [];
  #isKnown = false;
  #isWhole = false;
  #opening: Promise<Problem | null> | null = null;

  constructor(options: MemoryOptions) {
    this.#options = options;
  }

  /** @returns why trust and floors are unknown; null when they were read */
  async open(): Promise<Problem | null> {
    if (this.#isWhole) return null;
    this.#opening ??= this.#load().finally(() => (this.#opening = null));
    return await this.#opening;
  }

  /** Damages of the files; each is returned once. */
  takeDamages(): Problem[] {
    return this.#damages.splice(0);
  }

  /** Updates roots that could not be written or read before. */
  async settle(): Promise<void> {
    if ((await this.open()) !== null) return;
    await this.#options.trustFile.settle();
    await this.#options.inbox.settle();
  }

  async #load(): Promise<Problem | null> {
    try {
      if (!this.#isKnown) await this.#loadFloors();
    } catch (thrown) {
      return diskProblem(thrown);
    }
    try {
      await this.#loadFirst();
    } catch (thrown) {
      diskProblem(thrown); // the component of the first root reports it
    }
    return null;
  }

  async #loadFloors(): Promise<void> {
    const { trust, trustFile, inbox } = this.#options;
    const before = trust.current;
    const damage = await trustFile.load();
    this.#note(damage, await inbox.load());
    if (before.version !== trust.version) await inbox.followTrust(before);
    this.#isKnown = true;
  }

  async #loadFirst(): Promise<void> {
    const { disk, root, claims = UNCLAIMED, files, inbox } = this.#options;
    await claims.take(root);
    await disk.mkdir(layoutOf(root).state).catch(() => {}); // the component creates it, and reports
    if (!inbox.hasFirst) await this.#loadFloors();
    for (const file of files) this.#note(await file.load());
    this.#isWhole = true;
  }

  #note(...damages: readonly (Problem | null)[]): void {
    for (const one of damages) if (one) this.#damages.push(one);
  }
}

function diskProblem(thrown: unknown): Problem {
  if (!(thrown instanceof DroverError)) throw thrown;
  return toProblem(thrown);
}
