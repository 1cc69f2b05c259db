/**
 * Accepts what carriers bring: the one door for announcements and progress. Signature first, then
 * shape, fleet and freshness; the floor is written before anybody acts on the document, so that no
 * crash can lower it.
 */

import {
  assertFresh,
  openAnnouncement,
  type Announcement,
} from '../../shared/formats/announcement.ts';
import type { Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { openProgress, type Progress } from '../../shared/formats/progress.ts';
import { assertTrustCurrent, type TrustRoot } from '../../shared/formats/trust.ts';
import type { Disk } from '../install/disk-port.ts';
import { readSeen, writeSeen, type Seen } from './seen-file.ts';

export class Inbox {
  readonly #disk: Disk;
  readonly #seenPath: string;
  readonly #trust: TrustRoot;
  readonly #progress = new Map<string, Progress>();
  #seen: Seen = { announcement: 0, progress: {}, completeSince: {} };
  /** The last write of the floors: one after the other, so that none is lost. */
  #written: Promise<void> = Promise.resolve();
  #announcement: Announcement | null = null;
  #announcementBytes: Uint8Array | null = null;

  constructor(disk: Disk, seenPath: string, trust: TrustRoot) {
    this.#disk = disk;
    this.#seenPath = seenPath;
    this.#trust = trust;
  }

  /** @returns what was wrong with the file of floors; null when nothing */
  async load(): Promise<Problem | null> {
    const { seen, problem } = await readSeen(this.#disk, this.#seenPath);
    this.#seen = seen;
    return problem;
  }

  /** The newest accepted announcement, expired or not. */
  get announcement(): Announcement | null {
    return this.#announcement;
  }

  /** As it came. */
  get announcementBytes(): Uint8Array | null {
    return this.#announcementBytes;
  }

  get progress(): ReadonlyMap<string, Progress> {
    return this.#progress;
  }

  get completeSince(): ReadonlyMap<string, EpochMs> {
    return new Map(Object.entries(this.#seen.completeSince));
  }

  /** @throws DroverError ANNOUNCEMENT_EXPIRED when it went stale after it was accepted */
  currentAnnouncement(now: EpochMs): Announcement | null {
    const announcement = this.#announcement;
    if (announcement) assertFresh(announcement, announcement.seq, now);
    return announcement;
  }

  /** Other keys are in force: what was accepted under the old ones has to come again. Floors stay. */
  forget(): void {
    this.#announcement = null;
    this.#announcementBytes = null;
    this.#progress.clear();
  }

  /** @throws DroverError TRUST_EXPIRED, ENVELOPE_*, ANNOUNCEMENT_*, FLEET_WRONG */
  async acceptAnnouncement(bytes: Uint8Array, now: EpochMs): Promise<Announcement> {
    assertTrustCurrent(this.#trust, now);
    const announcement = openAnnouncement(bytes, this.#trust);
    assertFresh(announcement, this.#seen.announcement, now);
    // Progress may have come first: a broker keeps no order between topics.
    const heard = announcement.rollouts.flatMap(({ id }) => this.#progress.get(id) ?? []);
    // In this order: a floor that is not on the disk must not let the same bytes in next time.
    await this.#keep((seen) => {
      const seq = Math.max(announcement.seq, seen.announcement);
      return withFloors({ ...seen, announcement: seq }, heard, now);
    });
    this.#announcement = announcement;
    this.#announcementBytes = bytes;
    return announcement;
  }

  /** @throws DroverError TRUST_EXPIRED, ENVELOPE_*, ANNOUNCEMENT_*, FLEET_WRONG */
  async acceptProgress(bytes: Uint8Array, now: EpochMs): Promise<void> {
    assertTrustCurrent(this.#trust, now);
    const progress = openProgress(bytes, this.#trust);
    const active = new Set<string>(this.#announcement?.rollouts.map((one) => one.id));
    assertFresh(progress, this.#seen.progress[progress.rollout] ?? 0, now);
    if (!active.has(progress.rollout)) return this.#remember(progress, active);
    // Only rollouts that are announced keep a floor: the file stays small for ever.
    const only = <T>(record: Record<string, T>): Record<string, T> =>
      Object.fromEntries(Object.entries(record).filter(([id]) => active.has(id)));
    try {
      await this.#keep(({ announcement, progress: floors, completeSince }) => {
        const seen = { announcement, progress: only(floors), completeSince: only(completeSince) };
        return withFloors(seen, [progress], now);
      });
    } finally {
      // Not before: who acts on it at once would count from a moment that a power cut forgets. But
      // also when the disk is full: a stop or a recall holds without a floor.
      this.#remember(progress, active);
    }
  }

  #keep(change: (seen: Seen) => Seen): Promise<void> {
    const written = this.#written.then(async () => {
      const seen = change(this.#seen);
      if (JSON.stringify(seen) === JSON.stringify(this.#seen)) return;
      await writeSeen(this.#disk, this.#seenPath, seen);
      this.#seen = seen;
    });
    this.#written = written.catch(() => {}); // told to whoever asked for it
    return written;
  }

  /**
   * Newest last. Of rollouts that are announced no more the longest unheard are forgotten: one that
   * was taken back is acted on when it is heard, and what stands at the broker comes again.
   */
  #remember(progress: Progress, active: ReadonlySet<string>): void {
    // Rollouts that are announced no more keep no floor on the disk, but none to go below here.
    if ((this.#progress.get(progress.rollout)?.seq ?? 0) > progress.seq) return;
    this.#progress.delete(progress.rollout);
    this.#progress.set(progress.rollout, progress);
    for (const id of this.#progress.keys()) {
      if (this.#progress.size <= LIMITS.rolloutsMax * 2) return;
      if (!active.has(id)) this.#progress.delete(id);
    }
  }
}

/** What was heard of rollouts that are announced: its `seq`, and since when they are complete. */
function withFloors(seen: Seen, heard: readonly Progress[], now: EpochMs): Seen {
  const [progress, completeSince] = [{ ...seen.progress }, { ...seen.completeSince }];
  for (const { rollout, seq, status } of heard) {
    progress[rollout] = Math.max(seq, progress[rollout] ?? 0);
    if (status === 'complete') completeSince[rollout] ??= now;
  }
  return { ...seen, progress, completeSince };
}
