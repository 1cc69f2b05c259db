/**
 * What the robot has accepted of what carriers brought: the one door for announcements and
 * progress. Signature first, then shape, fleet and freshness; the floor is written before anybody
 * acts on the document, so that no crash can lower it.
 */

import { assertFresh, openAnnouncement, type Announcement } from '../shared/announcement.ts';
import type { Problem } from '../shared/errors.ts';
import type { EpochMs } from '../shared/ids.ts';
import { LIMITS } from '../shared/limits.ts';
import { openProgress, type Progress } from '../shared/progress.ts';
import { assertTrustCurrent, type TrustRoot } from '../shared/trust.ts';
import type { Disk } from './core/ports.ts';
import { readSeen, writeSeen, type Seen } from './io/seen-file.ts';

export class Inbox {
  readonly #disk: Disk;
  readonly #seenPath: string;
  readonly #trust: TrustRoot;
  readonly #progress = new Map<string, Progress>();
  #seen: Seen = { announcement: 0, progress: {}, completeSince: {} };
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

  /** @throws DroverError TRUST_EXPIRED, ENVELOPE_*, ANNOUNCEMENT_*, FLEET_WRONG */
  async acceptAnnouncement(bytes: Uint8Array, now: EpochMs): Promise<Announcement> {
    assertTrustCurrent(this.#trust, now);
    const announcement = openAnnouncement(bytes, this.#trust);
    assertFresh(announcement, this.#seen.announcement, now);
    if (announcement.seq > this.#seen.announcement) {
      const seen = { ...this.#seen, announcement: announcement.seq };
      // In this order: a floor that is not on the disk must not let the same bytes in next time.
      await writeSeen(this.#disk, this.#seenPath, seen);
      this.#seen = seen;
    }
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
    const known = this.#progress.get(progress.rollout);
    // Rollouts that are announced no more keep no floor on the disk, but none to go below here.
    if (known && known.seq > progress.seq) return;
    this.#remember(progress, active);
    if (!active.has(progress.rollout)) return;
    // Only rollouts that are announced keep a floor: the file stays small for ever.
    const keep = <T>(record: Record<string, T>): Record<string, T> =>
      Object.fromEntries(Object.entries(record).filter(([id]) => active.has(id)));
    const floors = { ...keep(this.#seen.progress), [progress.rollout]: progress.seq };
    const completeSince = keep(this.#seen.completeSince);
    if (progress.status === 'complete') completeSince[progress.rollout] ??= now;
    this.#seen = { ...this.#seen, progress: floors, completeSince };
    await writeSeen(this.#disk, this.#seenPath, this.#seen);
  }

  /**
   * Newest last. Of rollouts that are announced no more the longest unheard are forgotten: one that
   * was taken back is acted on when it is heard, and what stands at the broker comes again.
   */
  #remember(progress: Progress, active: ReadonlySet<string>): void {
    this.#progress.delete(progress.rollout);
    this.#progress.set(progress.rollout, progress);
    for (const id of this.#progress.keys()) {
      if (this.#progress.size <= LIMITS.rolloutsMax * 2) return;
      if (!active.has(id)) this.#progress.delete(id);
    }
  }
}
