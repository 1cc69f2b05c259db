/**
 * Keeps the application's last POST /ready, and what counts while it cannot reach the socket: an
 * agent whose usual socket is closed swaps nothing. When another socket is open, only those
 * components wait whose application has ever used POST /ready and has not found that socket yet; a
 * mark in the state folder remembers that they use it. After its socket was removed, an application
 * has to report again.
 */

import type { EpochMs } from '../../shared/base/ids.ts';
import type { Problem } from '../../shared/base/errors.ts';
import { busyWhile, type Held } from '../fleet/report.ts';
import type { Disk } from '../install/disk-port.ts';
import type { Layout } from '../install/layout.ts';
import { writeWhole } from '../install/small-file.ts';

export interface Ready {
  readonly ready: boolean;
  readonly reason: string;
}

/** Why the usual socket is closed, and whether another one is open. */
export interface ClosedDoor {
  readonly problem: Problem;
  readonly isReachable: boolean;
}

export class ReadyWord {
  readonly #disk: Disk;
  readonly #mark: string;
  #said: Ready | null = null;
  #door: (ClosedDoor & { readonly atMs: EpochMs }) | null = null;
  /** Set when the socket was removed after a report: a later report may not have arrived. */
  #lost: Held | null = null;
  #usesSocket = false;

  constructor(on: { disk: Disk; layout: Layout }) {
    this.#disk = on.disk;
    this.#mark = `${on.layout.state}/says-ready`;
  }

  /** Why the component may not swap; null when nothing of this prevents it. */
  get held(): Held | null {
    if (!this.#door) return this.#lost;
    const isHeard = !this.#usesSocket || this.#said !== null;
    return this.#door.isReachable && isHeard ? null : this.#door;
  }

  /** Null without a report of the application. */
  get said(): Ready | null {
    const { held } = this;
    return held ? busyWhile(held) : this.#said;
  }

  /** Reads the mark, in an open root; before that nothing is swapped. */
  async load(): Promise<void> {
    // A mark that cannot be checked counts as present.
    this.#usesSocket ||= (await this.#disk.kind(this.#mark).catch(() => 'file')) !== 'absent';
  }

  /** @param mayWrite false while the root is not ours */
  async say(said: Ready, mayWrite: boolean): Promise<void> {
    this.#said = said;
    this.#lost = null;
    if (this.#usesSocket || !mayWrite) return;
    try {
      await writeWhole(this.#disk, this.#mark, new Uint8Array());
      this.#usesSocket = true;
    } catch {
      // The disk refuses, which its component reports: retried with the next report.
    }
  }

  /** @param door null when the usual socket is open */
  hold(door: ClosedDoor | null, atMs: EpochMs): void {
    const wasOpen = this.#door === null;
    this.#door = door && { ...door, atMs };
    if (!this.#door || !wasOpen || !this.#said) return;
    this.#lost = this.#door;
    this.#said = null;
  }
}
